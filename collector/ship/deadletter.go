package ship

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Reasons of dead letters, beside http_<code>.
const (
	ReasonRefused = "refused"    // by a sink that is no HTTP peer
	ReasonRecord  = "bad_record" // a record of a log file that could not be decoded
	ReasonEvent   = "bad_event"  // a record of the journal that is no event
)

// Letter is an entry that was given up.
type Letter struct {
	Reason string    `json:"reason"`
	Error  string    `json:"error"`
	Buried time.Time `json:"buried"`
	Tenant string    `json:"tenant,omitempty"`
	Labels string    `json:"labels,omitempty"`
	Path   string    `json:"path,omitempty"`
	Time   time.Time `json:"time,omitzero"`
	FileID string    `json:"file_id,omitempty"`
	Offset string    `json:"offset,omitempty"`
	Line   string    `json:"line"`
}

// DeadLetters is a file of letters, one JSON object a line. At its limit it is
// moved to <path>.1, whose letters are lost with that.
type DeadLetters struct {
	path  string
	limit int64

	mu sync.Mutex
	f  *os.File // nil until the first letter
}

// NewDeadLetters names the file; it is opened with the first letter.
func NewDeadLetters(path string, limit int64) *DeadLetters {
	return &DeadLetters{path: path, limit: limit}
}

// write makes l durable.
func (d *DeadLetters) write(l Letter) error {
	l.Buried = time.Now().UTC()
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write dead letter: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.append(append(b, '\n')); err != nil {
		return fmt.Errorf("write dead letter: %w", err)
	}
	return nil
}

func (d *DeadLetters) append(b []byte) error {
	if d.f == nil {
		f, err := os.OpenFile(d.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		d.f = f
	}
	info, err := d.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > 0 && info.Size()+int64(len(b)) > d.limit {
		err := errors.Join(d.f.Close(), os.Rename(d.path, d.path+".1"))
		d.f = nil
		if err != nil {
			return err
		}
		return d.append(b)
	}
	if _, err := d.f.Write(b); err != nil {
		return err
	}
	return d.f.Sync()
}

// Close closes the file.
func (d *DeadLetters) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.f == nil {
		return nil
	}
	err := d.f.Close()
	d.f = nil
	return err
}

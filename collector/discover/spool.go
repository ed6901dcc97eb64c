package discover

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/coldscope/coldscope/internal/faas"
)

// Saved is the head of a piece of a log that was saved from removal: one line
// of JSON, behind which the log's bytes from Offset on follow.
type Saved struct {
	Version int      `json:"version"` // 1
	ID      uint64   `json:"id,string"`
	Format  Format   `json:"format"`
	Offset  int64    `json:"offset"`
	Key     string   `json:"key"`
	Owner   string   `json:"owner"`
	Path    string   `json:"path"` // under which the log was found
	Ref     faas.Ref `json:"ref"`
	Header  int64    `json:"-"` // bytes of the head
}

// SavedSuffix ends the names of saved pieces.
const SavedSuffix = ".spool"

// savedVersion is the only one there is.
const savedVersion = 1

// Encode gives the head as it is written.
func (s Saved) Encode() ([]byte, error) {
	s.Version = savedVersion
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode head of a saved log: %w", err)
	}
	return append(b, '\n'), nil
}

// readSaved reads the head of f.
func readSaved(f *os.File) (*Saved, error) {
	line, err := bufio.NewReader(f).ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("read head of %s: %w", f.Name(), err)
	}
	s := new(Saved)
	if err := json.Unmarshal(line, s); err != nil {
		return nil, fmt.Errorf("read head of %s: %w", f.Name(), err)
	}
	if s.Version != savedVersion || s.Offset < 0 || s.Format < CRI || s.Format > Plain {
		return nil, fmt.Errorf("read head of %s: version %d, format %d are not known", f.Name(), s.Version, s.Format)
	}
	s.Header = int64(len(line))
	return s, nil
}

// spool looks for saved pieces. Each is a log of its own.
func (sc *scan) spool(path string) {
	d, changed := sc.read(place{path, bySpool}, nil)
	if d == nil || !changed {
		return
	}
	for _, name := range d.names {
		if !strings.HasSuffix(name, SavedSuffix) {
			continue
		}
		g, err := sc.generation(filepath.Join(path, name))
		if err != nil {
			sc.fail(err)
			d.believed = false
		}
		if g == nil {
			continue
		}
		if g.Saved, err = readSaved(g.File); err != nil {
			sc.fail(errors.Join(err, g.File.Close()))
			continue // it stays known, so that it is said once
		}
		g.Format = g.Saved.Format
		g.Container = &Container{Key: g.Path, Owner: g.Saved.Owner, Ref: g.Saved.Ref}
		sc.found(g)
	}
}

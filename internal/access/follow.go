package access

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// How a file is read.
const (
	pollInterval = time.Second
	maxFileBytes = 4 << 20
)

// What others than a file's owner and group must not be able to do with it.
const (
	othersWrite fs.FileMode = 0o002 // let themselves in
	// OthersUse is for files that hold secrets as they are.
	OthersUse fs.FileMode = 0o006
)

// Source is a file that says who may come in, and how it is understood.
type Source[T any] struct {
	Path string
	What string // names the file in errors and in the audit log, such as "access file"
	// Forbidden are the rights of others with which the file is refused.
	Forbidden fs.FileMode
	// Parse reads the content. Its error shows no secrets.
	Parse func(path string, raw []byte) (*T, error)
	// Changes says for the audit log what has become of the content.
	Changes func(before, after *T) []slog.Attr
	// Refused is 1 while the file is wrong, and what it said before is in use.
	Refused prometheus.Gauge
	Logger  *slog.Logger
}

// File is a Source that is read again when it changes. It is safe for
// concurrent use.
type File[T any] struct {
	source Source[T]
	value  atomic.Pointer[T]
	first  [sha256.Size]byte // of the content at the start
}

// Open reads the file, which has to be right at the start.
func Open[T any](s Source[T]) (*File[T], error) {
	raw, err := s.read()
	if err != nil {
		return nil, err
	}
	value, err := s.Parse(s.Path, raw)
	if err != nil {
		return nil, err
	}
	f := &File[T]{source: s, first: sha256.Sum256(raw)}
	f.value.Store(value)
	return f, nil
}

// Value is what the file says. It does not change.
func (f *File[T]) Value() *T { return f.value.Load() }

// Run reads the file again when it changes and on SIGHUP, until ctx ends. One
// that is wrong changes nothing.
func (f *File[T]) Run(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	l := look[T]{File: f, done: f.first}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			l.again(ctx, true)
		case <-tick.C:
			l.again(ctx, false)
		}
	}
}

// look is the state of Run.
type look[T any] struct {
	*File[T]
	done [sha256.Size]byte // the content that was taken or refused
	seen [sha256.Size]byte // the content at the last look
	said string            // why the file could not be read
}

// again takes the file over if it has changed and is the same as at the last
// look: one that is just being written may be valid, and say half of it. Who
// asks for it has written the file.
func (l *look[T]) again(ctx context.Context, asked bool) {
	s := &l.source
	raw, err := s.read()
	if err != nil {
		l.seen = [sha256.Size]byte{}
		if asked || err.Error() != l.said {
			l.said = err.Error()
			s.refuse(ctx, err)
		}
		return
	}
	if l.said != "" { // it is there again: to be taken over, and said so, if it is the same
		l.said, l.done = "", [sha256.Size]byte{}
	}
	sum := sha256.Sum256(raw)
	stable := sum == l.seen
	l.seen = sum
	if !asked && (!stable || sum == l.done) {
		return
	}
	l.done = sum
	value, err := s.Parse(s.Path, raw)
	if err != nil {
		s.refuse(ctx, err)
		return
	}
	before := l.value.Swap(value)
	s.Refused.Set(0)
	Audit(ctx, s.Logger, "reload "+s.What, nil, append([]slog.Attr{slog.String("file", s.Path)}, s.Changes(before, value)...)...)
}

func (s *Source[T]) refuse(ctx context.Context, err error) {
	s.Refused.Set(1)
	Audit(ctx, s.Logger, "reload "+s.What, fmt.Errorf("what it said before stays in use: %w", err), slog.String("file", s.Path))
}

// read reads the file, unless others have rights that they must not have.
func (s *Source[T]) read() ([]byte, error) {
	f, err := os.Open(s.Path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.What, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.What, err)
	}
	switch wrong := info.Mode().Perm() & s.Forbidden; {
	case wrong&othersWrite != 0:
		return nil, fmt.Errorf("read %s: everybody on this host can write %s and let themselves in: chmod o-w it", s.What, s.Path)
	case wrong != 0:
		return nil, fmt.Errorf("read %s: everybody on this host can read the secrets in %s: chmod o-rw it", s.What, s.Path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.What, err)
	}
	if len(raw) > maxFileBytes {
		return nil, fmt.Errorf("read %s: %s has more than %d bytes", s.What, s.Path, maxFileBytes)
	}
	return raw, nil
}

// Package checkpoint keeps how far each file was acknowledged, across
// restarts and crashes. A checkpoint that is lost, damaged or of an unknown
// kind costs duplicates, which the store folds, and never a line.
package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"
	"time"

	"github.com/coldscope/coldscope/internal/durable"
)

// Entry is one file's place. Path and Instance are for people.
type Entry struct {
	Offset   int64 // everything before it is acknowledged
	Read     int64 // bytes of the file that were there when it was last seen
	Path     string
	Instance string
	Seen     time.Time
}

// version of the format; another one is not understood.
const version = 1

type document struct {
	Version int              `json:"version"`
	Files   map[string]saved `json:"files"` // by file ID, 16 hexadecimal digits
}

type saved struct {
	Offset   int64  `json:"offset"`
	Read     int64  `json:"read,omitempty"`
	Path     string `json:"path,omitempty"`
	Instance string `json:"instance,omitempty"`
	Seen     int64  `json:"seen"` // Unix seconds
}

// Store is a checkpoint file. It is safe for concurrent use.
type Store struct {
	path string

	mu      sync.Mutex
	entries map[uint64]Entry
	changed bool // entries differ from the file

	save sync.Mutex // one writer at a time
}

// Open reads the checkpoint at path. A missing one is empty. With a damaged
// one the Store is empty and the error says why: it is a warning, and the
// Store can be used.
func Open(path string) (*Store, error) {
	s := &Store{path: path, entries: map[uint64]Entry{}}
	b, err := durable.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("open checkpoint: %w", err)
	}
	var doc document
	if err := json.Unmarshal(b, &doc); err != nil {
		return s, fmt.Errorf("open checkpoint %s: %w", path, err)
	}
	if doc.Version != version {
		return s, fmt.Errorf("open checkpoint %s: version %d is not known", path, doc.Version)
	}
	for k, v := range doc.Files {
		id, err := strconv.ParseUint(k, 16, 64)
		if err != nil || v.Offset < 0 {
			continue // costs duplicates
		}
		s.entries[id] = Entry{v.Offset, v.Read, v.Path, v.Instance, time.Unix(v.Seen, 0)}
	}
	return s, nil
}

// Get gives a file's entry.
func (s *Store) Get(id uint64) (Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[id]
	return e, ok
}

// Set replaces a file's entry. A mere change of Seen is not worth a save.
func (s *Store) Set(id uint64, e Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.entries[id]
	s.entries[id] = e
	old.Seen = e.Seen
	if !ok || old != e {
		s.changed = true
	}
}

// Delete forgets a file that is gone.
func (s *Store) Delete(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.entries[id]; ok {
		delete(s.entries, id)
		s.changed = true
	}
}

// Prune removes and returns the entries that drop says so of.
func (s *Store) Prune(drop func(id uint64, e Entry) bool) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var gone []Entry
	for id, e := range s.entries {
		if drop(id, e) {
			gone = append(gone, e)
			delete(s.entries, id)
			s.changed = true
		}
	}
	return gone
}

// Save makes the changes since the last one durable.
func (s *Store) Save() error {
	s.save.Lock()
	defer s.save.Unlock()
	b, err := s.encode()
	if b == nil || err != nil {
		return err
	}
	if err := durable.WriteFile(s.path, b, 0o600); err != nil {
		s.mu.Lock()
		s.changed = true
		s.mu.Unlock()
		return fmt.Errorf("save checkpoint: %w", err)
	}
	return nil
}

// encode gives nil if there is nothing to save.
func (s *Store) encode() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.changed {
		return nil, nil
	}
	doc := document{Version: version, Files: make(map[string]saved, len(s.entries))}
	for id, e := range s.entries {
		doc.Files[fmt.Sprintf("%016x", id)] = saved{e.Offset, e.Read, e.Path, e.Instance, e.Seen.Unix()}
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("save checkpoint: %w", err)
	}
	s.changed = false
	return append(b, '\n'), nil
}

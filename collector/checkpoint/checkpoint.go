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
	"github.com/coldscope/coldscope/internal/faas"
)

// Entry is one file's place, and what it is known by.
type Entry struct {
	Offset int64  // everything before it is acknowledged
	Guard  uint64 // a hash of what stands before Offset; 0: none was taken
	Read   int64  // bytes of the file that were there when it was last seen

	// Head, Key, Dev and Inode find a file again whose ID cannot be computed from
	// it: the hash of its first record, its log's key and where it was.
	Head       uint64
	Key        string
	Dev, Inode uint64

	Path string // for people
	Ref  faas.Ref
	Seen time.Time
	// Lines is the ledger of what is before LinesAt, which is not behind Offset.
	Lines   Counts
	LinesAt int64
}

// Counts is what a ledger counts.
type Counts struct {
	Lines          int64     `json:"lines,omitempty"`
	TruncatedLines int64     `json:"truncated_lines,omitempty"`
	TruncatedBytes int64     `json:"truncated_bytes,omitempty"`
	LateLines      int64     `json:"late_lines,omitempty"`
	LostBytes      int64     `json:"lost_bytes,omitempty"`
	Refused        int64     `json:"refused,omitempty"`
	From           time.Time `json:"from,omitzero"`
	To             time.Time `json:"to,omitzero"`
}

// version of the format; another one is not understood. Keys may be added to
// it: an older collector passes over them and costs duplicates at the worst.
const version = 1

type document struct {
	Version int              `json:"version"`
	Files   map[string]saved `json:"files"` // by file ID, 16 hexadecimal digits
}

type saved struct {
	Offset   int64  `json:"offset"`
	Guard    hex64  `json:"guard,omitzero"`
	Read     int64  `json:"read,omitempty"`
	Head     hex64  `json:"head,omitzero"`
	Key      string `json:"key,omitempty"`
	Dev      uint64 `json:"dev,omitempty"`
	Inode    uint64 `json:"inode,omitempty"`
	Path     string `json:"path,omitempty"`
	Instance string `json:"instance,omitempty"` // written until Ref was; read for its sake
	Ref      ref    `json:"ref,omitzero"`
	Seen     int64  `json:"seen"` // Unix seconds
	Lines    Counts `json:"lines,omitzero"`
	LinesAt  int64  `json:"lines_at,omitempty"`
}

// ref has no methods of faas.Ref's, only its keys.
type ref faas.Ref

// hex64 is a hash: a number that JSON's readers elsewhere would round.
type hex64 uint64

func (h hex64) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(h)), nil }

func (h *hex64) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 16, 64)
	*h = hex64(n)
	return err
}

func save(e Entry) saved {
	return saved{
		Offset: e.Offset, Guard: hex64(e.Guard), Read: e.Read, Head: hex64(e.Head), Key: e.Key, Dev: e.Dev, Inode: e.Inode,
		Path: e.Path, Ref: ref(e.Ref), Seen: e.Seen.Unix(), Lines: e.Lines, LinesAt: e.LinesAt,
	}
}

func (v saved) entry() Entry {
	e := Entry{
		Offset: v.Offset, Guard: uint64(v.Guard), Read: v.Read, Head: uint64(v.Head), Key: v.Key, Dev: v.Dev, Inode: v.Inode,
		Path: v.Path, Ref: faas.Ref(v.Ref), Seen: time.Unix(v.Seen, 0), Lines: v.Lines, LinesAt: v.LinesAt,
	}
	if e.Ref.Instance == "" {
		e.Ref.Instance = v.Instance
	}
	return e
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
		s.entries[id] = v.entry()
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

// Find gives the entries that match says so of, by their files' IDs.
func (s *Store) Find(match func(id uint64, e *Entry) bool) map[uint64]Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[uint64]Entry{}
	for id, e := range s.entries {
		if match(id, &e) {
			found[id] = e
		}
	}
	return found
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
		doc.Files[fmt.Sprintf("%016x", id)] = save(e)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("save checkpoint: %w", err)
	}
	s.changed = false
	return append(b, '\n'), nil
}

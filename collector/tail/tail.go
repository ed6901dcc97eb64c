// Package tail reads one generation of one log file: what tells it from others,
// where its records begin and end, and what of it is new. It knows nothing of
// formats beyond this: a record ends with a newline, or has its length before
// and behind it. The file may be compressed, or a piece that was saved of one
// (Saved): offsets are always those of the log as its writer wrote it.
//
// A file's head (FileID) is computed from the file itself, so that it can be
// found again under any name after a restart. Reading keeps no bytes between
// two calls: what is not a whole record yet is read again when there is more.
package tail

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sys/unix"
)

// ErrTruncated says that the file is not the one any more that was read so
// far: it has become shorter, or it begins differently. Restart makes it a new one.
var ErrTruncated = errors.New("file was truncated")

const (
	// headBytes is how much of the first record goes into the ID: all of it, or
	// of a longer one its two ends. Docker's records have their time at the end.
	headBytes = 1024
	// keepEnd is how much of the end of a record over the limit is kept, where
	// Docker's records have stream and time.
	keepEnd = 1024
	// scanBytes is the step in which the end of such a record is looked for.
	scanBytes = 64 << 10
)

// FileID is a hash of a file's owner (the container's or instance's ID) and its
// first record with what ends it. Where records begin with their time in
// nanoseconds, it names a generation of a log for ever.
func FileID(owner string, first []byte) uint64 {
	d := xxhash.New()
	_, _ = d.WriteString(owner)
	_, _ = d.Write([]byte{0})
	if len(first) > headBytes {
		_, _ = d.Write(first[:headBytes/2])
		first = first[len(first)-headBytes/2:]
	}
	_, _ = d.Write(first)
	return d.Sum64()
}

// Record is one record without its newline. Data is valid until the next call.
type Record struct {
	Data   []byte
	Offset int64 // of its first byte
	End    int64 // behind its newline
	// Cut is how many bytes are missing before Data[CutAt], because the record
	// was over the limit. Where nothing is, both are 0.
	Cut   int64
	CutAt int
	Torn  bool // the file ended before the record did, or it is none at all
}

// Buffer is memory for reading. One goroutine uses it at a time, for any number
// of files after each other.
type Buffer struct{ b []byte }

// NewBuffer makes a Buffer of size bytes. It grows as records need it.
func NewBuffer(size int) *Buffer { return &Buffer{make([]byte, size)} }

// Len is the memory that the buffer has taken.
func (b *Buffer) Len() int { return len(b.b) }

// File is an open file that is being read. It is not safe for concurrent use.
type File struct {
	f       *os.File
	fd      int         // f's: reading is the hot path of a host with many quiet logs
	src     io.ReaderAt // of the log's bytes: f, or what it holds compressed or from an offset on
	zip     *compressed // src, if it is that
	base    int64       // the log's bytes before it are not there
	framing Framing
	owner   string
	limit   int // bytes of a record

	id      uint64
	first   byte  // of the first record
	headAt  int64 // where stands what the ID was computed of, the first record with its end
	headLen int64 // of that; 0: not known yet
	pos     int64 // of the next record
	scanned int64 // there is no newline in [pos, scanned)
	state   State
	onDisk  int64 // size of f when state was taken

	last  [guardBytes]byte // what stands before pos, as far as it is known:
	lastN int              // so many bytes
}

// Kind says how a file holds its log.
type Kind struct {
	Framing    Framing
	Compressed bool // with gzip
	// Saved is set for a piece of a log that was copied to another file: Header
	// bytes of f are something else, what follows is the log from Base on.
	Saved  bool
	Header int64
	Base   int64
}

// State is what Stat saw of a file.
type State struct {
	Size     int64
	Modified time.Time
	Deleted  bool // no directory has it any more
}

// New reads from f, which it takes over. Records over limit bytes are cut.
func New(f *os.File, kind Kind, owner string, limit int) *File {
	t := &File{f: f, fd: int(f.Fd()), src: f, framing: kind.Framing, owner: owner, limit: max(limit, 4*keepEnd)}
	switch {
	case kind.Compressed:
		t.zip = &compressed{f: f}
		t.src = t.zip
	case kind.Saved:
		t.src = shifted{f, kind.Header - kind.Base}
		t.base, t.pos, t.scanned = kind.Base, kind.Base, kind.Base
	}
	return t
}

// shifted is a file in which offset o of the log stands at o+by.
type shifted struct {
	f  *os.File
	by int64
}

func (s shifted) ReadAt(p []byte, off int64) (int, error) { return s.f.ReadAt(p, off+s.by) }

// Close ends reading.
func (t *File) Close() error { return t.f.Close() }

// First is the first byte of the first record, once Identify has found it.
func (t *File) First() byte { return t.first }

// State is what Stat, or Measure, saw last.
func (t *File) State() State { return t.state }

// Pos is the offset of the next record.
func (t *File) Pos() int64 { return t.pos }

// Stat looks at the file. The error wraps ErrTruncated if it is shorter than
// what was read.
func (t *File) Stat() (State, error) {
	var info unix.Stat_t
	if err := unix.Fstat(t.fd, &info); err != nil {
		return t.state, fmt.Errorf("stat %s: %w", t.f.Name(), err)
	}
	modified := time.Unix(info.Mtim.Unix())
	changed := info.Size != t.onDisk || !modified.Equal(t.state.Modified)
	state := State{Size: t.state.Size, Modified: modified, Deleted: info.Nlink == 0}
	if changed {
		state.Size = t.size(info.Size)
	}
	t.state, t.onDisk = state, info.Size
	if t.state.Size < t.pos && t.zip == nil {
		return t.state, fmt.Errorf("stat: %d bytes, %d were read: %w", t.state.Size, t.pos, ErrTruncated)
	}
	if changed && t.headLen > 0 && t.base == 0 && t.zip == nil && t.lastN == 0 {
		if err := t.verify(); err != nil {
			return t.state, err
		}
	}
	return t.state, nil
}

// size is how far the log goes in a file of onDisk bytes.
func (t *File) size(onDisk int64) int64 {
	if t.zip != nil {
		return 0 // Measure tells
	}
	if s, ok := t.src.(shifted); ok {
		return max(t.base, onDisk-s.by)
	}
	return onDisk
}

// Measure finds out how large a compressed log is, which Stat does not. The
// error says that the file is not whole, or not yet. If consumed is the size,
// as far as the file's trailer tells, it need not be decompressed.
func (t *File) Measure(consumed int64) error {
	if t.zip == nil {
		return nil
	}
	if n, err := t.zip.trailer(t.onDisk); err == nil && consumed > 0 && n == uint32(consumed) {
		t.state.Size = consumed
		return nil
	}
	size, err := t.zip.measure()
	t.state.Size = size
	return err
}

// verify notices that a truncated file has grown again past where we were.
func (t *File) verify() error {
	var b [headBytes]byte
	head := b[:min(t.headLen, headBytes)]
	var err error
	if t.headLen <= headBytes {
		_, err = t.src.ReadAt(head, t.headAt)
	} else {
		_, err = t.src.ReadAt(head[:headBytes/2], t.headAt)
		if err == nil {
			_, err = t.src.ReadAt(head[headBytes/2:], t.headAt+t.headLen-headBytes/2)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("verify: %w", err)
	}
	if err != nil || FileID(t.owner, head) != t.id {
		return fmt.Errorf("verify: the first record has changed: %w", ErrTruncated)
	}
	return nil
}

// Identify computes the FileID once the first record is complete.
func (t *File) Identify(buf *Buffer) (uint64, bool, error) {
	if t.headLen > 0 {
		return t.id, true, nil
	}
	var found bool
	err := t.next(buf, 0, 1, func(r Record) error {
		first := r.Data
		if len(first) > 0 {
			t.first = first[0]
		}
		if t.framing == Lines {
			first = append(first, '\n') // the newline's byte is in the buffer
		}
		t.id = FileID(t.owner, first)
		t.headAt, t.headLen = r.Offset, r.End-r.Offset
		if t.framing == Prefixed && !r.Torn {
			t.headAt, t.headLen = t.headAt+word, t.headLen-2*word // the lengths are no part of it
		}
		found = true
		return errStop
	})
	if err != nil && !errors.Is(err, errStop) {
		return 0, false, err
	}
	return t.id, found, nil
}

// guardBytes is how much before an offset tells whether it is still the same file.
const guardBytes = 64

// Guard is a hash of what stands right before offset in a log that begins at
// r's; never 0 behind the log's beginning.
func Guard(r io.ReaderAt, offset int64) (uint64, error) {
	n := min(guardBytes, offset)
	if n <= 0 {
		return 0, nil
	}
	var b [guardBytes]byte
	if _, err := r.ReadAt(b[:n], offset-n); err != nil {
		return 0, fmt.Errorf("guard of %d: %w", offset, err)
	}
	return max(1, xxhash.Sum64(b[:n])), nil
}

// Fits tells what speaks against offset, with the guard of then, being a place
// in this very log; nil if nothing does. A guard of 0 is not checked.
func (t *File) Fits(offset int64, guard uint64) error {
	if offset > t.state.Size {
		return fmt.Errorf("the file has %d bytes", t.state.Size)
	}
	if guard == 0 || t.base > 0 {
		return nil
	}
	found, err := Guard(t.src, offset)
	if err == nil && found != guard {
		err = errors.New("what stands before it has changed")
	}
	return err
}

// Resume goes to offset, up to which the file was acknowledged, if guard is
// Guard's of then; 0 is not checked. It refuses what cannot be the end of a
// record of this file; reading then begins at the file's beginning.
func (t *File) Resume(offset int64, guard uint64) error {
	if offset <= t.base {
		return nil
	}
	if err := t.Fits(offset, guard); err != nil {
		return fmt.Errorf("resume at %d: %w", offset, err)
	}
	if t.framing == Lines && guard == 0 && t.zip == nil {
		var last [1]byte
		if _, err := t.src.ReadAt(last[:], offset-1); err != nil {
			return fmt.Errorf("resume at %d: %w", offset, err)
		}
		if last[0] != '\n' {
			return fmt.Errorf("resume at %d: not the end of a record", offset)
		}
	}
	t.pos, t.scanned, t.lastN = offset, offset, 0
	return nil
}

// Restart makes a truncated file a new generation: no ID, nothing read.
func (t *File) Restart() {
	t.id, t.headLen, t.pos, t.scanned, t.state, t.onDisk, t.lastN = 0, 0, 0, 0, State{}, 0, 0
}

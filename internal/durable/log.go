package durable

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// LogOptions bound a Log. Zero values take the defaults.
type LogOptions struct {
	SegmentBytes int64       // a segment that has reached this is followed by a new one; default 16 MiB
	MaxBytes     int64       // of all segments together; default 1 GiB
	Perm         fs.FileMode // of the segments; default 0600
}

// Log is an append-only log of checked records in numbered segments
// (00000001.log, …). It is safe for concurrent use. A process never appends to
// a segment of an earlier one, so that (segment, offset) names one record for
// ever, also after a power failure took back what was not yet on disk.
type Log struct {
	dir  string
	opts LogOptions

	mu      sync.Mutex
	turn    sync.Cond        // somebody's fsync ended
	sizes   map[string]int64 // of every segment on disk, by path
	total   int64            // sum of sizes
	number  uint64           // of the newest segment
	active  *os.File         // nil: the next append begins a new segment
	written uint64           // appends written to active or before
	synced  uint64           // appends that are durable
	failed  uint64           // appends up to here that were not durable when their fsync failed
	cause   error            // of failed
	syncing bool
	closed  bool
}

// OpenLog opens the log in dir, which is made if it is missing. What a crash
// tore off at the end of the newest segment is cut.
func OpenLog(dir string, opts LogOptions) (*Log, error) {
	if opts.SegmentBytes <= 0 {
		opts.SegmentBytes = 16 << 20
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = 1 << 30
	}
	if opts.Perm == 0 {
		opts.Perm = 0o600
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{dir: dir, opts: opts, sizes: map[string]int64{}}
	l.turn.L = &l.mu
	segments, err := Segments(dir)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	for i, path := range segments {
		var size int64
		if i == len(segments)-1 {
			size, err = cutTorn(path)
		} else {
			size, err = fileSize(path)
		}
		if err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
		l.sizes[path] = size
		l.total += size
		l.number = max(l.number, segmentNumber(path))
	}
	return l, nil
}

// Segments lists the segments in dir, oldest first.
func Segments(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var paths []string
	for _, e := range entries {
		if segmentNumber(e.Name()) > 0 && e.Type().IsRegular() {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	slices.SortFunc(paths, func(a, b string) int {
		return int(segmentNumber(a)) - int(segmentNumber(b))
	})
	return paths, nil
}

// segmentNumber is 0 for what is no segment.
func segmentNumber(path string) uint64 {
	name, ok := strings.CutSuffix(filepath.Base(path), ".log")
	if !ok || len(name) < 8 {
		return 0
	}
	n, err := strconv.ParseUint(name, 10, 63)
	if err != nil {
		return 0
	}
	return n
}

func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// cutTorn cuts what follows the last good record of path, and gives what is left.
func cutTorn(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	good, at := 0, 0
	for line := range bytes.Lines(b) {
		at += len(line)
		if record, whole := bytes.CutSuffix(line, []byte("\n")); whole {
			if _, ok := Record(record); ok {
				good = at
			}
		}
	}
	if good < len(b) {
		if err := os.Truncate(path, int64(good)); err != nil {
			return 0, err
		}
	}
	return int64(good), nil
}

// Record gives the payload of one record, a line without its newline; ok is
// false if its checksum does not match.
func Record(line []byte) (payload []byte, ok bool) {
	if len(line) < 9 || line[8] != ' ' {
		return nil, false
	}
	var sum [4]byte
	if _, err := hex.Decode(sum[:], line[:8]); err != nil {
		return nil, false
	}
	payload = line[9:]
	want := uint32(sum[0])<<24 | uint32(sum[1])<<16 | uint32(sum[2])<<8 | uint32(sum[3])
	return payload, crc32.Checksum(payload, castagnoli) == want
}

// AppendRecord appends payload's record, newline included, to dst.
func AppendRecord(dst, payload []byte) []byte {
	dst = fmt.Appendf(dst, "%08x ", crc32.Checksum(payload, castagnoli))
	dst = append(dst, payload...)
	return append(dst, '\n')
}

// Header reports whether payload is that of a segment's first record, which
// belongs to the log and not to who appends.
func Header(payload []byte) bool { return len(payload) > 0 && payload[0] == '#' }

// Append makes payloads durable, in one piece of the log, before it returns.
// A payload is a line: without newlines, not empty, not beginning with '#'. The
// error wraps ErrFull if the log has no room; nothing was appended then. After
// any other error the payloads may or may not be there.
func (l *Log) Append(payloads ...[]byte) error {
	var buf []byte
	for _, p := range payloads {
		if len(p) == 0 || Header(p) || bytes.IndexByte(p, '\n') >= 0 {
			return errors.New("append to log: a payload is one line that does not begin with '#'")
		}
		buf = AppendRecord(buf, p)
	}
	if len(buf) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(buf); err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	if err := l.commit(l.written); err != nil {
		return fmt.Errorf("append to log: %w", err)
	}
	return nil
}

// write puts buf into the active segment. l.mu is held.
func (l *Log) write(buf []byte) error {
	if l.closed {
		return fs.ErrClosed
	}
	if l.total+int64(len(buf)) > l.opts.MaxBytes {
		return fmt.Errorf("%w: %d of %d bytes are used", ErrFull, l.total, l.opts.MaxBytes)
	}
	if l.active != nil && l.sizes[l.active.Name()] >= l.opts.SegmentBytes {
		if err := l.finish(); err != nil {
			return err
		}
	}
	if l.active == nil {
		if err := l.begin(); err != nil {
			return err
		}
	}
	n, err := l.active.Write(buf)
	l.sizes[l.active.Name()] += int64(n)
	l.total += int64(n)
	if err != nil {
		// A record may be torn. Readers may have seen the whole ones before it, so
		// nothing is taken back: the next append begins a new segment.
		return errors.Join(err, l.finish())
	}
	l.written++
	return nil
}

// begin makes the next segment the active one. l.mu is held.
func (l *Log) begin() error {
	var nonce [8]byte
	_, _ = rand.Read(nonce[:]) // never fails
	head := AppendRecord(nil, fmt.Appendf(nil, "# coldscope log 1 segment %d %x", l.number+1, nonce))
	path := filepath.Join(l.dir, fmt.Sprintf("%08d.log", l.number+1))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, l.opts.Perm)
	if err != nil {
		return err
	}
	l.number++
	if _, err := f.Write(head); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	if err := SyncDir(l.dir); err != nil {
		return errors.Join(err, f.Close(), os.Remove(path))
	}
	l.active = f
	l.sizes[path] = int64(len(head))
	l.total += int64(len(head))
	return nil
}

// finish makes the active segment durable and closes it. l.mu is held.
func (l *Log) finish() error {
	for l.syncing {
		l.turn.Wait()
	}
	if l.active == nil {
		return nil
	}
	err := l.active.Sync()
	l.settle(l.written, err)
	err = errors.Join(err, l.active.Close())
	l.active = nil
	return err
}

// settle notes that what was written up to seq is durable, or is not. l.mu is held.
func (l *Log) settle(seq uint64, err error) {
	if err != nil {
		l.failed, l.cause = seq, err
	}
	l.synced = max(l.synced, seq)
	l.turn.Broadcast()
}

// commit returns when append seq is durable: one fsync serves all who wait.
// l.mu is held, and let go meanwhile.
func (l *Log) commit(seq uint64) error {
	for l.synced < seq {
		if l.syncing {
			l.turn.Wait()
			continue
		}
		l.syncing = true
		upTo, f := l.written, l.active
		l.mu.Unlock()
		err := f.Sync()
		l.mu.Lock()
		l.syncing = false
		l.settle(upTo, err)
		if err != nil && l.active == f {
			// The kernel may have dropped what it could not write: leave the segment.
			err = errors.Join(err, f.Close())
			l.active = nil
		}
		if err != nil {
			return err
		}
	}
	if seq <= l.failed {
		return l.cause
	}
	return nil
}

// Remove deletes a segment whose records are all consumed. The active segment
// stays; false says so.
func (l *Log) Remove(path string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.active != nil && l.active.Name() == path {
		return false, nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("remove segment: %w", err)
	}
	l.total -= l.sizes[path]
	delete(l.sizes, path)
	return true, nil
}

// Size is the bytes that the segments take on disk.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

// Close ends the log; what was appended is durable.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.finish()
}

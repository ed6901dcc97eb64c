package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/faas"
)

// maxChunk is where containerd cuts a line into partial records.
const maxChunk = 16 << 10

// logFile is one instance's log in CRI format:
//
//	2026-11-23T04:51:59.793563646Z stdout F a whole line
//	2026-11-23T04:51:59.793570011Z stderr P 16384 bytes of a longer one
type logFile struct {
	now func() time.Time

	mu sync.Mutex
	// guarded by mu, so that the order of records is the order of their times:
	f   *os.File
	buf []byte
	err error // the first failure; nothing is written after it
}

func createLog(path string, now func() time.Time) (*logFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("create log: %w", err)
	}
	return &logFile{now: now, f: f}, nil
}

// append writes one record.
func (l *logFile) append(stream faas.Stream, tag byte, content []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	b := l.now().UTC().AppendFormat(l.buf[:0], time.RFC3339Nano)
	b = append(b, ' ')
	b = append(b, stream...)
	b = append(b, ' ', tag, ' ')
	b = append(b, content...)
	b = append(b, '\n')
	_, l.err = l.f.Write(b)
	l.buf = b
}

// close reports the first failure of the log's whole life.
func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.err, l.f.Close())
}

// outlet takes what an instance writes to one of its streams into the log.
type outlet struct {
	stream faas.Stream
	log    *logFile
	r      *os.File // read end of the instance's pipe, non-blocking

	mu sync.Mutex
	// guarded by mu, which is held from the read until the records are written:
	buf     []byte
	pending []byte // an unfinished line
	eof     bool
}

// newOutlet makes the pipe; w is the end for the instance.
func newOutlet(stream faas.Stream, log *logFile) (o *outlet, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("open pipe: %w", err)
	}
	// Only our end: the instance expects a stdout that blocks.
	if err := unix.SetNonblock(fds[0], true); err != nil {
		_ = unix.Close(fds[0])
		_ = unix.Close(fds[1])
		return nil, nil, fmt.Errorf("open pipe: %w", err)
	}
	r := os.NewFile(uintptr(fds[0]), string(stream))
	w = os.NewFile(uintptr(fds[1]), string(stream))
	return &outlet{stream: stream, log: log, r: r, buf: make([]byte, 64<<10)}, w, nil
}

// run copies until the last writer has closed the pipe or the outlet is closed.
func (o *outlet) run() {
	raw, err := o.r.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool { return o.drain(int(fd)) }) // fails only if closed
}

// settle takes all that is in the pipe now into the log, so that whatever was
// written before the call has an earlier time than the call's return.
func (o *outlet) settle() {
	raw, err := o.r.SyscallConn()
	if err != nil {
		return
	}
	// Control, since Read is exclusive and run is in it nearly always.
	_ = raw.Control(func(fd uintptr) { o.drain(int(fd)) })
}

// drain reads until the pipe is empty (false) or at its end (true).
func (o *outlet) drain(fd int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.eof {
		n, err := unix.Read(fd, o.buf)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return false
		case err != nil || n == 0:
			o.eof = true
			o.finish()
		default:
			o.take(o.buf[:n])
		}
	}
	return true
}

// take splits p, which follows on pending, into records.
func (o *outlet) take(p []byte) {
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		line := p[:i]
		if len(o.pending) > 0 {
			o.pending = append(o.pending, line...)
			line = o.pending
		}
		o.log.append(o.stream, 'F', o.cut(line))
		o.pending = o.pending[:0]
		p = p[i+1:]
	}
	o.pending = append(o.pending, p...)
	rest := o.cut(o.pending)
	o.pending = append(o.pending[:0], rest...)
}

// cut writes partial records until what is left fits one record.
func (o *outlet) cut(line []byte) []byte {
	for len(line) > maxChunk {
		o.log.append(o.stream, 'P', line[:maxChunk])
		line = line[maxChunk:]
	}
	return line
}

// finish writes a last line that has no end: it stays partial, as containerd leaves it.
func (o *outlet) finish() {
	if len(o.pending) > 0 {
		o.log.append(o.stream, 'P', o.pending)
		o.pending = nil
	}
}

// close ends run.
func (o *outlet) close() { o.r.Close() }

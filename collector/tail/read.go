package tail

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

var errStop = errors.New("stop")

// Records calls yield for every whole record from the current position on, and
// returns when there is none left of what Stat saw, or yield fails. A record
// that yield refused is the next one again.
//
// The error wraps ErrTruncated if what stands before the position has changed:
// the file was truncated, and has grown again.
func (t *File) Records(buf *Buffer, yield func(Record) error) error {
	return t.records(buf, t.state.Size, yield)
}

// maxPoll is how much Poll reads at most.
const maxPoll = 64 << 20

// Poll is Records for a file that Stat has not looked at since it may have
// grown: one system call tells that, and reads. It does not see that the file
// was deleted, or has become shorter.
func (t *File) Poll(buf *Buffer, yield func(Record) error) error {
	err := t.records(buf, t.pos+maxPoll, yield)
	t.state.Size = max(t.state.Size, t.pos)
	return err
}

func (t *File) records(buf *Buffer, upTo int64, yield func(Record) error) error {
	return t.next(buf, t.pos, upTo, func(r Record) error {
		if err := yield(r); err != nil {
			return err
		}
		t.pos, t.scanned = r.End, r.End
		return nil
	})
}

// read reads at off of the log. A read of less than p ends at the file's end.
func (t *File) read(p []byte, off int64) (n int, atEnd bool, err error) {
	if t.zip != nil {
		n, err = t.zip.ReadAt(p, off)
		atEnd = errors.Is(err, io.EOF)
	} else {
		if s, ok := t.src.(shifted); ok {
			off += s.by
		}
		for {
			if n, err = unix.Pread(t.fd, p, off); !errors.Is(err, unix.EINTR) {
				break
			}
		}
		n, atEnd = max(n, 0), n < len(p)
	}
	if err != nil && !atEnd || err != nil && t.zip == nil {
		return n, atEnd, fmt.Errorf("read %s: %w", t.f.Name(), err)
	}
	return n, atEnd, nil
}

// again reads at the position, and looks whether what was before it still is.
func (t *File) again(p []byte) (n int, atEnd bool, err error) {
	if t.lastN == 0 || t.lastN >= len(p) {
		return t.read(p, t.pos)
	}
	n, atEnd, err = t.read(p, t.pos-int64(t.lastN))
	if err != nil {
		return 0, atEnd, err
	}
	if n < t.lastN || !bytes.Equal(p[:t.lastN], t.last[:t.lastN]) {
		return 0, false, fmt.Errorf("read %s: what stands before %d has changed: %w", t.f.Name(), t.pos, ErrTruncated)
	}
	return copy(p, p[t.lastN:n]), atEnd, nil
}

// remember takes note of what was read up to the position. What was cut is not
// in the buffer as it is in the file: Stat looks at the file's head then.
func (t *File) remember(consumed []byte, cut bool) {
	if cut {
		t.lastN = 0
		return
	}
	if n := len(consumed); n >= guardBytes {
		t.lastN = copy(t.last[:], consumed[n-guardBytes:])
		return
	}
	keep := min(t.lastN, guardBytes-len(consumed))
	copy(t.last[:], t.last[t.lastN-keep:t.lastN])
	t.lastN = keep + copy(t.last[keep:], consumed)
}

// next frames records from pos on, at least up to upTo if they are there.
func (t *File) next(buf *Buffer, pos, upTo int64, yield func(Record) error) error {
	if t.framing == Prefixed {
		return t.prefixed(buf, pos, upTo, yield)
	}
	// Where a long record was searched before, look at what is new first.
	if pos == t.pos && t.scanned-pos >= int64(len(buf.b)) {
		if found, err := t.newline(t.scanned); found < 0 || err != nil {
			return err
		}
	}
	mine := pos == t.pos // not Identify's
	have := 0            // bytes in the buffer, which begin at pos and hold no newline
	for first := mine; ; first = false {
		var n int
		var atEnd bool
		var err error
		if first {
			n, atEnd, err = t.again(buf.b)
		} else {
			n, atEnd, err = t.read(buf.b[have:], pos+int64(have))
		}
		if err != nil {
			return err
		}
		filled := buf.b[:have+n]
		rest, cut, err := t.lines(filled, have, pos, upTo, yield)
		if mine {
			t.remember(filled[:len(filled)-len(rest)], cut)
		}
		pos += int64(len(filled) - len(rest))
		if err != nil || pos >= upTo {
			return err
		}
		have = copy(buf.b, rest)
		switch {
		case atEnd:
			if pos >= t.pos {
				t.scanned = pos + int64(have)
			}
			return nil
		case have < len(buf.b):
		case len(buf.b) <= t.limit:
			buf.grow(t.limit)
		default:
			r, err := t.long(buf, pos)
			if err != nil || r.End == 0 {
				return err
			}
			if err := yield(r); err != nil {
				return err
			}
			pos, have = r.End, 0
			if mine {
				t.remember(nil, true)
			}
			if pos >= upTo {
				return nil
			}
		}
	}
}

// lines yields the records in b, which begins at pos and has no newline before
// searched, and gives what is left: what follows the last newline, upTo, or
// begins with the record that yield refused. cut says that one was cut.
func (t *File) lines(b []byte, searched int, pos, upTo int64, yield func(Record) error) (rest []byte, cut bool, err error) {
	for pos < upTo {
		i := bytes.IndexByte(b[searched:], '\n')
		if i < 0 {
			break
		}
		i += searched
		r := Record{Data: b[:i], Offset: pos, End: pos + int64(i) + 1}
		t.trim(&r)
		if err := yield(r); err != nil {
			return b, cut, err
		}
		cut = cut || r.Cut > 0
		pos, b, searched = r.End, b[i+1:], 0
	}
	return b, cut, nil
}

// grow makes room for a longer record, at most for one of limit bytes and its newline.
func (b *Buffer) grow(limit int) {
	bigger := make([]byte, min(max(2*len(b.b), 4096), limit+1))
	copy(bigger, b.b)
	b.b = bigger
}

// trim cuts r to the limit.
func (t *File) trim(r *Record) {
	if len(r.Data) <= t.limit {
		return
	}
	r.CutAt = t.limit - keepEnd
	r.Cut = int64(len(r.Data) - t.limit)
	copy(r.Data[r.CutAt:], r.Data[len(r.Data)-keepEnd:])
	r.Data = r.Data[:t.limit]
}

// long gives the record at pos, which does not fit the buffer: its two ends.
// End is 0 if its newline is not there yet.
func (t *File) long(buf *Buffer, pos int64) (Record, error) {
	nl, err := t.newline(max(t.scanned, pos+int64(len(buf.b))))
	if err != nil || nl < 0 {
		return Record{}, err
	}
	return t.ends(buf, pos, nl)
}

// ends gives the record in [pos, end), which is over the limit, by its two ends.
func (t *File) ends(buf *Buffer, pos, end int64) (Record, error) {
	if len(buf.b) <= t.limit {
		buf.b = make([]byte, t.limit+1)
	}
	r := Record{Offset: pos, End: end + 1, CutAt: t.limit - keepEnd, Cut: end - pos - int64(t.limit)}
	if _, err := t.src.ReadAt(buf.b[:r.CutAt], pos); err != nil {
		return Record{}, fmt.Errorf("read: %w", err)
	}
	if _, err := t.src.ReadAt(buf.b[r.CutAt:t.limit], end-keepEnd); err != nil {
		return Record{}, fmt.Errorf("read: %w", err)
	}
	r.Data = buf.b[:t.limit]
	return r, nil
}

// newline gives the offset of the first newline from offset on; -1 if there is
// none yet, which it remembers.
func (t *File) newline(offset int64) (int64, error) {
	b := make([]byte, scanBytes)
	for {
		n, err := t.src.ReadAt(b, offset)
		if i := bytes.IndexByte(b[:n], '\n'); i >= 0 {
			return offset + int64(i), nil
		}
		offset += int64(n)
		if errors.Is(err, io.EOF) {
			t.scanned = offset
			return -1, nil
		}
		if err != nil {
			return -1, fmt.Errorf("read: %w", err)
		}
	}
}

// Rest gives what follows the last whole record, if the file will not grow any
// more; false if there is nothing.
func (t *File) Rest(buf *Buffer) (Record, bool, error) {
	size := t.state.Size
	if size <= t.pos {
		return Record{}, false, nil
	}
	if size-t.pos > int64(t.limit) {
		r, err := t.ends(buf, t.pos, size)
		r.End, r.Torn = size, true
		return r, err == nil, err
	}
	for len(buf.b) < int(size-t.pos) {
		buf.grow(t.limit)
	}
	n, err := t.src.ReadAt(buf.b[:size-t.pos], t.pos)
	if err != nil && !errors.Is(err, io.EOF) {
		return Record{}, false, fmt.Errorf("read: %w", err)
	}
	return Record{Data: buf.b[:n], Offset: t.pos, End: t.pos + int64(n), Torn: true}, n > 0, nil
}

// Skip goes to offset, behind what Rest gave.
func (t *File) Skip(offset int64) { t.pos, t.scanned, t.lastN = offset, offset, 0 }

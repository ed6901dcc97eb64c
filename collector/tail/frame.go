package tail

import "encoding/binary"

// Framing is how a file says where a record ends.
type Framing uint8

// The framings.
const (
	Lines    Framing = iota // a record ends with a newline
	Prefixed                // its length, 4 bytes big endian, stands before it and behind it, as in Docker's local driver
)

// word is the size of a length.
const word = 4

// prefixed frames records with lengths from pos on, at least up to upTo if
// they are there. What is no record is skipped up to the next one and given as
// a Torn record, so that nobody loses it silently.
func (t *File) prefixed(buf *Buffer, pos, upTo int64, yield func(Record) error) error {
	have := 0
	for {
		n, atEnd, err := t.read(buf.b[have:], pos+int64(have))
		if err != nil {
			return err
		}
		rest := buf.b[:have+n]
		for {
			size, whole := t.record(rest)
			if size == 0 && !whole {
				break
			}
			r := Record{Data: rest[:size], Offset: pos, End: pos + int64(size), Torn: !whole}
			if whole {
				r.Data = rest[word : size-word]
			}
			if err := yield(r); err != nil {
				return err
			}
			pos, rest = r.End, rest[size:]
			if pos >= upTo {
				return nil
			}
		}
		have = copy(buf.b, rest)
		if atEnd {
			return nil
		}
		if have == len(buf.b) {
			buf.grow(t.limit + 2*word)
		}
	}
}

// record gives the size of what b begins with: a whole record, or, with whole
// false, something that is none. It is 0 if more is needed to say.
func (t *File) record(b []byte) (size int, whole bool) {
	if n, ok := t.lengthAt(b, 0); ok {
		return n, n > 0
	}
	if len(b) < word {
		return 0, false
	}
	// Not a record. Look for the next thing that is one for sure.
	for i := 1; i+word <= len(b); i++ {
		if _, ok := t.lengthAt(b, i); ok {
			return i, false
		}
	}
	if len(b) > t.limit {
		return len(b) - word, false
	}
	return 0, false
}

// lengthAt gives the size of the record that begins at i, lengths included; 0
// if it may be one but is not whole; ok is false if it is none.
func (t *File) lengthAt(b []byte, i int) (size int, ok bool) {
	if len(b)-i < word {
		return 0, false
	}
	n := int64(binary.BigEndian.Uint32(b[i:]))
	if n == 0 || n > int64(t.limit) {
		return 0, false
	}
	size = int(n) + 2*word
	if len(b)-i < size {
		return 0, i == 0
	}
	if binary.BigEndian.Uint32(b[i+size-word:]) != uint32(n) {
		return 0, false
	}
	return size, true
}

package runtimelog

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// A text is read in blocks of 64 bytes, whose backslashes and quotes become
// bits of two words. So short spans between escapes, as in JSON in JSON, cost no
// look at each byte.
const (
	block = 64
	// over is how many bytes the copy of a short span moves, needed or not: a
	// UUID is one, and a copy of known length costs no branch.
	over = 48
)

// marks are what stands in a block: bit i is of its byte i.
type marks struct{ slash, quote uint64 }

// scanWords is scan for any machine, eight bytes in a word at once.
func scanWords(data []byte, out []marks) (control, wide uint64) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	equal := func(w, c uint64) uint64 {
		w ^= ones * c
		w = ^((w&^tops + ^uint64(tops)) | w) & tops
		return w >> 7 * 0x0102040810204080 >> 56
	}
	for k := range out {
		var m marks
		for i := 0; i < block; i += 8 {
			w := binary.LittleEndian.Uint64(data[k*block+i:])
			wide |= w & tops
			control |= (w - ones*' ') &^ w & tops
			m.slash |= equal(w, '\\') << i
			m.quote |= equal(w, '"') << i
		}
		out[k] = m
	}
	return control, wide
}

// marked scans data[from:to] and what follows to the end of a block.
func (d *Decoder) marked(data []byte, from, to int) (m []marks, control, wide uint64) {
	n := (to - from + block - 1) / block
	if cap(d.marks) < n {
		d.marks = make([]marks, n+n/2)
	}
	m = d.marks[:n]
	whole := min(n, (len(data)-from)/block)
	if whole > 0 {
		control, wide = scan(&data[from], m[:whole])
	}
	if whole < n {
		last := [block]byte{}
		for i := copy(last[:], data[from+whole*block:]); i < block; i++ {
			last[i] = ' '
		}
		c, w := scanWords(last[:], m[whole:])
		control, wide = control|c, wide|w
	}
	return m, control, wide
}

// text decodes the JSON string in data[from:to]. At least over bytes follow it
// there, none of which is a control character. ascii says that the result is
// plain ASCII. ok is false for an escape or a byte that JSON does not know in a
// string. Of what is not UTF-8, nothing is said.
func (d *Decoder) text(data []byte, from, to int) (body []byte, ascii, ok bool) {
	if from == to {
		return data[from:to], true, true
	}
	all, control, wide := d.marked(data, from, to)
	if control != 0 {
		return nil, false, false
	}
	var dst []byte // the result, from the first escape on
	out := 0       // bytes of it
	start := from  // of what has not gone there yet
	for k, m := range all {
		base := from + k*block
		if left := to - base; left < block {
			keep := uint64(1)<<uint(left) - 1
			m.slash &= keep
			m.quote &= keep
		}
		if start > base { // an escape reached over from the last block
			skip := ^uint64(0) << uint(min(start-base, block))
			m.slash &= skip
			m.quote &= skip
		}
		if m.slash != 0 && dst == nil {
			dst = d.room(to - from)
		}
		for m.slash != 0 {
			bit := bits.TrailingZeros64(m.slash)
			i := base + bit
			if span := i - start; span <= over {
				into, span := (*[over]byte)(dst[out:]), (*[over]byte)(data[start:])
				*(*[16]byte)(into[:]) = *(*[16]byte)(span[:])
				*(*[16]byte)(into[16:]) = *(*[16]byte)(span[16:])
				*(*[16]byte)(into[32:]) = *(*[16]byte)(span[32:])
				out += i - start
			} else {
				out += copy(dst[out:], data[start:i])
			}
			if plain := escapes[data[i+1]]; plain != 0 {
				dst[out] = plain
				out++
				start = i + 2
				m.slash &^= 3 << uint(bit)
				m.quote &^= 2 << uint(bit)
				continue
			}
			r, size := unicode16(data[i:to])
			if size == 0 {
				return nil, false, false
			}
			n := utf8.EncodeRune(dst[out:], r)
			out += n
			if n > 1 {
				wide = 1
			}
			start = i + size
			m.slash &= ^uint64(0) << uint(min(start-base, block)) // a pair has two
		}
		if m.quote != 0 {
			return nil, false, false
		}
	}
	switch {
	case start > to: // the last escape is not complete
		return nil, false, false
	case dst == nil:
		return data[from:to], wide == 0, true
	}
	out += copy(dst[out:], data[start:to])
	return dst[:out], wide == 0, true
}

// room gives memory for a text of n bytes.
func (d *Decoder) room(n int) []byte {
	if n += over + utf8.UTFMax; cap(d.scratch) < n {
		d.scratch = make([]byte, n+n/2)
	}
	return d.scratch[:cap(d.scratch)]
}

// escapes gives what stands behind a backslash its meaning; 0 for what has none
// or is longer.
var escapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// unicode16 reads \uXXXX, or two of them that are a surrogate pair. size is 0
// if b does not begin with one.
func unicode16(b []byte) (r rune, size int) {
	r, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if utf16.IsSurrogate(r) {
		if low, ok := hex4(b[6:]); ok {
			if r := utf16.DecodeRune(r, low); r != utf8.RuneError {
				return r, 12
			}
		}
		r = utf8.RuneError
	}
	return r, 6
}

// hex4 reads \uXXXX.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

package runtimelog

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// A text is read in blocks of 64 bytes, eight bytes in a word at once: the
// words' backslashes become one word of 64 bits, so that short spans between
// escapes, as in JSON in JSON, cost no branch each.
const (
	block = 64
	ones  = 0x0101010101010101
	tops  = 0x8080808080808080
	// over is how many bytes the copy of a short span moves, needed or not: a
	// UUID is one, and a copy of known length costs no branch.
	over = 48
)

// backslashes gives a bit for each byte of w that is a backslash.
func backslashes(w uint64) uint64 {
	x := w ^ ones*'\\'
	x = ^(((x & ^uint64(tops)) + ^uint64(tops)) | x) & tops
	return x >> 7 * 0x0102040810204080 >> 56
}

// controls is not 0 if a byte of w is less than a space.
func controls(w uint64) uint64 { return (w - ones*' ') &^ w & tops }

// text decodes the JSON string in data[from:to]. At least over bytes follow it
// there that are neither control characters nor backslashes. ascii says that the result is plain
// ASCII. ok is false for an escape or a byte that JSON does not know in a string.
// Of what is not UTF-8, nothing is said.
func (d *Decoder) text(data []byte, from, to int) (body []byte, ascii, ok bool) {
	if bytes.IndexByte(data[from:to], '\\') < 0 {
		return plainText(data, from, to)
	}
	var (
		out           int    // bytes of the result
		start         = from // of what has not gone there yet
		quotes        int    // that were escaped
		control, wide uint64
	)
	dst := d.room(to - from)
	for base := from; base < to; base += block {
		var slash uint64
		if base+block <= len(data) {
			b := (*[block]byte)(data[base:])
			w0, w1 := binary.LittleEndian.Uint64(b[0:]), binary.LittleEndian.Uint64(b[8:])
			w2, w3 := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
			w4, w5 := binary.LittleEndian.Uint64(b[32:]), binary.LittleEndian.Uint64(b[40:])
			w6, w7 := binary.LittleEndian.Uint64(b[48:]), binary.LittleEndian.Uint64(b[56:])
			wide |= w0 | w1 | w2 | w3 | w4 | w5 | w6 | w7
			control |= controls(w0) | controls(w1) | controls(w2) | controls(w3) | controls(w4) | controls(w5) | controls(w6) | controls(w7)
			slash = backslashes(w0) | backslashes(w1)<<8 | backslashes(w2)<<16 | backslashes(w3)<<24 |
				backslashes(w4)<<32 | backslashes(w5)<<40 | backslashes(w6)<<48 | backslashes(w7)<<56
		} else {
			for i := base; i < to; i += 8 {
				w := binary.LittleEndian.Uint64(data[i:])
				wide |= w
				control |= controls(w)
				slash |= backslashes(w) << uint(i-base)
			}
		}
		if left := to - base; left < block {
			slash &= 1<<uint(left) - 1
		}
		if start > base { // an escape reached over from the last block
			slash &= ^uint64(0) << uint(min(start-base, block))
		}
		for slash != 0 {
			i := base + bits.TrailingZeros64(slash)
			c := data[i+1]
			plain := escapes[c]
			if span := i - start; span <= over {
				to, from := (*[over]byte)(dst[out:]), (*[over]byte)(data[start:])
				*(*[16]byte)(to[:]) = *(*[16]byte)(from[:])
				*(*[16]byte)(to[16:]) = *(*[16]byte)(from[16:])
				*(*[16]byte)(to[32:]) = *(*[16]byte)(from[32:])
				out += span
			} else {
				out += copy(dst[out:], data[start:i])
			}
			if plain != 0 {
				dst[out] = byte(plain)
				out++
				quotes += int(plain >> 8)
				start = i + 2
				slash &^= 3 << uint(i-base)
				continue
			}
			r, size := unicode16(data[i:to])
			if size == 0 {
				return nil, false, false
			}
			n := utf8.EncodeRune(dst[out:], r)
			out += n
			if n > 1 {
				wide = tops
			}
			start = i + size
			slash &= ^uint64(0) << uint(min(start-base, block)) // a pair has two
		}
	}
	if start > to { // the last escape is not complete
		return nil, false, false
	}
	if control&tops != 0 || bytes.Count(data[from:to], quote) != quotes {
		return nil, false, false
	}
	out += copy(dst[out:], data[start:to])
	return dst[:out], wide&tops == 0, true
}

// plainText is text for one without a backslash.
func plainText(data []byte, from, to int) (body []byte, ascii, ok bool) {
	body = data[from:to]
	var control, wide uint64
	for i := from; i < to; i += 8 {
		w := binary.LittleEndian.Uint64(data[i:])
		wide |= w
		control |= controls(w)
	}
	return body, wide&tops == 0, control == 0 && bytes.IndexByte(body, '"') < 0
}

var quote = []byte{'"'}

// room gives memory for a text of n bytes.
func (d *Decoder) room(n int) []byte {
	if n += over + utf8.UTFMax; cap(d.scratch) < n {
		d.scratch = make([]byte, n+n/2)
	}
	return d.scratch[:cap(d.scratch)]
}

// escapes gives what stands behind a backslash its meaning; 0 for what has none
// or is longer. A quote's has another bit, to count them.
var escapes = [256]uint16{
	'"': '"' | 1<<8, '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
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

package extract

import "strings"

// What is taken out of a body: escape sequences (ECMA-48: CSI, OSC and its
// like, with ESC or with a C1 character), and all other control characters but
// tab and line ends. A body is searched and printed to terminals: a NUL or a
// backspace hides in it what a reader does not see. Raw has them.

const esc = 0x1b

// Bytes of a word.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// load gives eight bytes of s from i on, the first as the lowest.
func load(s string, i int) uint64 {
	w := s[i : i+8] // one look at the bounds, one load
	return uint64(w[0]) | uint64(w[1])<<8 | uint64(w[2])<<16 | uint64(w[3])<<24 |
		uint64(w[4])<<32 | uint64(w[5])<<40 | uint64(w[6])<<48 | uint64(w[7])<<56
}

// below marks v's bytes that are below n (at most 128). Bytes above a marked
// one may be marked although they are not.
func below(v, n uint64) uint64 { return (v - n*ones) & ^v & highs }

// either does the same for bytes that are a or b.
func either(v, a, b uint64) uint64 {
	x, y := v^a*ones, v^b*ones
	return ((x-ones)&^x | (y-ones)&^y) & highs
}

// firstC1 gives the place of the first C1 character in s, -1 if there is none.
func firstC1(s string) int {
	for i := 0; i < len(s); i++ {
		n := strings.IndexByte(s[i:], 0xC2)
		if n < 0 {
			return -1
		}
		if i += n; control(s, i) > 0 {
			return i
		}
	}
	return -1
}

// control gives the bytes of the character at i if no body keeps it, else 0.
func control(s string, i int) int {
	switch c := s[i]; {
	case c < 0x20 && c != '\t' && c != '\n' && c != '\r':
		return 1
	case c == 0xC2 && i+1 < len(s) && s[i+1] < 0xA0:
		return 2
	}
	return 0
}

// strip takes out of s what no body keeps.
func strip(s string) string {
	at := nextControl(s, 0)
	if at == len(s) {
		return s
	}
	out := make([]byte, 0, len(s))
	for from := 0; ; {
		out = append(out, s[from:at]...)
		if at == len(s) {
			return string(out)
		}
		from = sequenceEnd(s, at)
		at = nextControl(s, from)
	}
}

// nextControl gives the place of the first character from i on that no body
// keeps, else len(s).
func nextControl(s string, i int) int {
	for i < len(s) && control(s, i) == 0 {
		i++
	}
	return i
}

// sequenceEnd gives the end of the escape sequence, or control character, at i.
// Of one that is cut short only what is surely its own is taken.
func sequenceEnd(s string, i int) int {
	at := i + control(s, i)
	var kind byte
	switch {
	case s[i] == 0xC2:
		kind = s[i+1] - 0x40 // U+009B is ESC [
	case s[i] != esc || at == len(s):
		return at
	default:
		kind = s[at]
		switch {
		case kind > ' ' && kind < 0x30: // ESC ( B
			at = skip(s, at, 0x21, 0x2F)
			return skipOne(s, at, 0x30, 0x7E)
		case kind < 0x30 || kind > 0x7E:
			return at // a stray ESC
		}
		at++
	}
	switch kind {
	case '[':
		return skipOne(s, skip(s, at, 0x20, 0x3F), 0x40, 0x7E)
	case ']', 'P', 'X', '^', '_':
		return stringEnd(s, at)
	}
	return at
}

func skip(s string, i int, low, high byte) int {
	for i < len(s) && s[i] >= low && s[i] <= high {
		i++
	}
	return i
}

func skipOne(s string, i int, low, high byte) int {
	if i < len(s) && s[i] >= low && s[i] <= high {
		i++
	}
	return i
}

// stringEnd gives the end of a control string (a title, a hyperlink's address)
// whose text begins at i. Text that no terminator follows is not taken: it
// would hide the rest of the line.
func stringEnd(s string, i int) int {
	at := i
	for at < len(s) && s[at] != '\n' && control(s, at) == 0 {
		at++
	}
	switch rest := s[at:]; {
	case strings.HasPrefix(rest, "\a"):
		return at + 1
	case strings.HasPrefix(rest, "\x1b\\"), strings.HasPrefix(rest, "\u009c"):
		return at + 2
	}
	return i
}

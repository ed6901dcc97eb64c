package pipeline

import "strings"

// decolorize takes ANSI escape sequences out of the line.
type decolorize struct{}

func (decolorize) apply(w *work) bool {
	if strings.IndexByte(w.body, '\x1b') >= 0 {
		w.body = Decolorize(w.body)
	}
	return true
}

// Decolorize is s without the escape sequences of terminals (ECMA-48): control
// sequences, such as colours, operating system commands, such as titles and
// links, and two-byte sequences.
func Decolorize(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for {
		at := strings.IndexByte(s, '\x1b')
		if at < 0 {
			b.WriteString(s)
			return b.String()
		}
		b.WriteString(s[:at])
		s = s[at+sequence(s[at:]):]
	}
}

// sequence is how long the escape sequence is that s begins with.
func sequence(s string) int {
	if len(s) < 2 {
		return len(s)
	}
	switch s[1] {
	case '[':
		for i := 2; i < len(s); i++ {
			switch c := s[i]; {
			case c >= 0x40 && c <= 0x7E:
				return i + 1
			case c < 0x20 || c > 0x7E:
				return i
			}
		}
		return len(s)
	case ']', 'P', 'X', '^', '_':
		for i := 2; i < len(s); i++ {
			if s[i] == '\a' {
				return i + 1
			}
			if s[i] == '\x1b' {
				if i+1 < len(s) && s[i+1] == '\\' {
					return i + 2
				}
				return i
			}
		}
		return len(s)
	case '(', ')', '#', '*', '+', '%', ' ':
		return min(3, len(s))
	}
	if s[1] >= 0x30 && s[1] <= 0x7E {
		return 2
	}
	return 1
}

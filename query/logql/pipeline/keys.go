package pipeline

import "strings"

// keys turns names as lines have them into names of labels. It remembers what
// it made, so that a name costs nothing the second time.
type keys struct{ made map[string]string }

// The bounds of what is remembered, for some lines have names that are values,
// and of a name. A value whose name is longer is no label: names are joined, and
// those of a line must not be much more than the line.
const (
	maxKeys = 1 << 14
	longKey = 128
	maxName = 1024
)

func (k *keys) label(key []byte) string {
	if len(key) > longKey {
		return string(key)
	}
	if l, ok := k.made[string(key)]; ok {
		return l
	}
	if k.made == nil || len(k.made) >= maxKeys {
		k.made = map[string]string{}
	}
	l := string(key)
	k.made[l] = l
	return l
}

func labelByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= '0' && c <= '9'
}

// appendKey adds key to b as a part of a label's name: each character that
// cannot be in one becomes _. At the beginning of a name a digit gets a _ before it.
func appendKey(b []byte, key string) []byte {
	key = strings.TrimSpace(key)
	if len(b) == 0 && key != "" && key[0] >= '0' && key[0] <= '9' {
		b = append(b, '_')
	}
	for i := 0; i < len(key) && len(b) <= maxName; i++ {
		switch c := key[i]; {
		case labelByte(c):
			b = append(b, c)
		case c >= 0x80 && c < 0xC0 && i > 0 && key[i-1] >= 0x80:
			// The rest of a character, which is one _.
		default:
			b = append(b, '_')
		}
	}
	return b
}

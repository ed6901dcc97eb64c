package pipeline

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads JSON (RFC 8259) out of a line without copying it. Texts need
// not be valid UTF-8.
type scanner struct {
	s string
	i int
	// wrong says what is not JSON in s, at i.
	wrong string
}

// maxDepth is how deep values may be in one another.
const maxDepth = 10000

func (c *scanner) fail(what string) bool {
	if c.wrong == "" {
		c.wrong = what + " at byte " + strconv.Itoa(c.i)
	}
	return false
}

func (c *scanner) space() {
	for c.i < len(c.s) {
		switch c.s[c.i] {
		case ' ', '\t', '\n', '\r':
			c.i++
		default:
			return
		}
	}
}

// peek is the next byte that is no white space, 0 at the end.
func (c *scanner) peek() byte {
	c.space()
	if c.i < len(c.s) {
		return c.s[c.i]
	}
	return 0
}

// end says that nothing follows any more.
func (c *scanner) end() bool {
	if c.space(); c.i < len(c.s) {
		return c.fail("text after the value")
	}
	return true
}

// plain are the bytes that mean themselves in a text.
var plain = func() (t [256]bool) {
	for i := 0x20; i < 256; i++ {
		t[i] = i != '"' && i != '\\'
	}
	return t
}()

// text reads a text, from its first quote on. escaped says that it has escapes,
// which unescape resolves.
func (c *scanner) text() (raw string, escaped, ok bool) {
	c.i++
	from := c.i
	for c.i < len(c.s) {
		b := c.s[c.i]
		if plain[b] {
			c.i++
			continue
		}
		switch b {
		case '"':
			raw = c.s[from:c.i]
			c.i++
			return raw, escaped, true
		case '\\':
			escaped = true
			if !c.escape() {
				return "", false, false
			}
		default:
			return "", false, c.fail("control character in a text")
		}
	}
	return "", false, c.fail("text without an end")
}

func (c *scanner) escape() bool {
	if c.i+1 >= len(c.s) {
		return c.fail("text without an end")
	}
	switch c.s[c.i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		c.i += 2
		return true
	case 'u':
		if _, ok := hex4(c.s[c.i+2:]); ok {
			c.i += 6
			return true
		}
	}
	return c.fail("unknown escape")
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for i := range 4 {
		switch b := s[i]; {
		case b >= '0' && b <= '9':
			r = r<<4 | rune(b-'0')
		case b >= 'a' && b <= 'f':
			r = r<<4 | rune(b-'a'+10)
		case b >= 'A' && b <= 'F':
			r = r<<4 | rune(b-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// unescape appends raw, a text that scanner has accepted, to b.
func unescape(b []byte, raw string) []byte {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			b = append(b, raw[i])
			i++
			continue
		}
		switch e := raw[i+1]; e {
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, _ := hex4(raw[i+2:])
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if len(raw) >= i+12 && raw[i+6] == '\\' && raw[i+7] == 'u' {
					low, _ := hex4(raw[i+8:])
					pair = utf16.DecodeRune(r, low)
				}
				if r = pair; r != utf8.RuneError {
					i += 6
				}
			}
			b = utf8.AppendRune(b, r)
			i += 4
		default:
			b = append(b, e)
		}
		i += 2
	}
	return b
}

// scalar reads a number, true, false or null and gives its text.
func (c *scanner) scalar() (string, bool) {
	from := c.i
	for _, word := range [...]string{"true", "false", "null"} {
		if len(c.s)-from >= len(word) && c.s[from:from+len(word)] == word {
			c.i += len(word)
			return word, true
		}
	}
	if !c.number() {
		return "", c.fail("no value")
	}
	return c.s[from:c.i], true
}

func (c *scanner) number() bool {
	if c.at('-') {
		c.i++
	}
	if c.at('0') {
		c.i++
	} else if !c.digits() {
		return false
	}
	if c.at('.') {
		c.i++
		if !c.digits() {
			return false
		}
	}
	if c.at('e') || c.at('E') {
		c.i++
		if c.at('+') || c.at('-') {
			c.i++
		}
		return c.digits()
	}
	return true
}

func (c *scanner) at(b byte) bool { return c.i < len(c.s) && c.s[c.i] == b }

// digits reads one or more digits.
func (c *scanner) digits() bool {
	from := c.i
	for c.i < len(c.s) && c.s[c.i] >= '0' && c.s[c.i] <= '9' {
		c.i++
	}
	return c.i > from
}

// skip reads any value.
func (c *scanner) skip(depth int) bool {
	switch c.peek() {
	case '"':
		_, _, ok := c.text()
		return ok
	case '{':
		return c.object(depth, func(string, bool) bool { return c.skip(depth + 1) })
	case '[':
		return c.array(depth, func(int) bool { return c.skip(depth + 1) })
	}
	_, ok := c.scalar()
	return ok
}

// object reads an object, from its brace on. member has to read the value of
// each key; escaped says that the key has escapes.
func (c *scanner) object(depth int, member func(key string, escaped bool) bool) bool {
	if depth > maxDepth {
		return c.fail("too deep")
	}
	c.i++
	if c.peek() == '}' {
		c.i++
		return true
	}
	for {
		if c.peek() != '"' {
			return c.fail("no key")
		}
		key, escaped, ok := c.text()
		if !ok {
			return false
		}
		if c.peek() != ':' {
			return c.fail("no colon after a key")
		}
		c.i++
		c.space()
		if !member(key, escaped) {
			return false
		}
		switch c.peek() {
		case ',':
			c.i++
		case '}':
			c.i++
			return true
		default:
			return c.fail("object without an end")
		}
	}
}

// array reads an array, from its bracket on. element has to read each value.
func (c *scanner) array(depth int, element func(index int) bool) bool {
	if depth > maxDepth {
		return c.fail("too deep")
	}
	c.i++
	if c.peek() == ']' {
		c.i++
		return true
	}
	for i := 0; ; i++ {
		c.space()
		if !element(i) {
			return false
		}
		switch c.peek() {
		case ',':
			c.i++
		case ']':
			c.i++
			return true
		default:
			return c.fail("array without an end")
		}
	}
}

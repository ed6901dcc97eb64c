package extract

import (
	"math/bits"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/coldscope/coldscope/internal/faas"
)

// Bounds of what is read as JSON.
const (
	maxDepth   = 64 // of a line that is JSON at all
	maxFlat    = 8  // of objects that become fields; deeper ones are values
	maxKey     = maxNameBytes
	maxPaths   = 4096 // names of nested fields kept for the next line
	jsonSpaces = " \t\r\n"
)

// json reads the body as a JSON object and reports whether it is one, down to
// the last byte. It takes what encoding/json takes.
func (r *reader) json() bool {
	if r.spaces(); r.peek() != '{' {
		return false
	}
	sent := len(r.attrs)
	if r.object("", 1, r.x.keepAll) {
		if r.spaces(); r.at == len(r.s) {
			return true
		}
	}
	r.restart(sent)
	return false
}

// object reads the object at r.at, whose path is path ("" for the line itself).
// kept tells whether its fields become attributes whatever they are called.
func (r *reader) object(path string, depth int, kept bool) bool {
	r.at++ // {
	if r.spaces(); r.take('}') {
		return true
	}
	for {
		if r.spaces(); r.peek() != '"' {
			return false
		}
		key, ok := r.text()
		if !ok {
			return false
		}
		if r.spaces(); !r.take(':') {
			return false
		}
		if r.spaces(); !r.field(r.join(path, key), depth, kept) {
			return false
		}
		r.spaces()
		if r.take(',') {
			continue
		}
		return r.take('}')
	}
}

// field reads the value at r.at, of the field called name; "" is a name that is
// too long or none.
func (r *reader) field(name string, depth int, kept bool) bool {
	meaning := r.x.fields.role(name)
	kept = (kept || meaning&roleKeep != 0) && meaning&roleDrop == 0 && name != ""
	from := r.at
	switch r.peek() {
	case '"':
		if !kept && meaning&^(roleKeep|roleDrop) == 0 {
			_, ok := r.skipText()
			return ok
		}
		value, ok := r.text()
		if !ok {
			return false
		}
		r.string(name, meaning, value, kept)
		return true
	case '{':
		if depth < maxFlat && name != "" && meaning&roleDrop == 0 {
			return r.object(name, depth+1, kept)
		}
	case 'n':
		return r.literal("null")
	}
	if !r.skipValue(depth) {
		return false
	}
	r.bare(name, meaning, r.s[from:r.at], kept)
	return true
}

// string takes a field's text.
func (r *reader) string(name string, meaning role, value string, kept bool) {
	switch {
	case meaning == 0:
	case meaning&roleLevel != 0:
		if s := faas.ParseSeverity(value); s != faas.SeverityUnknown {
			if r.severity == faas.SeverityUnknown {
				r.severity = s
			}
			return
		}
		if isNumber(value) {
			r.bare(name, meaning, value, kept)
			return
		}
	case meaning&roleStatus != 0:
		r.status(value)
	case meaning&roleTrace != 0:
		r.found.setTrace(value, false)
	case meaning&roleSpan != 0:
		r.found.setSpan(value, false)
	}
	r.keep(name, value, kept)
}

func isNumber(s string) bool {
	return s != "" && skip(s, 0, '0', '9') == len(s)
}

// bare takes a field's number, boolean or, as JSON, array.
func (r *reader) bare(name string, meaning role, value string, kept bool) {
	switch {
	case meaning&roleLevel != 0:
		if s := levelNumber(name, value); s != faas.SeverityUnknown {
			if r.byNumber == faas.SeverityUnknown {
				r.byNumber = s
			}
			return
		}
	case meaning&roleStatus != 0:
		r.status(value)
	}
	r.keep(name, value, kept)
}

func (r *reader) status(value string) {
	if r.byStatus == faas.SeverityUnknown {
		r.byStatus = statusSeverity(value)
	}
}

// keep makes an attribute, unless it is empty, too long, one too many, there
// already, or in a column.
func (r *reader) keep(name, value string, kept bool) {
	if !kept || value == "" || len(value) > r.x.valueBytes || len(r.attrs) >= r.x.attributes || r.found.column(value) {
		return
	}
	for i := range r.attrs {
		if r.attrs[i].Key == name {
			return
		}
	}
	r.attrs = append(r.attrs, faas.Attribute{Key: name, Value: value})
}

// join is the path of key in the object called path; "" if it is too long.
func (r *reader) join(path, key string) string {
	switch {
	case len(key) > maxKey || path != "" && len(path)+1+len(key) > maxKey:
		return ""
	case path == "":
		return key
	}
	r.path = append(append(append(r.path[:0], path...), '.'), key...)
	joined, ok := r.paths[string(r.path)]
	if !ok {
		joined = string(r.path)
		if len(r.paths) < maxPaths {
			r.paths[joined] = joined
		}
	}
	return joined
}

func (r *reader) peek() byte {
	if r.at < len(r.s) {
		return r.s[r.at]
	}
	return 0
}

func (r *reader) take(c byte) bool {
	if r.at < len(r.s) && r.s[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *reader) spaces() {
	if r.at < len(r.s) && r.s[r.at] <= ' ' {
		r.manySpaces()
	}
}

func (r *reader) manySpaces() {
	for r.at < len(r.s) && strings.IndexByte(jsonSpaces, r.s[r.at]) >= 0 {
		r.at++
	}
}

func (r *reader) literal(word string) bool {
	if !strings.HasPrefix(r.s[r.at:], word) {
		return false
	}
	r.at += len(word)
	return true
}

// text reads the string at r.at. One that is too long for an attribute in any
// case may keep its escapes.
func (r *reader) text() (string, bool) {
	from := r.at + 1
	escaped, ok := r.skipText()
	if !ok {
		return "", false
	}
	raw := r.s[from : r.at-1]
	if escaped && len(raw) <= len(`\u0000`)*max(r.x.valueBytes, maxKey) {
		return strip(unescape(raw)), true
	}
	return raw, true
}

// skipText passes the string at r.at, and tells whether it has escapes.
func (r *reader) skipText() (escaped, ok bool) {
	s := r.s
	for i := r.at + 1; ; {
		for ; i+8 <= len(s); i += 8 {
			v := load(s, i)
			if m := either(v, '"', '\\') | below(v, ' '); m != 0 {
				i += bits.TrailingZeros64(m) / 8
				break
			}
		}
		if i >= len(s) {
			return false, false
		}
		switch c := s[i]; {
		case c == '"':
			r.at = i + 1
			return escaped, true
		case c == '\\':
			n := escapeBytes(s[i:])
			if n == 0 {
				return false, false
			}
			escaped = true
			i += n
		case c < 0x20:
			return false, false
		default:
			i++
		}
	}
}

// escapeBytes gives the length of the escape that s begins with, 0 if it is
// none of JSON's.
func escapeBytes(s string) int {
	if len(s) < 2 {
		return 0
	}
	if s[1] == 'u' {
		if len(s) < 6 || hexEnd(s[2:6]) < 4 {
			return 0
		}
		return 6
	}
	if strings.IndexByte(`"\/bfnrt`, s[1]) < 0 {
		return 0
	}
	return 2
}

// unescape gives the text of a string whose escapes are JSON's. As in
// encoding/json, half a surrogate pair becomes U+FFFD.
func unescape(s string) string {
	out := make([]byte, 0, len(s))
	for {
		n := strings.IndexByte(s, '\\')
		if n < 0 {
			return string(append(out, s...))
		}
		out = append(out, s[:n]...)
		if s = s[n:]; s[1] != 'u' {
			out = append(out, escapes[s[1]])
			s = s[2:]
			continue
		}
		c := hexRune(s[2:6])
		s = s[6:]
		if utf16.IsSurrogate(c) {
			pair := utf8.RuneError
			if len(s) >= 6 && s[0] == '\\' && s[1] == 'u' {
				pair = utf16.DecodeRune(c, hexRune(s[2:6]))
			}
			if pair != utf8.RuneError {
				s = s[6:]
			}
			c = pair
		}
		out = utf8.AppendRune(out, c)
	}
}

// escapes are JSON's of two bytes, and logfmt's \'.
var escapes = [256]byte{'"': '"', '\'': '\'', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// hexRune reads four hexadecimal digits.
func hexRune(s string) rune {
	var n rune
	for _, c := range []byte(s) {
		if isLetter(c) {
			c = c | 0x20 - 'a' + 10
		} else {
			c -= '0'
		}
		n = n<<4 | rune(c)
	}
	return n
}

// skipValue passes any value at r.at, in depth objects and arrays.
func (r *reader) skipValue(depth int) bool {
	switch c := r.peek(); c {
	case '"':
		_, ok := r.skipText()
		return ok
	case 't':
		return r.literal("true")
	case 'f':
		return r.literal("false")
	case 'n':
		return r.literal("null")
	case '{', '[':
		return depth < maxDepth && r.skipNested(c, depth+1)
	}
	return r.skipNumber()
}

func (r *reader) skipNested(open byte, depth int) bool {
	end := open + 2 // } is behind {, ] behind [
	r.at++
	if r.spaces(); r.take(end) {
		return true
	}
	for {
		if open == '{' {
			if r.spaces(); r.peek() != '"' {
				return false
			}
			if _, ok := r.skipText(); !ok {
				return false
			}
			if r.spaces(); !r.take(':') {
				return false
			}
		}
		if r.spaces(); !r.skipValue(depth) {
			return false
		}
		r.spaces()
		if r.take(',') {
			continue
		}
		return r.take(end)
	}
}

func (r *reader) skipNumber() bool {
	r.take('-')
	if !r.take('0') && !r.digits() {
		return false
	}
	if r.take('.') && !r.digits() {
		return false
	}
	if r.take('e') || r.take('E') {
		if !r.take('+') {
			r.take('-')
		}
		return r.digits()
	}
	return true
}

func (r *reader) digits() bool {
	from := r.at
	r.at = skip(r.s, r.at, '0', '9')
	return r.at > from
}

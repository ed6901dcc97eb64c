package runtimelog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Docker writes the keys in this order and without spaces.
var (
	jsonLog    = []byte(`{"log":"`)
	jsonStream = []byte(`","stream":"`)
	jsonTime   = []byte(`"time":"`)
	newline    = []byte{'\n'}
)

// json decodes one record of Docker's json-file driver. A record whose text
// does not end in a newline goes on in the next one.
func (d *Decoder) json(data []byte) (Record, error) {
	rec, ok := d.jsonFast(data)
	var err error
	if !ok {
		rec, err = d.jsonSlow(data)
	}
	if err != nil {
		return Record{}, err
	}
	rec.Body, rec.Partial = endOfLine(rec.Body)
	return rec, nil
}

func endOfLine(body []byte) ([]byte, bool) {
	line, whole := bytes.CutSuffix(body, newline)
	return line, !whole
}

// jsonFast reads the shape that Docker writes; ok is false for any other.
func (d *Decoder) jsonFast(data []byte) (rec Record, ok bool) {
	rest, ok := bytes.CutPrefix(data, jsonLog)
	if !ok {
		return rec, false
	}
	body, n, ok := d.jsonString(rest)
	if !ok {
		return rec, false
	}
	rest, ok = bytes.CutPrefix(rest[n:], jsonStream)
	if !ok {
		return rec, false
	}
	end := bytes.IndexByte(rest, '"')
	if end < 0 {
		return rec, false
	}
	name := rest[:end]
	rest, ok = bytes.CutPrefix(rest[end+1:], []byte{','})
	if !ok {
		return rec, false
	}
	rest, ok = bytes.CutPrefix(rest, jsonTime) // not with attrs: those go the slow way
	if !ok || len(rest) < 2 || string(rest[len(rest)-2:]) != `"}` {
		return rec, false
	}
	stamp := rest[:len(rest)-2]
	var err error
	if rec.Stream, err = stream(name); err != nil {
		return rec, false // the slow way says what is wrong
	}
	if rec.Time, err = d.clock.parse(stamp); err != nil {
		return rec, false
	}
	rec.Body = body
	return rec, true
}

// jsonString decodes the JSON string whose opening quote is before b. n is the
// length of its text in b. ok is false if it does not end, or for an escape or
// a byte that JSON does not know.
func (d *Decoder) jsonString(b []byte) (s []byte, n int, ok bool) {
	i := special(b)
	if i == len(b) {
		return nil, 0, false
	}
	if b[i] == '"' {
		return b[:i], i, true
	}
	d.scratch = append(d.scratch[:0], b[:i]...)
	for b[i] == '\\' {
		var size int
		if d.scratch, size = unescape(d.scratch, b[i:]); size == 0 {
			return nil, 0, false
		}
		i += size
		plain := special(b[i:])
		d.scratch = append(d.scratch, b[i:i+plain]...)
		if i += plain; i == len(b) {
			return nil, 0, false
		}
	}
	return d.scratch, i, b[i] == '"'
}

// special gives the index of the first byte that ends plain text in a JSON
// string: a quote, a backslash or a control character; len(b) if there is none.
func special(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		// The classic test for a zero byte; the lowest bit that it sets is exact.
		found := (quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w
		if found &= tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < ' ' {
			break
		}
	}
	return i
}

// unescape appends what the escape at the beginning of b means; size is its
// length, 0 if it is none.
func unescape(dst, b []byte) (out []byte, size int) {
	if len(b) < 2 {
		return dst, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return append(dst, b[1]), 2
	case 'b':
		return append(dst, '\b'), 2
	case 'f':
		return append(dst, '\f'), 2
	case 'n':
		return append(dst, '\n'), 2
	case 'r':
		return append(dst, '\r'), 2
	case 't':
		return append(dst, '\t'), 2
	case 'u':
		r, ok := hex4(b)
		if !ok {
			return dst, 0
		}
		if utf16.IsSurrogate(r) {
			if low, ok := hex4(b[6:]); ok {
				if r := utf16.DecodeRune(r, low); r != utf8.RuneError {
					return utf8.AppendRune(dst, r), 12
				}
			}
			r = utf8.RuneError
		}
		return utf8.AppendRune(dst, r), 6
	}
	return dst, 0
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

// jsonSlow reads every JSON object that has the keys, in any shape.
func (d *Decoder) jsonSlow(data []byte) (Record, error) {
	var obj struct {
		Log    *string `json:"log"`
		Stream string  `json:"stream"`
		Time   string  `json:"time"`
	}
	var rec Record
	if err := json.Unmarshal(data, &obj); err != nil {
		return rec, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	var err error
	if rec.Stream, err = stream([]byte(obj.Stream)); err != nil {
		return rec, err
	}
	if rec.Time, err = d.clock.parse([]byte(obj.Time)); err != nil {
		return rec, err
	}
	if obj.Log != nil {
		rec.Body = []byte(*obj.Log)
	}
	return rec, nil
}

// jsonCut decodes a record over the limit, whose middle is missing: what of
// the text is in front of the gap, and the rest for stream, time and whether
// the text ends in a newline. It counts cut in bytes of the file, escapes and all.
func (d *Decoder) jsonCut(data []byte, cut int64, cutAt int) (Record, error) {
	if cutAt > len(data) {
		return Record{}, fmt.Errorf("%w: cut", ErrRecord)
	}
	text, ok := bytes.CutPrefix(data[:cutAt], jsonLog)
	// An unescaped quote cannot be inside the text, so this is its end.
	end := bytes.Index(data[cutAt:], jsonStream)
	if !ok || end < 0 {
		return Record{}, fmt.Errorf("%w: too long", ErrRecord)
	}
	behind := data[cutAt : cutAt+end]
	tail := append(append([]byte(nil), jsonLog...), data[cutAt+end:]...)
	rec, err := d.jsonSlow(tail)
	if err != nil {
		return rec, err
	}
	rec.Partial = !bytes.HasSuffix(behind, []byte(`\n`))
	body, _, ok := d.jsonString(append(append([]byte(nil), wholeEscapes(text)...), '"'))
	if !ok {
		return rec, fmt.Errorf("%w: bad string", ErrRecord)
	}
	rec.Body, rec.CutAt = body, len(body)
	rec.Cut = cut + int64(len(behind))
	return rec, nil
}

// wholeEscapes takes an escape that is not complete off the end of text.
func wholeEscapes(text []byte) []byte {
	from := max(0, len(text)-12)
	for i := from; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		// A backslash in an even place of a run of backslashes begins an escape.
		run := 0
		for i-run-1 >= 0 && text[i-run-1] == '\\' {
			run++
		}
		if run%2 == 1 {
			continue
		}
		if i+1 >= len(text) || text[i+1] == 'u' && i+6 > len(text) {
			return text[:i]
		}
	}
	return text
}

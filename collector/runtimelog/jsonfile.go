package runtimelog

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// What Docker writes around a record's text, in this order and without spaces.
const (
	jsonHead   = `{"log":"`
	jsonStream = `","stream":"`
	jsonName   = `","stream":"stdout"` // stderr is as long
	jsonAttrs  = `,"attrs":`
	jsonTime   = `,"time":"`
	jsonEnd    = `"}`
	// jsonTail is the least that follows a text, so that many bytes behind it can be read.
	jsonTail = len(jsonName) + len(jsonTime) + len("2006-01-02T15:04:05Z") + len(jsonEnd)
)

// json decodes one record of Docker's json-file driver. A record whose text
// does not end in a newline goes on in the next one.
func (d *Decoder) json(data []byte, rec *Record) error {
	if d.jsonFast(data, rec) {
		return nil
	}
	*rec = Record{}
	if err := d.jsonSlow(data, rec); err != nil {
		return err
	}
	endOfLine(rec)
	return nil
}

// endOfLine takes the newline off a text's end; without one the line goes on.
func endOfLine(rec *Record) {
	rec.Partial = true
	if last := len(rec.Body) - 1; last >= 0 && rec.Body[last] == '\n' {
		rec.Body, rec.Partial = rec.Body[:last], false
	}
}

// jsonFast reads the shape that Docker writes; it reports false for any other.
// It goes from the record's end, whose shape is fixed, to the text.
func (d *Decoder) jsonFast(data []byte, rec *Record) bool {
	if len(data) < len(jsonHead)+jsonTail || string(data[:len(jsonHead)]) != jsonHead ||
		string(data[len(data)-len(jsonEnd):]) != jsonEnd {
		return false
	}
	stampEnd := len(data) - len(jsonEnd)
	stamp := stampEnd - nanoLen
	if data[stamp-1] != '"' { // fewer digits, or a zone
		stamp = bytes.LastIndexByte(data[:stampEnd], '"') + 1
	}
	end := stamp - len(jsonTime) // of stream and attrs
	if end < len(jsonHead)+len(jsonName) || string(data[end:stamp]) != jsonTime {
		return false
	}
	text := end - len(jsonName) // the end of it
	if string(data[text:text+len(jsonStream)]) != jsonStream {
		if text = d.beforeAttrs(data, end); text < 0 {
			return false
		}
	}
	var ok bool
	name := data[text+len(jsonStream) : text+len(jsonName)-1]
	if rec.Stream = streamOf(name); rec.Stream == "" || data[text+len(jsonName)-1] != '"' {
		return false // the slow way says what is wrong
	}
	if rec.Time, ok = d.clock.parse(data[stamp:stampEnd]); !ok {
		return false
	}
	// Nearly every record ends a line. Where nothing else is escaped, its text
	// can then be taken where it stands.
	whole := string(data[text-2:text]) == `\n` && data[text-3] != '\\'
	if whole {
		text -= 2
	}
	rec.Body, rec.ascii, ok = d.text(data, len(jsonHead), text)
	if !whole {
		endOfLine(rec)
	}
	return ok
}

// beforeAttrs finds the end of the text of a record with attributes, which end
// at end; -1 if it is none. A text cannot hold what it looks for: a quote in
// it is behind a backslash.
func (d *Decoder) beforeAttrs(data []byte, end int) int {
	i := bytes.Index(data[:end], []byte(jsonStream))
	from := i + len(jsonName) // of the attributes with their key
	if i < len(jsonHead) || from > end {
		return -1
	}
	attrs := data[from:end]
	if !bytes.Equal(attrs, d.attrs) { // a container's are always the same
		value, ok := bytes.CutPrefix(attrs, []byte(jsonAttrs))
		if !ok || len(value) == 0 || value[0] != '{' || !json.Valid(value) {
			return -1
		}
		d.attrs = append(d.attrs[:0], attrs...)
	}
	return i
}

// jsonSlow reads every JSON object that has the keys, in any shape.
func (d *Decoder) jsonSlow(data []byte, rec *Record) error {
	var obj struct {
		Log    *string `json:"log"`
		Stream string  `json:"stream"`
		Time   string  `json:"time"`
	}
	if err := json.Unmarshal(data, &obj); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if rec.Stream = streamOf([]byte(obj.Stream)); rec.Stream == "" {
		return badStream([]byte(obj.Stream))
	}
	var ok bool
	if rec.Time, ok = d.clock.parse([]byte(obj.Time)); !ok {
		return badTime([]byte(obj.Time))
	}
	if obj.Log != nil {
		rec.Body = []byte(*obj.Log)
	}
	return nil
}

// jsonCut decodes a record over the limit, whose middle is missing: what of
// the text is in front of the gap, and the rest for stream, time and whether
// the text ends in a newline. It counts cut in bytes of the file, escapes and all.
func (d *Decoder) jsonCut(data []byte, cut int64, cutAt int, rec *Record) error {
	if cutAt > len(data) {
		return fmt.Errorf("%w: cut", ErrRecord)
	}
	text, ok := bytes.CutPrefix(data[:cutAt], []byte(jsonHead))
	// An unescaped quote cannot be inside the text, so this is its end.
	end := bytes.Index(data[cutAt:], []byte(jsonStream))
	if !ok || end < 0 {
		return fmt.Errorf("%w: too long", ErrRecord)
	}
	behind := data[cutAt : cutAt+end]
	tail := data[cutAt+end:]
	if err := d.jsonSlow(append([]byte(jsonHead), tail...), rec); err != nil {
		return err
	}
	rec.Partial = !bytes.HasSuffix(behind, []byte(`\n`))
	text = wholeEscapes(text)
	rec.Body, rec.ascii, ok = d.text(append(append([]byte(nil), text...), tail...), 0, len(text))
	if !ok {
		return fmt.Errorf("%w: bad string", ErrRecord)
	}
	rec.CutAt = len(rec.Body)
	rec.Cut = cut + int64(len(behind))
	return nil
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

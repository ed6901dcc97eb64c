package ingest

import (
	"fmt"
	"time"
	"unsafe"

	"github.com/grafana/loki/pkg/push"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/coldscope/coldscope/internal/faas"
)

// Field numbers of Loki's push.proto (github.com/grafana/loki/pkg/push), and
// of google.protobuf.Timestamp.
const (
	requestStreams = 1
	streamLabels   = 1
	streamEntries  = 2
	entryTimestamp = 1
	entryLine      = 2
	entryMetadata  = 3
	labelName      = 1
	labelValue     = 2
	timeSeconds    = 1
	timeNanos      = 2

	// The fields up to these are strings, bytes or messages.
	requestFields = 2
	streamFields  = 2
	entryFields   = 4
	labelFields   = 2
)

// DecodeRaw is Decode of a request in protobuf. The lines are parts of raw,
// which must not change any more: most of what the generated code does is to
// copy each line and the same few names of metadata.
//
// An error means that raw is no push request; nothing of it counts then.
func (d *Decoder) DecodeRaw(tenant string, raw []byte) (Batch, error) {
	r := rawReader{batch: d.batch(tenant)}
	text := unsafe.String(unsafe.SliceData(raw), len(raw))
	n, err := countEntries(text)
	if err == nil {
		r.batch.Lines = make([]faas.Line, 0, n)
		err = r.request(text)
	}
	if err != nil {
		return Batch{}, fmt.Errorf("not a Loki push request: %w", err)
	}
	return r.batch.Batch, nil
}

// countEntries counts the entries of all streams.
func countEntries(text string) (n int, err error) {
	for f := (message{text: text, known: requestFields}); f.next(); {
		if f.number != requestStreams {
			continue
		}
		s := message{text: f.value, known: streamFields}
		for s.next() {
			if s.number == streamEntries {
				n++
			}
		}
		if s.err != nil {
			return 0, s.err
		}
	}
	return n, nil // the request's own fields are checked when they are read
}

// rawReader reads requests in protobuf into its batch.
type rawReader struct {
	batch *batch
	entry push.Entry // used again for each
}

func (r *rawReader) request(text string) error {
	f := message{text: text, known: requestFields}
	for f.next() {
		if f.number != requestStreams {
			continue
		}
		if err := r.stream(f.value); err != nil {
			return err
		}
	}
	return f.err
}

// stream reads the labels first, wherever they stand.
func (r *rawReader) stream(text string) error {
	labels, entries := "", 0
	f := message{text: text, known: streamFields}
	for f.next() {
		switch f.number {
		case streamLabels:
			labels = f.value
		case streamEntries:
			entries++
		}
	}
	if f.err != nil {
		return f.err
	}
	from, refused := r.batch.stream(labels)
	if refused != nil {
		r.batch.reject(entries, refused)
	}
	for f = (message{text: text, known: streamFields}); f.next(); {
		if f.number != streamEntries {
			continue
		}
		if err := r.read(f.value); err != nil {
			return err
		}
		switch {
		case refused != nil:
		case from.stream == faas.Platform:
			r.batch.event(&r.entry)
		default:
			r.batch.line(from, &r.entry)
		}
	}
	return nil
}

// read fills r.entry.
func (r *rawReader) read(text string) (err error) {
	r.entry.Timestamp, r.entry.Line = time.Unix(0, 0), ""
	r.entry.StructuredMetadata = r.entry.StructuredMetadata[:0]
	f := message{text: text, known: entryFields}
	for f.next() {
		switch f.number {
		case entryTimestamp:
			r.entry.Timestamp, err = timestamp(f.value)
		case entryLine:
			r.entry.Line = f.value
		case entryMetadata:
			err = r.label(f.value)
		}
		if err != nil {
			return err
		}
	}
	return f.err
}

func (r *rawReader) label(text string) error {
	var label push.LabelAdapter
	f := message{text: text, known: labelFields}
	for f.next() {
		switch f.number {
		case labelName:
			label.Name = f.value
		case labelValue:
			label.Value = f.value
		}
	}
	r.entry.StructuredMetadata = append(r.entry.StructuredMetadata, label)
	return f.err
}

func timestamp(text string) (time.Time, error) {
	var seconds, nanos int64
	for b := view(text); len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return time.Time{}, protowire.ParseError(n)
		}
		b = b[n:]
		var v uint64
		if kind == protowire.VarintType {
			v, n = protowire.ConsumeVarint(b)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, b)
		}
		if n < 0 {
			return time.Time{}, protowire.ParseError(n)
		}
		b = b[n:]
		switch {
		case number == timeSeconds && kind == protowire.VarintType:
			seconds = int64(v)
		case number == timeNanos && kind == protowire.VarintType:
			nanos = int64(int32(v))
		}
	}
	if nanos < 0 || nanos >= int64(time.Second) {
		return time.Time{}, fmt.Errorf("timestamp has %d nanoseconds", nanos)
	}
	return time.Unix(seconds, nanos).UTC(), nil
}

// message goes through the fields of a message that are strings, bytes or
// messages, in their order: all fields up to the number known have to be. Others
// are skipped.
type message struct {
	text  string // what is left
	known int
	// The field that next came to.
	number int
	value  string
	err    error // why there is no next one; nil at the end
}

// next goes to the next field, and reports whether there is one.
func (m *message) next() bool {
	for m.text != "" {
		// Nearly every field of a push has a tag of one byte, and a length of one or two.
		if tag := m.text[0]; tag < 0x80 && tag&7 == byte(protowire.BytesType) && tag >= 1<<3 && len(m.text) > 2 {
			n, from := int(m.text[1]), 2
			if n >= 0x80 && m.text[2] < 0x80 {
				n, from = n&0x7f|int(m.text[2])<<7, 3
			}
			if (n < 0x80 || from == 3) && n <= len(m.text)-from {
				m.number, m.value = int(tag>>3), m.text[from:from+n]
				m.text = m.text[from+n:]
				return true
			}
		}
		if m.slow() {
			return true
		}
		if m.err != nil {
			return false
		}
	}
	return false
}

// slow reads whatever field is next; false is for one that is skipped, or wrong.
func (m *message) slow() bool {
	b := view(m.text)
	number, kind, n := protowire.ConsumeTag(b)
	if n < 0 {
		m.err = protowire.ParseError(n)
		return false
	}
	b = b[n:]
	if kind != protowire.BytesType {
		if int(number) <= m.known {
			m.err = fmt.Errorf("field %d has wire type %d", number, kind)
			return false
		}
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			m.err = protowire.ParseError(n)
			return false
		}
		m.text = m.text[len(m.text)-len(b)+n:]
		return false
	}
	value, n := protowire.ConsumeBytes(b)
	if n < 0 {
		m.err = protowire.ParseError(n)
		return false
	}
	m.number, m.value = int(number), unsafe.String(unsafe.SliceData(value), len(value))
	m.text = m.text[len(m.text)-len(b)+n:]
	return true
}

// view is text's bytes, to read.
func view(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }

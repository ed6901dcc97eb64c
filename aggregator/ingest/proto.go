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
		err = fields(text, requestFields, func(number int, value string) error {
			if number != requestStreams {
				return nil
			}
			return r.stream(value)
		})
	}
	if err != nil {
		return Batch{}, fmt.Errorf("not a Loki push request: %w", err)
	}
	return r.batch.Batch, nil
}

// countEntries counts the entries of all streams.
func countEntries(text string) (n int, err error) {
	err = fields(text, requestFields, func(number int, stream string) error {
		if number != requestStreams {
			return nil
		}
		return fields(stream, streamFields, func(number int, _ string) error {
			if number == streamEntries {
				n++
			}
			return nil
		})
	})
	return n, err
}

// rawReader reads requests in protobuf into its batch.
type rawReader struct {
	batch *batch
	entry push.Entry // used again for each
}

// stream reads the labels first, wherever they stand.
func (r *rawReader) stream(text string) error {
	labels, entries := "", 0
	err := fields(text, streamFields, func(number int, value string) error {
		switch number {
		case streamLabels:
			labels = value
		case streamEntries:
			entries++
		}
		return nil
	})
	if err != nil {
		return err
	}
	use := func() {} // an entry
	switch from, refused := r.batch.stream(labels); {
	case refused != nil:
		r.batch.reject(entries, refused)
	case from.stream == faas.Platform:
		use = func() { r.batch.event(&r.entry) }
	default:
		use = func() { r.batch.line(from, &r.entry) }
	}
	return fields(text, streamFields, func(number int, value string) error {
		if number != streamEntries {
			return nil
		}
		if err := r.read(value); err != nil {
			return err
		}
		use()
		return nil
	})
}

// read fills r.entry.
func (r *rawReader) read(text string) error {
	r.entry.Timestamp, r.entry.Line = time.Unix(0, 0), ""
	r.entry.StructuredMetadata = r.entry.StructuredMetadata[:0]
	return fields(text, entryFields, func(number int, value string) (err error) {
		switch number {
		case entryTimestamp:
			r.entry.Timestamp, err = timestamp(value)
		case entryLine:
			r.entry.Line = value
		case entryMetadata:
			var label push.LabelAdapter
			err = fields(value, labelFields, func(number int, value string) error {
				switch number {
				case labelName:
					label.Name = value
				case labelValue:
					label.Value = value
				}
				return nil
			})
			r.entry.StructuredMetadata = append(r.entry.StructuredMetadata, label)
		}
		return err
	})
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

// fields calls use for the fields of a message that are strings, bytes or
// messages, in their order: all fields up to the number known have to be. Others
// are skipped.
func fields(text string, known protowire.Number, use func(number int, value string) error) error {
	for b := view(text); len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		if kind != protowire.BytesType {
			if number <= known {
				return fmt.Errorf("field %d has wire type %d", number, kind)
			}
			if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := use(int(number), unsafe.String(unsafe.SliceData(value), len(value))); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// view is text's bytes, to read.
func view(text string) []byte { return unsafe.Slice(unsafe.StringData(text), len(text)) }

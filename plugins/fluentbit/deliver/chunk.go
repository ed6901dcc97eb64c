package deliver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"
)

// errChunk is wrapped by every error of a chunk that is not what Fluent Bit
// writes for logs. The same chunk can never be read.
var errChunk = errors.New("not a chunk of Fluent Bit log records")

// record is one log record of a chunk.
type record struct {
	time time.Time
	body mapping
}

// records yields the chunk's records in order. It knows both layouts, [time,
// record] and [[time, metadata], record], and leaves out the markers that open
// and close a group of records. An error is the last thing it yields.
func records(chunk []byte) iter.Seq2[record, error] {
	return func(yield func(record, error) bool) {
		r := reader{buf: chunk}
		for n := 1; !r.done(); n++ {
			start := r.pos
			v, err := r.value(0)
			if err == nil {
				var rec record
				var marker bool
				if rec, marker, err = asRecord(v); err == nil {
					if !marker && !yield(rec, nil) {
						return
					}
					continue
				}
			}
			yield(record{}, fmt.Errorf("%w: record %d at byte %d of %d: %w", errChunk, n, start, len(chunk), err))
			return
		}
	}
}

// asRecord reports marker for a record that only opens or closes a group.
func asRecord(v any) (rec record, marker bool, err error) {
	parts, ok := v.([]any)
	if !ok || len(parts) != 2 {
		return record{}, false, fmt.Errorf("it is not an array of time and record")
	}
	stamp := parts[0]
	if head, ok := stamp.([]any); ok {
		if len(head) != 2 {
			return record{}, false, fmt.Errorf("its head has %d parts, not time and metadata", len(head))
		}
		stamp = head[0]
	}
	if rec.body, ok = parts[1].(mapping); !ok {
		return record{}, false, fmt.Errorf("its content is not a map")
	}
	rec.time, marker, err = asTime(stamp)
	return rec, marker, err
}

// The range of times that fits the store's nanoseconds.
const (
	maxSeconds = math.MaxInt64/int64(time.Second) - 1
	groupStart = -1
	groupEnd   = -2
)

// asTime reads Fluent Bit's timestamps: its EventTime extension, or seconds as
// a whole number or a float. Negative seconds are no times but markers.
func asTime(v any) (t time.Time, marker bool, err error) {
	switch v := v.(type) {
	case extension:
		if v.kind != 0 || len(v.data) != 8 {
			return t, false, fmt.Errorf("its time is an extension of type %d and %d bytes", v.kind, len(v.data))
		}
		sec, nsec := binary.BigEndian.Uint32(v.data), binary.BigEndian.Uint32(v.data[4:])
		if s := int32(sec); s == groupStart || s == groupEnd {
			return t, true, nil
		}
		if nsec >= uint32(time.Second) {
			return t, false, fmt.Errorf("its time has %d nanoseconds", nsec)
		}
		return time.Unix(int64(sec), int64(nsec)).UTC(), false, nil
	case int64:
		if v < 0 {
			return t, true, nil
		}
		if v <= maxSeconds {
			return time.Unix(v, 0).UTC(), false, nil
		}
	case float64:
		if v < 0 {
			return t, true, nil
		}
		if v <= float64(maxSeconds) { // false for NaN
			sec, frac := math.Modf(v)
			return time.Unix(int64(sec), int64(frac*1e9)).UTC(), false, nil
		}
	}
	return t, false, fmt.Errorf("its time is %v (%T)", v, v)
}

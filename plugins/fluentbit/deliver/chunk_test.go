package deliver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"
)

// eventTime is Fluent Bit's extension type 0, written by hand.
func eventTime(sec, nsec uint32) msgpack.RawMessage {
	b := []byte{0xd7, 0x00}
	b = binary.BigEndian.AppendUint32(b, sec)
	return binary.BigEndian.AppendUint32(b, nsec)
}

// chunk encodes values one after the other with an encoder that is not ours.
func chunk(t testing.TB, values ...any) []byte {
	t.Helper()
	var buf bytes.Buffer
	enc := msgpack.NewEncoder(&buf)
	enc.SetSortMapKeys(true)
	enc.UseCompactInts(true)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}

type list = []any

type object = map[string]any

func read(chunk []byte) (recs []record, err error) {
	for rec, e := range records(chunk) {
		if e != nil {
			return recs, e
		}
		recs = append(recs, rec)
	}
	return recs, nil
}

func TestRecords(t *testing.T) {
	at := time.Unix(1_700_000_000, 123_456_789).UTC()
	whole := time.Unix(1_700_000_000, 0).UTC()
	line := object{"log": "hello"}
	body := mapping{{"log", "hello"}}
	long := strings.Repeat("x", 70_000)
	groupMark := uint32(math.MaxUint32) // -1 as Fluent Bit writes it into an EventTime
	tests := map[string]struct {
		in   []byte
		want []record
	}{
		"empty":          {nil, nil},
		"v1 event time":  {chunk(t, list{eventTime(1_700_000_000, 123_456_789), line}), []record{{at, body}}},
		"v1 uint":        {chunk(t, list{1_700_000_000, line}), []record{{whole, body}}},
		"v1 float":       {chunk(t, list{1_700_000_000.5, line}), []record{{whole.Add(500 * time.Millisecond), body}}},
		"v2":             {chunk(t, list{list{eventTime(1_700_000_000, 123_456_789), object{"otlp": 1}}, line}), []record{{at, body}}},
		"several":        {chunk(t, list{1_700_000_000, line}, list{list{1_700_000_000, object{}}, line}), []record{{whole, body}, {whole, body}}},
		"after 2038":     {chunk(t, list{eventTime(3_000_000_000, 0), line}), []record{{time.Unix(3_000_000_000, 0).UTC(), body}}},
		"ext8":           {append([]byte{0x92, 0xc7, 8, 0, 0, 0, 0, 1, 0, 0, 0, 2}, 0x80), []record{{time.Unix(1, 2).UTC(), mapping{}}}},
		"empty record":   {chunk(t, list{1_700_000_000, object{}}), []record{{whole, mapping{}}}},
		"long text":      {chunk(t, list{1_700_000_000, object{"log": long}}), []record{{whole, mapping{{"log", long}}}}},
		"marker numbers": {chunk(t, list{list{-1, object{}}, object{"resource": 1}}, list{1_700_000_000, line}, list{list{-2, object{}}, object{}}), []record{{whole, body}}},
		"marker times": {
			chunk(t, list{list{eventTime(groupMark, 0), object{}}, object{}}, list{1_700_000_000, line}, list{list{eventTime(groupMark-1, 0), object{}}, object{}}),
			[]record{{whole, body}},
		},
		"all types": {
			chunk(t, list{1_700_000_000, object{
				"a": nil, "b": true, "c": -5, "d": uint64(math.MaxUint64), "e": 1.5, "f": float32(0.25), "g": []byte("bin"),
				"h": list{1, "x"}, "i": object{"j": -70_000}, "k": int64(math.MinInt64), "l": 70_000, "m": 300, "n": 200,
			}}),
			[]record{{whole, mapping{
				{"a", nil},
				{"b", true},
				{"c", int64(-5)},
				{"d", uint64(math.MaxUint64)},
				{"e", 1.5},
				{"f", 0.25},
				{"g", "bin"},
				{"h", []any{int64(1), "x"}},
				{"i", mapping{{"j", int64(-70_000)}}},
				{"k", int64(math.MinInt64)},
				{"l", int64(70_000)},
				{"m", int64(300)},
				{"n", int64(200)},
			}}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := read(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(record{}, pair{})); diff != "" {
				t.Errorf("records differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRecordsRefuses(t *testing.T) {
	good := chunk(t, list{1_700_000_000, object{"log": "hello"}})
	tests := map[string]struct {
		bad  []byte
		want string
	}{
		"truncated":       {good[:len(good)-1], "in the middle"},
		"no value":        {[]byte{0xc1}, "begins no value"},
		"not an array":    {[]byte{0x01}, "not an array"},
		"three parts":     {chunk(t, list{1, object{}, 3}), "not an array of time and record"},
		"not a map":       {chunk(t, list{1, "text"}), "not a map"},
		"metrics":         {chunk(t, object{"meta": 1}), "not an array"},
		"head of one":     {chunk(t, list{list{1}, object{}}), "head has 1 parts"},
		"time is text":    {chunk(t, list{"now", object{}}), "its time is now"},
		"time is far":     {chunk(t, list{uint64(math.MaxUint64), object{}}), "its time is"},
		"time is NaN":     {chunk(t, list{math.NaN(), object{}}), "its time is NaN"},
		"time of type 1":  {[]byte{0x92, 0xd7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x80}, "extension of type 1"},
		"nanoseconds":     {chunk(t, list{eventTime(1, 1_000_000_000), object{}}), "1000000000 nanoseconds"},
		"deep":            {bytes.Repeat([]byte{0x91}, 1000), "nest deeper"},
		"deep maps":       {bytes.Repeat([]byte{0x81, 0xa1, 'k'}, 1000), "nest deeper"},
		"claims an array": {[]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, "in the middle"},
		"claims a map":    {[]byte{0xdf, 0xff, 0xff, 0xff, 0xff, 0xa0}, "in the middle"},
		"claims text":     {[]byte{0xdb, 0xff, 0xff, 0xff, 0xff}, "in the middle"},
		"key is a map":    {[]byte{0x81, 0x80, 0x01}, "key is of type"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			recs, err := read(append(bytes.Clone(good), tt.bad...))
			if len(recs) != 1 {
				t.Errorf("%d records before the bad one, want 1", len(recs))
			}
			if !errors.Is(err, errChunk) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "record 2 at byte 17") {
				t.Errorf("error %v, want record 2 and %q", err, tt.want)
			}
		})
	}
}

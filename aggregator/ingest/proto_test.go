package ingest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/grafana/loki/pkg/push"
)

// FuzzDecodeRaw holds DecodeRaw against the generated code of Loki's package.
func FuzzDecodeRaw(f *testing.F) {
	for _, req := range []*push.PushRequest{
		{},
		one(`{function="f"}`, "hello", push.LabelAdapter{Name: "file_id", Value: "ff"}, push.LabelAdapter{Name: "offset", Value: "1"}),
		one(`{function="f", stream="platform"}`, `{"specversion":"1.0"}`),
		one(`{}`, "nobody's"),
		{Streams: []push.Stream{{Labels: `{job="j"}`, Hash: 7, Entries: []push.Entry{
			{Timestamp: time.Unix(-1, 0), Line: "old"}, {Timestamp: when, Line: "a\xffb"}, {Timestamp: when, Line: "same"}, {Timestamp: when, Line: "same"},
		}}, {Labels: "{", Entries: []push.Entry{{Timestamp: when}}}}, Format: "loki"},
	} {
		raw, err := req.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)/2])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var req push.PushRequest
		if err := req.Unmarshal(raw); err != nil {
			_, _ = NewDecoder(DefaultConfig()).DecodeRaw("t", raw) // must not panic
			return
		}
		raw, err := req.Marshal() // what is not written as senders write it may be refused
		if err != nil {
			t.Fatal(err)
		}
		got, err := NewDecoder(DefaultConfig()).DecodeRaw("t", raw)
		if err != nil {
			t.Fatal(err)
		}
		want := NewDecoder(DefaultConfig()).Decode("t", &req)
		sameReason := cmp.Comparer(func(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) })
		if diff := cmp.Diff(want, got, sameReason, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-generated code +DecodeRaw)\n%s", diff)
		}
	})
}

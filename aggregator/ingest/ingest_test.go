package ingest

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/faas"
)

var decoder = NewDecoder(DefaultConfig())

var when = time.Date(2026, 11, 1, 12, 0, 0, 5, time.UTC)

func one(labels, line string, meta ...push.LabelAdapter) *push.PushRequest {
	return &push.PushRequest{Streams: []push.Stream{{Labels: labels, Entries: []push.Entry{{Timestamp: when, Line: line, StructuredMetadata: meta}}}}}
}

func TestDecode(t *testing.T) {
	got := decoder.Decode("acme", one(`{function="f", namespace="n", version="2", instance="i", stream="stderr", host="h", job="other"}`, "hello",
		push.LabelAdapter{Name: "file_id", Value: "00000000000000ff"}, push.LabelAdapter{Name: "offset", Value: "12"},
		push.LabelAdapter{Name: "truncated", Value: "3"}, push.LabelAdapter{Name: "request_id", Value: "r"}))
	want := []faas.Line{{
		Ref:  faas.Ref{Tenant: "acme", Namespace: "n", Function: "f", Version: "2", Instance: "i"},
		Time: when, Stream: faas.Stderr, Body: "hello", FileID: 255, Offset: 12, Truncated: 3, RequestID: "r", Host: "h",
		Attributes: []faas.Attribute{{Key: "job", Value: "other"}},
	}}
	if diff := cmp.Diff(want, got.Lines); diff != "" || got.Err() != nil {
		t.Error(diff, got.Err())
	}
}

// TestFunctionOfForeignSenders: the first of the usual labels names the function.
func TestFunctionOfForeignSenders(t *testing.T) {
	for labels, want := range map[string]string{
		`{job="j", container="c"}`:          "c",
		`{container="c", service_name="s"}`: "s",
		`{app="", job="j"}`:                 "j",
	} {
		if got := decoder.Decode("t", one(labels, "x")); len(got.Lines) != 1 || got.Lines[0].Function != want || got.Lines[0].Stream != faas.Stdout {
			t.Errorf("%s: %+v", labels, got)
		}
	}
}

func TestRefuses(t *testing.T) {
	long := strings.Repeat("x", DefaultConfig().Limits.LabelValueBytes+1)
	for _, c := range []struct {
		req  *push.PushRequest
		says string
	}{
		{one(`{pod="p"}`, "x"), "no label names the function"},
		{one(`{function="`+long+`"}`, "x"), "label function: longer than"},
		{one("{function=\"\\xff\"}", "x"), "not UTF-8"},
		{one(`{function="f", stream="stdin"}`, "x"), `"stdin"`},
		{one(`function="f"`, "x"), "not in braces"},
		{one(`{function="f"}`, "x", push.LabelAdapter{Name: "file_id", Value: "zz"}), "metadata file_id"},
		{one(`{function="f"}`, "x", push.LabelAdapter{Name: "offset", Value: "-1"}), "metadata offset"},
		{one(`{function="f"}`, "x", push.LabelAdapter{Name: "request_id", Value: long}), "metadata request_id"},
		{one(`{stream="platform"}`, "{}"), "specversion"},
	} {
		got := decoder.Decode("t", c.req)
		if err := got.Err(); err == nil || !strings.Contains(err.Error(), c.says) || len(got.Lines)+len(got.Events) != 0 {
			t.Errorf("want %q, got %v, %+v", c.says, err, got)
		}
	}
}

// TestOrdinals: equal lines are told apart in their order, few or many.
func TestOrdinals(t *testing.T) {
	var o ordinals
	counts := map[uint64]uint64{}
	for n := range uint64(4 * fewLines) {
		sum := n * n % 5
		if got := o.next(sum); got != counts[sum] {
			t.Fatalf("line %d of hash %d is number %d, want %d", n, sum, got, counts[sum])
		}
		counts[sum]++
	}
}

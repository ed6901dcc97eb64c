package rig

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

var at = time.Unix(1_790_000_000, 123_456_789).UTC()

// sent is one entry as a collector sends it.
type sent struct {
	instance string
	stream   faas.Stream
	file     uint64
	offset   uint64
	time     time.Time
	line     string
	missing  int
}

func line(instance string, stderr bool, number int, payload string) string {
	return string(appendNumbered(nil, &numbered{
		instance: instance, stderr: stderr, generation: 1, number: number, nanos: at.UnixNano(), payload: []byte(payload),
	}))
}

// ledgerOf gives what a sink makes of pushes of one entry each.
func ledgerOf(t *testing.T, entries ...sent) *ledger {
	t.Helper()
	l := newLedger()
	var w walker
	for _, e := range entries {
		meta := wire.Position(e.file, e.offset)
		if e.missing > 0 {
			meta = append(meta, push.LabelAdapter{Name: wire.MetaTruncated, Value: strconv.Itoa(e.missing)})
		}
		body, err := wire.EncodePush(&push.PushRequest{Streams: []push.Stream{{
			Labels:  wire.StreamLabels(faas.Ref{Namespace: "n", Function: "f", Version: "v", Instance: e.instance}, e.stream, "h"),
			Entries: []push.Entry{{Timestamp: e.time, Line: e.line, StructuredMetadata: meta}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.push(body, l.take); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func TestLedger(t *testing.T) {
	good := sent{"i", faas.Stdout, 7, 100, at, line("i", false, 0, "payload é"), 0}
	change := func(f func(*sent)) sent {
		e := good
		f(&e)
		return e
	}
	long := line("i", false, 1, string(Filler(1000)))
	for name, c := range map[string]struct {
		second sent
		wrong  string // empty: fine
		unique int
		again  int
	}{
		"the same again":  {good, "", 1, 1},
		"another line":    {change(func(e *sent) { e.offset, e.line = 200, line("i", false, 1, "") }), "", 2, 0},
		"another stream":  {change(func(e *sent) { e.offset, e.stream, e.line = 200, faas.Stderr, line("i", true, 0, "") }), "", 2, 0},
		"another file":    {change(func(e *sent) { e.file = 8 }), "two names", 1, 0},
		"another offset":  {change(func(e *sent) { e.offset = 101 }), "two names", 1, 0},
		"the same place":  {change(func(e *sent) { e.line = line("i", false, 1, "") }), "holds", 1, 0},
		"a foreign line":  {change(func(e *sent) { e.line = "foreign" }), "holds", 1, 0},
		"damaged":         {change(func(e *sent) { e.line = strings.Replace(e.line, "payload", "Payload", 1) }), "checksum", 1, 0},
		"cut":             {change(func(e *sent) { e.line = e.line[:len(e.line)-2] }), "checksum", 1, 0},
		"another time":    {change(func(e *sent) { e.time = at.Add(1) }), "arrived as of", 1, 0},
		"another's":       {change(func(e *sent) { e.instance = "j" }), "arrived as of", 1, 0},
		"stderr's":        {change(func(e *sent) { e.stream = faas.Stderr }), "arrived as of", 1, 0},
		"truncated":       {change(func(e *sent) { e.offset, e.line, e.missing = 200, long[:len(long)-500], 500 }), "", 2, 0},
		"truncated wrong": {change(func(e *sent) { e.offset, e.line, e.missing = 200, long[:len(long)-500]+"x", 499 }), "truncated line", 1, 0},
		"replaced bytes": {
			change(func(e *sent) {
				e.offset, e.line = 200, strings.ReplaceAll(line("i", false, 1, "a\xff\xfeb\xff"), "\xff", "\ufffd")
			}), "", 2, 0,
		},
	} {
		l := ledgerOf(t, good, c.second)
		r := l.full(nil)
		if (r.Wrong > 0) != (c.wrong != "") || !strings.Contains(strings.Join(r.Examples, " "), c.wrong) {
			t.Errorf("%s: %d wrong: %s", name, r.Wrong, r.Examples)
		}
		if r.Unique != c.unique || r.Again != c.again {
			t.Errorf("%s: %d lines, %d again", name, r.Unique, r.Again)
		}
	}
}

func TestGaps(t *testing.T) {
	var entries []sent
	for _, n := range []int{0, 1, 4, 6} {
		entries = append(entries, sent{"i", faas.Stdout, 7, uint64(n * 100), at, line("i", false, n, "x"), 0})
	}
	l := ledgerOf(t, entries...)
	r := l.full(map[string]int{"i/o": 9, "i/e": 3})
	want := []string{"i/e: nothing of 3 lines", "i/o: 4 of 9 lines, missing 2-3 5-5 7-8"}
	if strings.Join(r.Gaps, "\n") != strings.Join(want, "\n") {
		t.Errorf("gaps %q", r.Gaps)
	}
	if r := l.full(map[string]int{"i/o": 3}); len(r.Gaps) != 1 {
		t.Errorf("more lines than were written: gaps %q", r.Gaps)
	}
}

// FuzzPush: a body is read as the wire's own decoder reads it, and nothing
// that is no push does harm.
func FuzzPush(f *testing.F) {
	good, err := wire.EncodePush(&push.PushRequest{Streams: []push.Stream{{
		Labels: `{a="b"}`, Entries: []push.Entry{{Timestamp: at, Line: "x", StructuredMetadata: wire.Position(1, 2)}},
	}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		var w walker
		_ = w.push(body, func([]byte, *entry) {})
		req, err := wire.DecodePush(body, "")
		if err != nil {
			return
		}
		// Encoded anew it has nothing in it that only one of the two skips.
		if body, err = wire.EncodePush(req); err != nil {
			return
		}
		var got []string
		if err := w.push(body, func(_ []byte, e *entry) { got = append(got, string(e.line)) }); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, s := range req.Streams {
			for _, e := range s.Entries {
				want = append(want, e.Line)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

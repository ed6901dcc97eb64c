package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/coldscope/coldscope/query/logql/labels"
)

// TestHostileLines: what lines say is not in the hand of who queries them. A line
// must not become much more than it is, nor be gone through again and again.
func TestHostileLines(t *testing.T) {
	const n = 20_000
	key := strings.Repeat("k", 100_000)
	var wide, long, flat strings.Builder
	for i := range n {
		fmt.Fprintf(&wide, `"k%d":%d,`, i, i)
		fmt.Fprintf(&long, `"v%d":1,`, i)
		fmt.Fprintf(&flat, `k%d=%d `, i, i)
	}
	for _, c := range []struct {
		name, stages, line string
		want               int // labels
	}{
		{"many keys", `| json`, `{` + wide.String() + `"k1":0}`, n},
		{"many keys, twice", `| json | json`, `{` + wide.String() + `"k1":0}`, n},
		{"many pairs", `| logfmt`, flat.String(), n},
		{"a long name before many", `| json`, `{"` + key + `":{` + long.String() + `"x":1},"a":1}`, 1},
		{"a long name", `| logfmt`, key + `=1 a=1`, 1},
		{"depth", `| json`, strings.Repeat(`{"a":`, 9999) + `1` + strings.Repeat(`}`, 9999), 0},
		{"more depth", `| json`, strings.Repeat(`{"a":`, 100_000) + `1` + strings.Repeat(`}`, 100_000), 2},
		{"arrays", `| json`, `{"a":` + strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000) + `}`, 2},
		{"depth by paths", `| json x="a.a.a", y="b[0][0]"`, strings.Repeat(`{"a":`, 100_000) + `1` + strings.Repeat(`}`, 100_000), 4},
	} {
		p, err := New(stagesOf(t, `{app="web"} `+c.stages), labels.NewTable())
		if err != nil {
			t.Fatal(err)
		}
		e, kept := p.Process(Line{Body: c.line})
		if !kept || e.Parsed.Len() != c.want {
			t.Errorf("%s: kept %t with %d labels, want %d", c.name, kept, e.Parsed.Len(), c.want)
		}
		for _, l := range e.Parsed.Labels() {
			if len(l.Name) > maxName {
				t.Errorf("%s: a name of %d bytes", c.name, len(l.Name))
			}
		}
	}
}

// TestManyLabels: beyond a few the labels of a line are found by an index, which
// changes nothing.
func TestManyLabels(t *testing.T) {
	tab := labels.NewTable()
	var stream []labels.Label
	for i := range 2 * fewEntries {
		stream = append(stream, labels.Label{Name: fmt.Sprintf("s%d", i), Value: "1"})
	}
	p, err := New(stagesOf(t, `{s0="1"} | logfmt | s5="1" | drop s5 | label_format z=s6, s7="{{.a}}" | a="x" | s100_extracted="y"`), tab)
	if err != nil {
		t.Fatal(err)
	}
	set := tab.Of(stream...)
	for range 2 {
		e, kept := p.Process(Line{Body: "a=x s100=y b=c", Stream: set})
		if !kept || e.Stream.Len() != 2*fewEntries-3 || e.Parsed.String() != `{a="x", b="c", s100_extracted="y", s7="x", z="1"}` {
			t.Errorf("kept %t, %d labels, %s", kept, e.Stream.Len(), e.Parsed)
		}
	}
}

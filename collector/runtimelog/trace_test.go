package runtimelog

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// Each file in testdata/traces holds what programs print; a line "--" stands
// between entries.
func TestTraces(t *testing.T) {
	for name, o := range map[string]JoinOptions{
		"traces.txt": {Multiline: []string{"traces"}},
		"glog.txt":   {Multiline: []string{"glog"}},
		"custom.txt": {Start: `^\d{4}-`, Continue: `^\s|^$`},
		"more.txt":   {Continue: `^\s`},
	} {
		text, err := os.ReadFile("testdata/traces/" + name)
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n--\n")
		j := NewJoiner(1<<20, time.Second, rules(t, o))
		var got []string
		take := func(l Line) error {
			got = append(got, string(l.Body))
			return nil
		}
		var end int64
		for line := range strings.SplitSeq(strings.Join(want, "\n"), "\n") {
			if err := j.Add(piece(faas.Stderr, line, false), end, end+int64(len(line))+1, take); err != nil {
				t.Fatal(err)
			}
			end += int64(len(line)) + 1
		}
		_ = j.Flush(end, take)
		compare(t, got, want)
	}
}

func TestLimits(t *testing.T) {
	r := rules(t, JoinOptions{Multiline: []string{"traces"}, MaxLines: 3, MaxBytes: 20})
	got := feed(NewJoiner(1000, time.Second, r), []Record{
		piece(faas.Stdout, "panic: 1", false),
		piece(faas.Stdout, "\t2", false),
		piece(faas.Stdout, "\t3", false), // the third
		piece(faas.Stdout, "\t4", false),
		piece(faas.Stdout, "panic: 1", false),
		piece(faas.Stdout, "\t0123456789", false), // the 20th byte
		piece(faas.Stdout, "panic: 1", false),
		piece(faas.Stdout, "\t0123456789a", false),
		piece(faas.Stdout, "panic: 0123456789abcde", false),
		piece(faas.Stdout, "x", false),
	})
	compare(t, got, []string{
		`stdout@0 "panic: 1\n\t2\n\t3" cut 0 safe 30`,
		`stdout@30 "\t4" cut 0 safe 40`,
		`stdout@40 "panic: 1\n\t0123456789" cut 0 safe 60`,
		`stdout@60 "panic: 1" cut 0 safe 70`,
		`stdout@70 "\t0123456789a" cut 0 safe 80`,
		`stdout@80 "panic: 0123456789abcde" cut 0 safe 90`,
		`stdout@90 "x" cut 0 safe 100`,
	})
}

// Two streams that always have an entry open do not keep the offset back.
func TestOverlap(t *testing.T) {
	r := rules(t, JoinOptions{Multiline: []string{"glog"}})
	for name, record := range map[string]func(i int64) Record{
		"both streams": func(i int64) Record { return piece(joined[i%2], "I1122 00:00:00.1 x", false) },
		"pieces":       func(i int64) Record { return piece(faas.Stdout, "I1122 00:00:00.1 x", i%2 == 0) },
	} {
		j := NewJoiner(1000, time.Second, r)
		var last Line
		for i := range int64(10_000) {
			_ = j.Add(record(i), 10*i, 10*i+10, func(l Line) error {
				last = l
				return nil
			})
		}
		if last.Offset-last.Safe > 20*(maxOverlap+2) {
			t.Errorf("%s: the line at %d is safe up to %d", name, last.Offset, last.Safe)
		}
	}
}

func TestJoinOptions(t *testing.T) {
	err := JoinOptions{
		Multiline: []string{"cobol"}, Start: "(", Continue: ")", MaxLines: -1, Gap: -1, CarriageReturns: "x",
	}.Validate()
	for _, want := range []string{"multiline", "start", "continue", "max_lines", "gap", "carriage_returns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell of %s", err, want)
		}
	}
	if err := (JoinOptions{}).Validate(); err != nil {
		t.Error(err)
	}
}

// FuzzJoin: no bytes of a line are lost, whatever is joined.
func FuzzJoin(f *testing.F) {
	for _, name := range []string{"traces.txt", "glog.txt", "custom.txt"} {
		text, err := os.ReadFile("testdata/traces/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	r := rules(f, JoinOptions{Multiline: []string{"traces", "glog"}, Start: "^START", Continue: `^\s`})
	f.Fuzz(func(t *testing.T, in string) {
		j := NewJoiner(1<<20, time.Second, r)
		var got []string
		take := func(l Line) error {
			got = append(got, string(l.Body))
			return nil
		}
		for i, line := range strings.Split(in, "\n") {
			_ = j.Add(piece(faas.Stdout, line, false), int64(i), int64(i+1), take)
		}
		_ = j.Flush(int64(len(in)), take)
		if want := string(appendValid(nil, []byte(in))); strings.Join(got, "\n") != want {
			t.Errorf("%q becomes %q", want, got)
		}
	})
}

package rig

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/internal/wire"
)

// ledger holds what arrived against what the lines say of themselves.
type ledger struct {
	streams map[string]*arrived
	places  map[place]string // what is at a place: the line's stream and number, or a foreign line
	labels  map[string]labels
	foreign map[string]map[place]struct{}
	report  Report
}

// arrived are one stream's lines: where each number was seen first.
type arrived struct {
	at    []place
	seen  []bool
	count int
}

type labels struct{ instance, stream, function, namespace string }

func newLedger() *ledger {
	return &ledger{
		streams: map[string]*arrived{}, places: map[place]string{},
		labels: map[string]labels{}, foreign: map[string]map[place]struct{}{},
	}
}

const maxWrong = 20

func (l *ledger) wrong(format string, args ...any) {
	l.report.Wrong++
	if len(l.report.Examples) < maxWrong {
		l.report.Examples = append(l.report.Examples, fmt.Sprintf(format, args...))
	}
}

func (l *ledger) parse(raw []byte) labels {
	got, ok := l.labels[string(raw)]
	if ok {
		return got
	}
	parsed, err := wire.ParseLabels(string(raw))
	if err != nil {
		l.wrong("labels %q: %v", raw, err)
	}
	for _, label := range parsed {
		switch label.Name {
		case wire.LabelInstance:
			got.instance = label.Value
		case wire.LabelStream:
			got.stream = label.Value
		case wire.LabelFunction:
			got.function = label.Value
		case wire.LabelNamespace:
			got.namespace = label.Value
		}
	}
	l.labels[string(raw)] = got
	return got
}

// take notes one entry.
func (l *ledger) take(raw []byte, e *entry) {
	label := l.parse(raw)
	if label.stream == "platform" {
		l.report.Platform++
		return
	}
	l.report.Entries++
	at, err := e.place()
	if err != nil {
		l.wrong("%s: %v", raw, err)
		return
	}
	n, err := parseNumbered(e.line)
	if err != nil {
		l.takeForeign(at, e.line)
		return
	}
	truncated, _ := strconv.ParseInt(string(e.truncated), 10, 64)
	if truncated > 0 {
		l.report.Truncated++
	}
	letter := string(streamLetter(n.stderr))
	name := n.instance + "/" + letter
	if bad := n.intact(e.time(), truncated); bad != "" {
		l.wrong("%s line %d: %s", name, n.number, bad)
		return
	}
	if label.instance != n.instance || label.stream != map[bool]string{false: "stdout", true: "stderr"}[n.stderr] {
		// Plain files may have an instance of their own making, and one stream.
		if n.nanos != 0 {
			l.wrong("%s line %d arrived as of %s", name, n.number, raw)
			return
		}
	}
	l.place(name, n.number, at)
}

// place notes that a stream's line arrived at a place.
func (l *ledger) place(name string, number int, at place) {
	s := l.streams[name]
	if s == nil {
		s = new(arrived)
		l.streams[name] = s
	}
	if number >= len(s.seen) {
		s.seen = append(s.seen, make([]bool, number+1-len(s.seen))...)
		s.at = append(s.at, make([]place, number+1-len(s.at))...)
	}
	key := name + " " + strconv.Itoa(number)
	if was, taken := l.places[at]; taken && was != key {
		l.wrong("%v holds %q and %q", at, was, key)
		return
	}
	l.places[at] = key
	switch {
	case !s.seen[number]:
		s.seen[number], s.at[number] = true, at
		s.count++
		l.report.Unique++
	case s.at[number] != at:
		l.wrong("%s line %d came under two names: %x at %d and %x at %d", name, number,
			s.at[number].file, s.at[number].offset, at.file, at.offset)
	default:
		l.report.Again++
	}
}

func (l *ledger) takeForeign(at place, line []byte) {
	key := string(line)
	if len(key) > 200 {
		key = key[:200]
	}
	if was, taken := l.places[at]; taken && was != key {
		l.wrong("%v holds %.60q and %.60q", at, was, key)
		return
	}
	l.places[at] = key
	if l.foreign[key] == nil {
		l.foreign[key] = map[place]struct{}{}
	}
	l.foreign[key][at] = struct{}{}
}

// Report is what a sink got.
type Report struct {
	Attempts  int            `json:"attempts"` // pushes, answered well or not
	Pushes    int            `json:"pushes"`   // that were taken
	Bytes     int64          `json:"bytes"`    // of bodies of pushes that were taken
	Entries   int            `json:"entries"`  // of containers
	Platform  int            `json:"platform"` // entries that are events
	Unique    int            `json:"unique"`   // numbered lines
	Again     int            `json:"again"`    // that came again under the same name with the same content
	Truncated int            `json:"truncated"`
	Wrong     int            `json:"wrong"` // under two names, with two contents, damaged, or of another container
	Examples  []string       `json:"examples,omitempty"`
	Streams   map[string]int `json:"streams"` // how many lines of each
	Gaps      []string       `json:"gaps,omitempty"`
	Foreign   map[string]int `json:"foreign,omitempty"` // places of each line that is not numbered
	LastPush  time.Time      `json:"last_push"`
	LagP50    time.Duration  `json:"lag_p50,omitempty"` // from an entry's time to its arrival
	LagP99    time.Duration  `json:"lag_p99,omitempty"`
	LagMax    time.Duration  `json:"lag_max,omitempty"`
}

// full gives the report with what is missing of the first `expect` lines.
func (l *ledger) full(expect map[string]int) Report {
	r := l.report
	r.Streams = map[string]int{}
	r.Foreign = map[string]int{}
	for name, s := range l.streams {
		r.Streams[name] = s.count
	}
	for line, places := range l.foreign {
		r.Foreign[line] = len(places)
	}
	for name, n := range expect {
		s := l.streams[name]
		if s == nil {
			r.Gaps = append(r.Gaps, fmt.Sprintf("%s: nothing of %d lines", name, n))
			continue
		}
		if s.count != n {
			r.Gaps = append(r.Gaps, fmt.Sprintf("%s: %d of %d lines, missing %s", name, s.count, n, s.missing(n)))
		}
	}
	slices.Sort(r.Gaps)
	return r
}

// missing gives the first ranges of numbers below n that did not arrive.
func (s *arrived) missing(n int) string {
	var out []string
	for i := 0; i < n; i++ {
		if i < len(s.seen) && s.seen[i] {
			continue
		}
		from := i
		for i+1 < n && (i+1 >= len(s.seen) || !s.seen[i+1]) {
			i++
		}
		if len(out) == 5 {
			return strings.Join(append(out, "…"), " ")
		}
		out = append(out, fmt.Sprintf("%d-%d", from, i))
	}
	return strings.Join(out, " ")
}

// tally only counts entries whose labels hold a text, and how old they are: it
// is what the benchmarks use, so as to take little of the machine.
type tally struct {
	only   []byte // of labels; nil: all
	lags   []time.Duration
	timed  bool
	report Report
}

func (t *tally) take(labels []byte, e *entry, now time.Time) {
	if t.only != nil && !bytes.Contains(labels, t.only) {
		return
	}
	if bytes.Contains(labels, []byte(`stream="platform"`)) {
		t.report.Platform++
		return
	}
	t.report.Entries++
	if t.timed {
		t.lags = append(t.lags, now.Sub(e.time()))
	}
}

func (t *tally) full() Report {
	r := t.report
	if n := len(t.lags); n > 0 {
		slices.Sort(t.lags)
		r.LagP50, r.LagP99, r.LagMax = t.lags[n/2], t.lags[n*99/100], t.lags[n-1]
	}
	return r
}

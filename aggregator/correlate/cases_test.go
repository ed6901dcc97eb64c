package correlate

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// epoch is the time 0 of the cases, which count in milliseconds.
var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

func ms(t time.Time) int { return int(t.Sub(epoch) / time.Millisecond) }

// TestCases runs testdata/*.txt. A case says what arrives, in order: a line or
// an event with its own time t, or "wait N", which lets N ms pass. What it
// expects is each line by its time, as the store shows it in the end, and the
// number of corrections.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			archive := txtar.Parse(raw)
			if len(archive.Files) != 2 {
				t.Fatal("want the sections in and out")
			}
			got := play(t, string(archive.Files[0].Data))
			if diff := cmp.Diff(string(archive.Files[1].Data), got); diff != "" {
				t.Errorf("-want +got:\n%s\n%s", diff, got)
			}
		})
	}
}

func play(t *testing.T, script string) string {
	t.Helper()
	now := at(0)
	c := New(DefaultConfig())
	s := newStore()
	for n, text := range strings.Split(strings.TrimSpace(script), "\n") {
		word, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		switch word {
		case "":
		case "wait":
			d, err := strconv.Atoi(rest)
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Duration(d) * time.Millisecond)
			c.Advance(now)
		case "forget": // a restart: what is known comes from the store
			c = s.restart(now)
		case "line":
			c.Line(parseLine(t, rest, n), n, now)
		default:
			e := parseEvent(t, word, rest, n)
			c.Event(&e, now)
		}
		s.add(c.Take())
	}
	c.Advance(now.Add(time.Hour))
	s.add(c.Take())
	return s.String()
}

func fields(text string) map[string]string {
	f := map[string]string{}
	for word := range strings.FieldsSeq(text) {
		k, v, _ := strings.Cut(word, "=")
		f[k] = v
	}
	return f
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var testRef = faas.Ref{Tenant: "default", Namespace: "ns", Function: "fn", Version: "1", Instance: "i1"}

// count is a number that may be left out.
func count(t *testing.T, text string) int64 {
	t.Helper()
	if text == "" {
		return 0
	}
	return int64(number(t, text))
}

func parseLine(t *testing.T, text string, n int) *faas.Line {
	t.Helper()
	when, body, _ := strings.Cut(strings.TrimPrefix(text, "t="), " ")
	return &faas.Line{Ref: testRef, Time: at(number(t, when)), Stream: faas.Stdout, Body: body, FileID: 1, Offset: uint64(n)}
}

func parseEvent(t *testing.T, word, text string, n int) faas.Event {
	t.Helper()
	f := fields(text)
	e := faas.Event{ID: strconv.Itoa(n), Source: "test", Time: at(number(t, f["t"])), Ref: testRef}
	switch word {
	case "demanded":
		e.Data = faas.Demanded{RequestID: f["by"], Initialization: faas.OnDemand}
	case "provisioned":
		e.Data = faas.Demanded{Initialization: faas.Provisioned}
	case "ready":
		e.Data = faas.Ready{}
	case "stopped":
		e.Data = faas.Stopped{}
	case "start":
		d := faas.InvocationStarted{RequestID: f["id"], ColdStart: f["cold"] == "true"}
		if q := f["queued"]; q != "" {
			d.QueuedAt = at(number(t, q))
		}
		e.Data = d
	case "end":
		e.Data = faas.InvocationEnded{
			RequestID: f["id"], StartedAt: at(number(t, f["started"])), Status: faas.StatusOK,
			MemoryPeak: count(t, f["memory"]), CPUTime: float64(count(t, f["cpu"])) / 1000,
		}
	case "usage":
		e.Data = faas.InvocationUsage{
			RequestID: f["id"], StartedAt: at(number(t, f["started"])),
			MemoryPeak: count(t, f["memory"]), CPUTime: float64(count(t, f["cpu"])) / 1000, Shared: f["shared"] == "true",
		}
	case "ledger":
		e.Data = faas.Ledger{
			FileID: f["file"], From: at(number(t, f["from"])), To: at(number(t, f["to"])), Bytes: count(t, f["bytes"]), Lines: count(t, f["lines"]),
			TruncatedLines: count(t, f["truncated"]), RefusedLines: count(t, f["refused"]), LostBytes: count(t, f["lost"]), LateLines: count(t, f["late"]),
			Complete: f["complete"] == "true",
		}
	case "gap":
		d := faas.Gap{FileID: f["file"], Offset: count(t, f["offset"]), Bytes: count(t, f["bytes"]), Reason: faas.GapReason(f["reason"])}
		if from := f["from"]; from != "" {
			d.From = at(number(t, from))
		}
		if to := f["to"]; to != "" {
			d.To = at(number(t, to))
		}
		e.Data = d
	default:
		t.Fatalf("unknown word %q", word)
	}
	return e
}

// store folds rows as the tables do.
type store struct {
	lines       map[uint64]schema.LogRow
	invocations map[string]schema.InvocationRow
	start       *schema.ColdStartRow
	ledgers     map[string]schema.LedgerRow
	gaps        map[string]schema.GapRow
	released    map[Ticket]int
	corrected   int
}

func newStore() *store {
	return &store{
		lines: map[uint64]schema.LogRow{}, invocations: map[string]schema.InvocationRow{}, released: map[Ticket]int{},
		ledgers: map[string]schema.LedgerRow{}, gaps: map[string]schema.GapRow{},
	}
}

func fold[T any](into **T, v *T) {
	if v != nil {
		*into = v
	}
}

func (s *store) add(out Output) {
	for _, r := range out.Logs {
		if old, ok := s.lines[r.Offset]; r.Stream != faas.Platform && (!ok || r.Revision >= old.Revision) {
			s.lines[r.Offset] = r
		}
	}
	for _, r := range out.Invocations {
		k := r.RequestID + r.StartedAt.String()
		v := s.invocations[k]
		v.RequestID, v.StartedAt = r.RequestID, r.StartedAt
		fold(&v.QueuedAt, r.QueuedAt)
		fold(&v.EndedAt, r.EndedAt)
		fold(&v.Cold, r.Cold)
		fold(&v.ColdWaitNS, r.ColdWaitNS)
		fold(&v.MemoryPeak, r.MemoryPeak)
		fold(&v.CPUTimeNS, r.CPUTimeNS)
		fold(&v.UsageMemoryPeak, r.UsageMemoryPeak)
		fold(&v.UsageCPUTimeNS, r.UsageCPUTimeNS)
		fold(&v.UsageShared, r.UsageShared)
		s.invocations[k] = v
	}
	for _, r := range out.ColdStarts {
		if s.start == nil {
			s.start = &schema.ColdStartRow{}
		}
		fold(&s.start.DemandedAt, r.DemandedAt)
		fold(&s.start.RequestID, r.RequestID)
		fold(&s.start.Initialization, r.Initialization)
		fold(&s.start.ReadyAt, r.ReadyAt)
		fold(&s.start.StoppedAt, r.StoppedAt)
	}
	for _, r := range out.Ledgers {
		if old, ok := s.ledgers[r.FileID]; !ok || r.Revision >= old.Revision {
			s.ledgers[r.FileID] = r
		}
	}
	for _, r := range out.Gaps {
		k := fmt.Sprintf("%s %020d %d", r.FileID, r.Offset, r.Event)
		if old, ok := s.gaps[k]; !ok || r.Revision >= old.Revision {
			s.gaps[k] = r
		}
	}
	for _, t := range out.Released {
		s.released[t]++
	}
	s.corrected += out.Corrected
}

func (s *store) restart(now time.Time) *Correlator {
	c := New(DefaultConfig())
	c.Restore(KeyOf(testRef), s.start, s.sortedInvocations(), s.sortedLines(), now)
	return c
}

func (s *store) sortedLines() []schema.LogRow {
	var rows []schema.LogRow
	for _, r := range s.lines {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b schema.LogRow) int {
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return int(a.Offset) - int(b.Offset)
	})
	return rows
}

func (s *store) sortedInvocations() []schema.InvocationRow {
	var rows []schema.InvocationRow
	for _, r := range s.invocations {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b schema.InvocationRow) int { return a.StartedAt.Compare(b.StartedAt) })
	return rows
}

func (s *store) String() string {
	var b strings.Builder
	for _, r := range s.sortedLines() {
		request := r.RequestID
		if request == "" {
			request = "-"
		}
		if len(r.Candidates) > 0 {
			slices.Sort(r.Candidates)
			request = strings.Join(r.Candidates, "|")
		}
		fmt.Fprintf(&b, "%d %s %s %s\n", ms(r.Time), r.Attribution, request, r.Body)
	}
	for _, r := range s.sortedInvocations() {
		cold := "cold unknown"
		if r.Cold != nil {
			cold = fmt.Sprintf("cold=%t waited=%d", *r.Cold, time.Duration(*r.ColdWaitNS).Milliseconds())
		}
		fmt.Fprintf(&b, "%s %s%s\n", r.RequestID, cold, used(&r))
	}
	for _, k := range slices.Sorted(maps.Keys(s.ledgers)) {
		r := s.ledgers[k]
		fmt.Fprintf(&b, "ledger %s from=%d to=%d bytes=%d lines=%d truncated=%d refused=%d lost=%d late=%d complete=%t\n",
			k, ms(*r.From), ms(*r.To), r.Bytes, r.Lines, r.TruncatedLines, r.RefusedLines, r.LostBytes, r.LateLines, r.Complete)
	}
	for _, k := range slices.Sorted(maps.Keys(s.gaps)) {
		r := s.gaps[k]
		from := "?"
		if r.From != nil {
			from = strconv.Itoa(ms(*r.From))
		}
		fmt.Fprintf(&b, "gap file=%q offset=%d bytes=%d from=%s to=%d %s\n", r.FileID, r.Offset, r.Bytes, from, ms(r.To), r.Reason)
	}
	fmt.Fprintf(&b, "corrections %d\n", s.corrected)
	return b.String()
}

// used is what is known of an invocation's memory and CPU, and who says it.
func used(r *schema.InvocationRow) string {
	var b strings.Builder
	say := func(format string, v *int64, unit int64) {
		if v != nil {
			fmt.Fprintf(&b, format, *v/unit)
		}
	}
	say(" told memory=%d", r.MemoryPeak, 1)
	say(" told cpu=%d", r.CPUTimeNS, int64(time.Millisecond))
	say(" measured memory=%d", r.UsageMemoryPeak, 1)
	say(" measured cpu=%d", r.UsageCPUTimeNS, int64(time.Millisecond))
	if r.UsageShared != nil {
		fmt.Fprintf(&b, " shared=%t", *r.UsageShared)
	}
	return b.String()
}

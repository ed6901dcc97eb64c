package correlate

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// epoch is the time 0 of the cases, which count in milliseconds. No time is in
// whole seconds: those are taken for less exact ones.
var epoch = time.Date(2026, 11, 1, 12, 0, 0, 500_000, time.UTC)

func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

func ms(t time.Time) int { return int(t.Sub(epoch) / time.Millisecond) }

// TestCases runs testdata/*.txt. A case says what arrives, in order: a line or
// an event with its own time t, or "wait N", which lets N ms pass. What it
// expects is each line by its time, as the store shows it in the end, each
// invocation, each start of a case that says "starts", and the number of
// corrections. "on=" names the instance if it is not i1, "seen-by=" the host
// from which somebody saw what no platform has told.
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
			if os.Getenv("COLDSCOPE_UPDATE") != "" {
				archive.Files[1].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := gocmp.Diff(string(archive.Files[1].Data), got); diff != "" {
				t.Errorf("-want +got:\n%s\n%s", diff, got)
			}
		})
	}
}

func play(t *testing.T, script string) string {
	t.Helper()
	now := at(0)
	c := New(DefaultConfig())
	s, starts := newStore(), ""
	for n, text := range strings.Split(strings.TrimSpace(script), "\n") {
		word, rest, _ := strings.Cut(strings.TrimSpace(text), " ")
		switch word {
		case "":
		case "starts":
			starts = word
		case "wait":
			d, err := strconv.Atoi(rest)
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Duration(d) * time.Millisecond)
			c.Advance(now)
		case "forget": // a restart: what is known comes from the store
			c = s.restart(DefaultConfig(), now)
		case "line":
			c.Line(parseLine(t, rest, n), n, now)
		default:
			e := parseEvent(t, word, rest, n)
			c.Event(&e, now)
		}
		s.take(c)
	}
	c.Advance(now.Add(time.Hour))
	s.take(c)
	if starts != "" {
		starts = s.startsText()
	}
	return starts + s.String()
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
	ref := testRef
	if rest, ok := strings.CutPrefix(body, "on="); ok {
		ref.Instance, body, _ = strings.Cut(rest, " ")
	}
	return &faas.Line{Ref: ref, Time: at(number(t, when)), Stream: faas.Stdout, Body: body, Named: named(body), FileID: 1, Offset: uint64(n)}
}

func parseEvent(t *testing.T, word, text string, n int) faas.Event {
	t.Helper()
	f := fields(text)
	e := faas.Event{ID: strconv.Itoa(n), Source: "platform", Time: at(number(t, f["t"])), Ref: testRef}
	if on := f["on"]; on != "" {
		e.Instance = on
	}
	if host := f["seen-by"]; host != "" {
		e.Source, e.Observed = host, true
	}
	switch word {
	case "demanded":
		e.Data = faas.Demanded{RequestID: f["by"], Initialization: faas.OnDemand, Image: f["image"], Digest: f["digest"]}
	case "provisioned":
		e.Data = faas.Demanded{Initialization: faas.Provisioned}
	case "ready":
		e.Data = faas.Ready{}
	case "stopped":
		d := faas.Stopped{Reason: f["reason"], OOM: f["oom"] == "true"}
		if f["code"] != "" {
			d.ExitCode = new(number(t, f["code"]))
		}
		e.Data = d
	case "phase":
		d := faas.PhaseDone{Name: faas.Phase(f["name"]), Start: at(number(t, f["from"])), End: e.Time, Error: f["error"]}
		if a := f["attempt"]; a != "" {
			d.Attributes = faas.Attributes{"attempt": a}
		}
		e.Data = d
	case "start":
		d := faas.InvocationStarted{RequestID: f["id"], ColdStart: f["cold"] == "true"}
		if q := f["queued"]; q != "" {
			d.QueuedAt = at(number(t, q))
		}
		e.Data = d
	case "end":
		e.Data = faas.InvocationEnded{
			RequestID: f["id"], StartedAt: at(number(t, f["started"])), Status: faas.Status(cmp.Or(f["status"], "ok")), Error: f["error"],
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
	lines       map[lineID]schema.LogRow
	invocations map[attemptID]schema.InvocationRow
	starts      map[startID]schema.ColdStartRow
	phases      map[string]schema.PhaseRow
	ledgers     map[string]schema.LedgerRow
	gaps        map[string]schema.GapRow
	released    map[Ticket]int
	corrected   int
	patient     bool // what is overdue is only noted, until it is paid
	owed        map[Key][]Span
}

type (
	lineID    struct{ file, offset uint64 }
	attemptID struct {
		instance, request string
		started           int64
	}
	startID struct {
		instance string
		life     uint32
	}
)

func newStore() *store {
	return &store{
		lines: map[lineID]schema.LogRow{}, invocations: map[attemptID]schema.InvocationRow{}, starts: map[startID]schema.ColdStartRow{},
		released: map[Ticket]int{}, phases: map[string]schema.PhaseRow{}, owed: map[Key][]Span{}, ledgers: map[string]schema.LedgerRow{}, gaps: map[string]schema.GapRow{},
	}
}

// coalesce folds row into old as CoalescingMergeTree does: of each field the
// last value that is not nil stays.
func coalesce[T any](old, row T) T {
	into, from := reflect.ValueOf(&old).Elem(), reflect.ValueOf(row)
	for n := range from.NumField() {
		if f := from.Field(n); f.Kind() != reflect.Pointer || !f.IsNil() {
			into.Field(n).Set(f)
		}
	}
	return old
}

func (s *store) add(out Output) {
	for _, r := range out.Logs {
		id := lineID{r.FileID, r.Offset}
		if old, ok := s.lines[id]; r.Stream != faas.Platform && (!ok || r.Revision >= old.Revision) {
			s.lines[id] = r
		}
	}
	for _, r := range out.Invocations {
		id := attemptID{r.Instance, r.RequestID, r.StartedAt.UnixNano()}
		s.invocations[id] = coalesce(s.invocations[id], r)
	}
	for _, r := range out.ColdStarts {
		id := startID{r.Instance, r.Life}
		s.starts[id] = coalesce(s.starts[id], r)
	}
	for _, r := range out.Phases {
		s.phases[fmt.Sprint(r.Instance, r.Phase, r.Start)] = r
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

// take adds what c gives out, and brings back to it what it has forgotten and
// wants to look at again.
func (s *store) take(c *Correlator) {
	out := c.Take()
	s.add(out)
	for _, span := range out.Overdue {
		s.owed[span.Key] = Join(s.owed[span.Key], span)
	}
	if !s.patient {
		s.pay(c)
	}
}

// pay has c look again at all that is owed.
func (s *store) pay(c *Correlator) {
	owed := s.owed
	s.owed = map[Key][]Span{}
	for _, k := range slices.SortedFunc(maps.Keys(owed), func(a, b Key) int { return cmp.Compare(a.Instance, b.Instance) }) {
		ref := testRef
		ref.Instance = k.Instance
		for _, span := range owed[k] {
			s.recall(c, ref, span.From, at(0))
			c.Recheck(k, slices.DeleteFunc(s.sortedLines(), func(r schema.LogRow) bool {
				return r.Instance != k.Instance || r.Time.Before(span.From) || r.Time.After(span.To)
			}))
			s.add(c.Take())
		}
	}
}

// restart gives a correlator that knows what the store knows.
func (s *store) restart(cfg Config, now time.Time) *Correlator {
	c := New(cfg)
	instances := map[string]bool{}
	for id := range s.starts {
		instances[id.instance] = true
	}
	for id := range s.invocations {
		instances[id.instance] = true
	}
	for _, r := range s.lines {
		instances[r.Instance] = true
	}
	for _, name := range slices.Sorted(maps.Keys(instances)) {
		ref := testRef
		ref.Instance = name
		s.recall(c, ref, now, now)
	}
	return c
}

// recall restores what c does not know of an instance as of a time.
func (s *store) recall(c *Correlator, ref faas.Ref, as, now time.Time) {
	k, name := KeyOf(ref), ref.Instance
	if c.Known(k, as) {
		return
	}
	c.Forget(k)
	s.take(c)
	stored := Stored{
		Starts:      of(s.sortedStarts(), name, func(r *schema.ColdStartRow) string { return r.Instance }),
		Invocations: of(s.sortedInvocations(), name, func(r *schema.InvocationRow) string { return r.Instance }),
	}
	for _, r := range s.lines {
		if r.Instance == name {
			stored.Revision = max(stored.Revision, r.Revision)
			if r.Time.After(stored.Lines) {
				stored.Lines = r.Time
			}
		}
	}
	c.Restore(k, stored, now)
}

// of gives the rows of an instance.
func of[T any](rows []T, instance string, get func(*T) string) []T {
	return slices.DeleteFunc(rows, func(r T) bool { return get(&r) != instance })
}

func (s *store) sortedStarts() []schema.ColdStartRow {
	return slices.SortedFunc(maps.Values(s.starts), func(a, b schema.ColdStartRow) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.Life, b.Life))
	})
}

func (s *store) sortedLines() []schema.LogRow {
	return slices.SortedFunc(maps.Values(s.lines), func(a, b schema.LogRow) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.FileID, b.FileID), cmp.Compare(a.Offset, b.Offset))
	})
}

func (s *store) sortedInvocations() []schema.InvocationRow {
	return slices.SortedFunc(maps.Values(s.invocations), func(a, b schema.InvocationRow) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.RequestID, b.RequestID), cmp.Compare(a.Instance, b.Instance))
	})
}

func (s *store) String() string {
	var b strings.Builder
	for _, r := range s.sortedLines() {
		request := cmp.Or(r.RequestID, "-")
		if len(r.Candidates) > 0 {
			request = strings.Join(r.Candidates, "|")
		}
		fmt.Fprintf(&b, "%d%s %s %s %s\n", ms(r.Time), on(r.Instance), r.Attribution, request, r.Body)
	}
	for _, r := range s.sortedInvocations() {
		cold := "cold unknown"
		if r.Cold != nil {
			cold = fmt.Sprintf("cold=%t waited=%d", *r.Cold, time.Duration(*r.ColdWaitNS).Milliseconds())
		}
		fmt.Fprintf(&b, "%s%s %s%s%s\n", r.RequestID, on(r.Instance), cold, used(&r), outcome(&r))
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

func on(instance string) string {
	if instance == testRef.Instance {
		return ""
	}
	return " on " + instance
}

// outcome is how an invocation ended, unless it ended well, and who says so.
func outcome(r *schema.InvocationRow) string {
	switch {
	case r.Status != nil && *r.Status == "ok":
		return ""
	case r.Status != nil:
		return strings.TrimRight(fmt.Sprintf(" %s at=%d %s", *r.Status, ms(*r.EndedAt), *r.Error), " ")
	case r.ClosedStatus != nil:
		return fmt.Sprintf(" %s at=%d closed by %s: %s", *r.ClosedStatus, ms(*r.ClosedAt), *r.ClosedBy, *r.ClosedError)
	}
	return " running"
}

// startsText says each start, its phases and its clock in a line.
func (s *store) startsText() string {
	var b strings.Builder
	for _, r := range s.sortedStarts() {
		fmt.Fprintf(&b, "start %d%s", r.Life, on(r.Instance))
		for _, f := range []struct {
			name string
			at   *time.Time
		}{{"demanded", r.DemandedAt}, {"ready", r.ReadyAt}, {"stopped", r.StoppedAt}} {
			if f.at != nil {
				fmt.Fprintf(&b, " %s=%d", f.name, ms(*f.at))
			}
		}
		for _, f := range []struct {
			name string
			text *string
		}{{"host", r.Host}, {"by", r.RequestID}, {"image", r.Image}, {"digest", r.Digest}, {"reason", r.StopReason}} {
			if f.text != nil {
				fmt.Fprintf(&b, " %s=%s", f.name, *f.text)
			}
		}
		if r.ClockOffsetNS != nil {
			fmt.Fprintf(&b, " platform's clock is %s ahead, give or take %s", time.Duration(*r.ClockOffsetNS), time.Duration(*r.ClockSlackNS))
		}
		b.WriteByte('\n')
	}
	for _, r := range slices.SortedFunc(maps.Values(s.phases), func(a, b schema.PhaseRow) int { return a.Start.Compare(b.Start) }) {
		fmt.Fprintf(&b, "phase %s from=%d to=%d", r.Phase, ms(r.Start), ms(r.End))
		if r.Error != "" {
			fmt.Fprintf(&b, " error=%s", r.Error)
		}
		if n := r.Attributes["attempt"]; n != "" {
			fmt.Fprintf(&b, " attempt=%s", n)
		}
		b.WriteByte('\n')
	}
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

var naming = regexp.MustCompile(`(?i)request.?id["' ]*[:=]["' ]*([A-Za-z0-9_-]{8,})`)

// named gives the request IDs that a text names, in the ways of these cases.
func named(text string) (ids []string) {
	for _, m := range naming.FindAllStringSubmatch(text, -1) {
		ids = append(ids, m[1])
	}
	return ids
}

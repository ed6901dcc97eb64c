package correlate

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/internal/faas"
)

// world is what really happened on some instances of a function, drawn at
// random, and the facts that are told of it.
type world struct {
	facts   []fact
	serial  map[string]bool // by instance: one request at a time
	offset  int             // ms that the platform's clock is ahead of the hosts'
	ended   map[attemptID]ending
	readied map[startID]time.Time // by the platform
	queue   []string              // requests that failed, to be tried again
	n       int                   // requests so far
	lines   uint64
}

// ending is how an attempt ends: as the platform tells, or as it follows from
// its instance's end.
type ending struct {
	status faas.Status // running: nobody tells
	says   string      // in the error
	closed bool
}

// fact is a line or an event, with the request that a line really belongs to.
type fact struct {
	line    *faas.Line
	event   *faas.Event
	truth   string
	arrives int // ms
}

func drawWorld(t *rapid.T) *world {
	w := &world{serial: map[string]bool{}, ended: map[attemptID]ending{}, readied: map[startID]time.Time{}}
	if rapid.IntRange(0, 3).Draw(t, "clocks") == 0 {
		w.offset = rapid.IntRange(100, 10_000).Draw(t, "offset")
		if rapid.Bool().Draw(t, "behind") {
			w.offset = -w.offset
		}
	}
	for n := range rapid.IntRange(1, 3).Draw(t, "instances") {
		i := &simulated{
			world: w, t: t, ref: testRef, limit: rapid.SampledFrom([]int{1, 1, 2, 4}).Draw(t, "concurrency"),
			now: rapid.IntRange(20_000, 21_000).Draw(t, "begin"), file: uint64(n + 1),
		}
		i.ref.Instance = fmt.Sprint("i", n+1)
		w.serial[i.ref.Instance] = i.limit == 1
		for number := range rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "lives") {
			if i.live(uint32(number)); !i.stopped {
				break
			}
			i.now += rapid.IntRange(1, 10_000).Draw(t, "pause")
			if w.offset != 0 {
				i.now += 200 // more than the clocks' distance is known to
			}
		}
	}
	return w
}

// request draws a request: a new one, or one that has failed before.
func (w *world) request(t *rapid.T) string {
	if len(w.queue) > 0 && rapid.Bool().Draw(t, "retry") {
		id := w.queue[0]
		w.queue = w.queue[1:]
		return id
	}
	w.n++
	return fmt.Sprintf("request-%04d", w.n)
}

// simulated is one instance at work. Its clock is the lines'.
type simulated struct {
	*world
	t       *rapid.T
	ref     faas.Ref
	limit   int // requests at a time
	now     int
	file    uint64
	number  uint32 // of its life
	settled int    // when the facts of the life before have arrived
	latest  int    // when those of this one have
	stopped bool
	open    []attempt
	gone    []attempt // ended in this life
}

type attempt struct {
	id         string
	start, end int
}

func (i *simulated) step() { i.now += rapid.IntRange(1, 50).Draw(i.t, "step") }

// arrive says when a fact of now arrives: mostly at once, or any time later.
func (i *simulated) arrive() int {
	if rapid.IntRange(0, 2).Draw(i.t, "delayed") > 0 {
		return i.now + rapid.IntRange(0, 20).Draw(i.t, "delay")
	}
	return i.now + rapid.IntRange(0, 20_000).Draw(i.t, "long delay")
}

func (i *simulated) add(f fact) {
	i.facts = append(i.facts, f)
	if rapid.IntRange(0, 9).Draw(i.t, "twice") == 0 {
		f.arrives = max(f.arrives, i.arrive())
		i.facts = append(i.facts, f)
	}
}

func (i *simulated) tell(d faas.Data) {
	i.add(fact{arrives: i.arrive(), event: &faas.Event{
		ID: strconv.Itoa(len(i.facts)), Source: "platform", Time: at(i.now + i.offset), Ref: i.ref, Data: d,
	}})
}

// course tells a fact of the instance's course. Those of a later life arrive
// after those of an earlier one.
func (i *simulated) course(d faas.Data, observed bool) {
	e := &faas.Event{ID: strconv.Itoa(len(i.facts)), Source: "platform", Time: at(i.now + i.offset), Ref: i.ref, Data: d}
	if observed {
		e.Source, e.Observed, e.Time = "host", true, at(i.now)
	}
	f := fact{event: e, arrives: max(i.settled, i.arrive())}
	i.latest = max(i.latest, f.arrives)
	i.add(f)
}

func (i *simulated) print(truth, body string) {
	i.lines++
	i.add(fact{truth: truth, arrives: i.arrive(), line: &faas.Line{
		Ref: i.ref, Host: "host", Time: at(i.now), Stream: faas.Stdout, Body: fmt.Sprint(body, " #", i.lines), Named: named(body), FileID: i.file, Offset: i.lines,
	}})
}

func (i *simulated) live(number uint32) {
	i.number, i.settled, i.stopped, i.gone = number, i.latest, false, nil
	first := ""
	seen := i.offset != 0 || rapid.Bool().Draw(i.t, "seen from outside")
	demanded := faas.Demanded{Initialization: faas.Provisioned}
	if rapid.IntRange(0, 4).Draw(i.t, "initialization") > 0 {
		first = i.request(i.t)
		demanded = faas.Demanded{Initialization: faas.OnDemand, RequestID: first}
	}
	queued := i.now + i.offset
	i.course(demanded, false)
	i.step()
	if seen {
		i.course(faas.Demanded{Initialization: faas.OnDemand, Digest: "sha256:1"}, true)
	}
	for range rapid.IntRange(0, 3).Draw(i.t, "init lines") {
		i.step()
		i.print(first, "loading")
	}
	i.step()
	if seen {
		i.course(faas.Ready{}, true)
	}
	i.step()
	i.course(faas.Ready{}, false)
	i.readied[startID{i.ref.Instance, number}] = at(i.now + i.offset)
	if first != "" {
		i.step()
		i.begin(first, queued)
	}
	for range rapid.IntRange(0, 25).Draw(i.t, "actions") {
		i.act()
	}
	i.finish(seen)
}

func (i *simulated) begin(id string, queued int) {
	i.open = append(i.open, attempt{id: id, start: i.now})
	i.tell(faas.InvocationStarted{RequestID: id, QueuedAt: at(queued)})
	i.ended[attemptID{i.ref.Instance, id, at(i.now + i.offset).UnixNano()}] = ending{status: faas.StatusRunning}
}

// act lets something happen: a request, an end, a line.
func (i *simulated) act() {
	i.step()
	switch rapid.IntRange(0, 5).Draw(i.t, "action") {
	case 0, 1:
		if len(i.open) < i.limit {
			i.begin(i.request(i.t), i.now+i.offset)
		}
	case 2:
		if len(i.open) > 0 {
			i.end(rapid.IntRange(0, len(i.open)-1).Draw(i.t, "which"))
		}
	case 3:
		if len(i.open) == 0 { // idle, for longer than a late line may come
			i.now += 2500
			i.print("", "heartbeat")
		}
	default:
		i.speak()
	}
}

// speak prints a line of an open request, or of one that has just ended.
func (i *simulated) speak() {
	if len(i.open) > 0 {
		id := rapid.SampledFrom(i.open).Draw(i.t, "whose").id
		i.print(id, rapid.SampledFrom([]string{
			"working", "working", `{"requestId":"` + id + `"}`, "END RequestId: " + id + "-is-no-request", "REPORT RequestId: 00000000-dead Duration: 1 ms",
			"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX",
		}).Draw(i.t, "body"))
		return
	}
	if len(i.gone) == 0 {
		return
	}
	last := slices.MaxFunc(i.gone, func(a, b attempt) int { return cmp.Compare(a.end, b.end) })
	if i.now-last.end > 1500 {
		return
	}
	beside := slices.DeleteFunc(slices.Clone(i.gone), func(a attempt) bool { return a.end <= last.start || i.now-a.end > 1500 })
	i.print(rapid.SampledFrom(beside).Draw(i.t, "late").id, "flushed")
}

func (i *simulated) end(n int) {
	a := i.open[n]
	i.open = slices.Delete(i.open, n, n+1)
	a.end = i.now
	i.gone = append(i.gone, a)
	status := rapid.SampledFrom([]faas.Status{faas.StatusOK, faas.StatusOK, faas.StatusError, faas.StatusTimeout}).Draw(i.t, "status")
	i.tellEnd(a, status)
	if status == faas.StatusOK && rapid.IntRange(0, 9).Draw(i.t, "contradicted") == 0 {
		i.now++ // somebody else ends it again, otherwise
		i.gone[len(i.gone)-1].end = i.now
		i.tellEnd(a, faas.StatusCancelled)
		status = faas.StatusCancelled
	}
	if status != faas.StatusOK {
		i.queue = append(i.queue, a.id)
	}
}

func (i *simulated) tellEnd(a attempt, status faas.Status) {
	d := faas.InvocationEnded{RequestID: a.id, StartedAt: at(a.start + i.offset), Status: status}
	if status != faas.StatusOK {
		d.Error = "told: " + string(status)
	}
	i.tell(d)
	i.ended[attemptID{i.ref.Instance, a.id, d.StartedAt.UnixNano()}] = ending{status: status, says: d.Error}
}

// finish ends the life or lets it go on. Of requests that are open when it
// ends the platform may tell the end, too.
func (i *simulated) finish(seen bool) {
	how := rapid.SampledFrom([]string{"", "idle", "crash", "oom", "timeout"}).Draw(i.t, "finish")
	if how == "" {
		return
	}
	if i.offset != 0 || i.number > 0 {
		i.settled = i.latest // whose clock is ahead, or that it lives again, is known before the end
	}
	i.step()
	d, want := faas.Stopped{Reason: how}, ending{status: faas.StatusError, says: "idle", closed: true}
	switch how {
	case "crash":
		d.Reason, d.ExitCode, want.says = "error", new(139), "SIGSEGV"
	case "oom":
		d.Reason, d.OOM, want.status, want.says = "killed", true, faas.StatusOOM, "out of memory"
	case "timeout":
		want.status, want.says = faas.StatusTimeout, "timeout"
	}
	if seen {
		i.course(faas.Stopped{Reason: "exited"}, true)
		i.now++
	}
	i.course(d, false)
	i.stopped = true
	at := i.now
	for _, a := range i.open {
		a.end = at
		i.gone = append(i.gone, a)
		i.ended[attemptID{i.ref.Instance, a.id, epoch.Add(time.Duration(a.start+i.offset) * time.Millisecond).UnixNano()}] = want
		if rapid.IntRange(0, 2).Draw(i.t, "told all the same") == 0 {
			i.tellEnd(a, faas.StatusError)
		}
		i.queue = append(i.queue, a.id)
	}
	i.open = nil
	if rapid.Bool().Draw(i.t, "last words") && i.limit == 1 {
		i.now++
		i.speak()
	}
}

// outcomes holds what is stored of the attempts against what happened.
func (w *world) outcomes(s *store) error {
	if len(s.invocations) != len(w.ended) {
		return fmt.Errorf("%d attempts are stored, there were %d", len(s.invocations), len(w.ended))
	}
	for id, want := range w.ended {
		r, ok := s.invocations[id]
		if !ok {
			return fmt.Errorf("attempt %v is missing", id)
		}
		status, text := faas.StatusRunning, ""
		switch {
		case r.Status != nil:
			status, text = faas.Status(*r.Status), *r.Error
		case r.ClosedStatus != nil:
			status, text = faas.Status(*r.ClosedStatus), *r.ClosedError
		}
		if status != want.status || !strings.Contains(text, want.says) || want.closed == (r.Status != nil) && want.status != faas.StatusRunning {
			return fmt.Errorf("attempt %v is %s %q, want %+v", id, status, text, want)
		}
	}
	for id, ready := range w.readied {
		if r := s.starts[id]; r.ReadyAt == nil || !r.ReadyAt.Equal(ready) {
			return fmt.Errorf("start %v: ready at %v, the platform told %v", id, r.ReadyAt, ready)
		}
	}
	return nil
}

// lineIsRight says what is wrong with where a line is shown.
func (w *world) lineIsRight(f *fact, s *store) error {
	l := f.line
	r, ok := s.lines[lineID{l.FileID, l.Offset}]
	complain := func() error {
		return fmt.Errorf("line at %d ms on %s: %s %q %v %q, is %q", ms(l.Time), l.Instance, r.Attribution, r.RequestID, r.Candidates, r.Body, f.truth)
	}
	if !ok || r.Body != l.Body || !r.Time.Equal(l.Time) {
		return complain()
	}
	exact := w.serial[l.Instance] && w.offset == 0
	switch r.Attribution {
	case faas.AttributionAmbiguous:
		if exact || !slices.Contains(r.Candidates, f.truth) && f.truth != "" {
			return complain()
		}
	case faas.AttributionNone:
		if f.truth != "" && (exact || w.offset == 0) {
			return complain()
		}
	default:
		if r.RequestID != f.truth {
			return complain()
		}
	}
	return nil
}

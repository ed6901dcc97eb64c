package correlate

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// busy is a platform at work: 125 instances, some of them much busier than
// others, and 16 requests at a time, of about ten lines each.
type busy struct {
	r        *rand.Rand
	now      time.Time
	step     time.Duration // between two lines
	open     [16]busyRequest
	requests int
	lines    uint64
}

type busyRequest struct {
	id      string
	ref     faas.Ref
	left    int // lines
	started time.Time
}

// push is what n lines and the events beside them say.
func (b *busy) push(n int) []fact {
	var facts []fact
	event := func(at time.Time, r *busyRequest, d faas.Data) {
		facts = append(facts, fact{event: &faas.Event{ID: fmt.Sprintf("%s %T", r.id, d), Source: "p", Time: at, Ref: r.ref, Data: d}})
	}
	for range n {
		b.now = b.now.Add(b.step)
		r := &b.open[b.r.IntN(len(b.open))]
		if r.left == 0 {
			b.requests++
			u := b.r.Float64()
			*r = busyRequest{id: fmt.Sprintf("3c9e1f5a-7b7d-4c52-8f6e-%012d", b.requests), ref: testRef, left: 6 + b.r.IntN(9), started: b.now}
			r.ref.Instance = strconv.Itoa(int(u * u * 125))
			event(b.now, r, faas.InvocationStarted{RequestID: r.id})
		}
		r.left--
		b.lines++
		l := &faas.Line{Ref: r.ref, Time: b.now, Stream: faas.Stdout, Body: "a line", FileID: 1, Offset: b.lines}
		if b.r.IntN(10) > 0 {
			l.Named = []string{r.id}
		}
		facts = append(facts, fact{line: l})
		if r.left == 0 {
			event(b.now.Add(time.Microsecond), r, faas.InvocationEnded{RequestID: r.id, StartedAt: r.started, Status: faas.StatusOK})
		}
	}
	return facts
}

// TestFullSpeed: at 64 000 lines a second, of pushes that overtake each other,
// the correlator knows what it was told a short while ago of every instance,
// of the busiest ones, too, and hardly any lines are to be read again. All
// is a sixteenth: of the default memory, of 2000 instances, of the lines a second,
// and of 64 pushes of 5000 lines, by which some come late.
func TestFullSpeed(t *testing.T) {
	const pushes, size, late = 400, 312, 64
	cfg := DefaultConfig()
	cfg.Memory /= 16
	c := New(cfg)
	b := busy{r: rand.New(rand.NewPCG(1, 2)), now: epoch, step: 16 * time.Second / 64_000}
	met := map[Key]bool{}
	stored := map[Key][]time.Time{} // lines
	unknown, reread := 0, 0
	take := func(facts []fact) {
		for n := range facts {
			var ref faas.Ref
			if f := &facts[n]; f.line != nil {
				ref = f.line.Ref
			} else {
				ref = f.event.Ref
			}
			if k := KeyOf(ref); met[k] && !c.Known(k, facts[n].time()) {
				unknown++
			}
		}
		for n := range facts {
			if e := facts[n].event; e != nil {
				met[KeyOf(e.Ref)] = true
				c.Event(e, b.now)
			}
		}
		for n := range facts {
			if l := facts[n].line; l != nil {
				c.Line(l, nil, b.now)
			}
		}
		c.Advance(b.now)
		for _, s := range c.Take().Overdue {
			if !c.Known(s.Key, s.From) {
				unknown++
			}
			for _, at := range stored[s.Key] {
				if !at.Before(s.From) && !at.After(s.To) {
					reread++
				}
			}
		}
		for n := range facts {
			if l := facts[n].line; l != nil {
				stored[KeyOf(l.Ref)] = append(stored[KeyOf(l.Ref)], l.Time)
			}
		}
	}
	waiting := map[int][]fact{}
	for n := range pushes {
		if facts := b.push(size); n%10 == 3 {
			waiting[n+late] = facts
		} else {
			take(facts)
		}
		take(waiting[n])
		delete(waiting, n)
	}
	if unknown > 0 || reread > pushes*size/10 {
		t.Errorf("of %d lines: %d facts of what is not known any more, %d lines to be read again", pushes*size, unknown, reread)
	}
}

// TestLateRequest: a request that is told of when the lines of its time are
// forgotten has those read that it may change, and no others.
func TestLateRequest(t *testing.T) {
	// request n is served from 1000 n to 1000 n + 30 ms, and prints two lines.
	serve := func(c *Correlator, n int, named ...string) {
		id := strconv.Itoa(n)
		tell(c, 1000*n, faas.InvocationStarted{RequestID: id})
		for ms := 1000*n + 10; ms <= 1000*n+20; ms += 10 {
			c.Line(&faas.Line{Ref: testRef, Time: at(ms), Stream: faas.Stdout, Named: named, FileID: 1, Offset: uint64(ms)}, nil, at(ms))
		}
		tell(c, 1000*n+30, faas.InvocationEnded{RequestID: id, StartedAt: at(1000 * n), Status: faas.StatusOK})
		c.Take()
	}
	forgetful := func() *Correlator {
		cfg := DefaultConfig()
		cfg.InstanceLines = 2
		return New(cfg)
	}
	forget := func(c *Correlator) {
		for !c.outlines.empty() {
			c.dropOutline()
		}
	}
	late := func(c *Correlator, id string, from, to int) []Span {
		tell(c, from, faas.InvocationStarted{RequestID: id})
		tell(c, to, faas.InvocationEnded{RequestID: id, StartedAt: at(from), Status: faas.StatusOK})
		return c.Take().Overdue
	}
	span := func(from, to int) string { return fmt.Sprint([]Span{{KeyOf(testRef), at(from), at(to)}}) }
	for name, test := range map[string]struct {
		names    string // that the line of request 15 carries
		from, to int    // of the request that is told late
		want     string
	}{
		"alone":                {from: 10_500, to: 10_600, want: span(10_500, 11_000)},
		"beside another":       {from: 10_500, to: 11_010, want: span(10_500, 13_010)},
		"named later":          {names: "late", from: 10_500, to: 10_600, want: span(10_500, 15_020)},
		"another one is named": {names: "10", from: 10_500, to: 10_600, want: span(10_500, 11_000)},
		"two at once":          {from: 10_010, to: 10_020, want: span(10_010, 12_020)},
	} {
		t.Run(name, func(t *testing.T) {
			c := forgetful()
			for n := range 20 {
				if n == 15 && test.names != "" {
					serve(c, n, test.names)
				} else {
					serve(c, n)
				}
			}
			forget(c)
			serve(c, 20)
			if got := fmt.Sprint(late(c, "late", test.from, test.to)); got != test.want {
				t.Errorf("overdue: %s, want %s", got, test.want)
			}
		})
	}
	t.Run("its end comes later", func(t *testing.T) {
		c := forgetful()
		for n := range 20 {
			serve(c, n)
		}
		tell(c, 20_000, faas.InvocationStarted{RequestID: "late"})
		c.Take()
		for n := 21; n < 25; n++ {
			serve(c, n)
		}
		forget(c)
		serve(c, 25)
		dropped := ms(c.instances[KeyOf(testRef)].dropped)
		// Behind that there are outlines.
		if got, want := fmt.Sprint(late(c, "late", 20_000, 20_500)[:1]), span(20_500, dropped); got != want {
			t.Errorf("overdue: %s, want %s", got, want)
		}
	})
}

// TestForgottenInvocations: a busy instance is known as of what follows those
// of its invocations that are forgotten.
func TestForgottenInvocations(t *testing.T) {
	const n = 100
	begin := func(c *Correlator) {
		for v := range n {
			id := strconv.Itoa(v)
			tell(c, 10*v, faas.InvocationStarted{RequestID: id})
			tell(c, 10*v+5, faas.InvocationEnded{RequestID: id, StartedAt: at(10 * v), Status: faas.StatusOK})
		}
		c.Take()
	}
	k := KeyOf(testRef)
	c := New(DefaultConfig())
	begin(c)
	c.forgetInvocations(c.instances[k], 40, true)
	if !c.Known(k, at(400)) || c.Known(k, at(399)) {
		t.Errorf("the horizon is at %d ms", ms(c.instances[k].horizon))
	}
	// One that ran beside those that stay may have printed what is between them.
	c = New(DefaultConfig())
	begin(c)
	tell(c, 407, faas.InvocationEnded{RequestID: "39", StartedAt: at(390), Status: faas.StatusOK})
	c.Take()
	c.forgetInvocations(c.instances[k], 40, true)
	if grace := ms(at(407).Add(c.cfg.Grace)); !c.Known(k, at(grace+1)) || c.Known(k, at(grace)) {
		t.Errorf("the horizon is at %d ms", ms(c.instances[k].horizon))
	}
}

func TestJoin(t *testing.T) {
	var spans []Span
	add := func(from, to int) { spans = Join(spans, Span{KeyOf(testRef), at(from), at(to)}) }
	text := func() string {
		var b strings.Builder
		for _, one := range spans {
			fmt.Fprintf(&b, "%d-%d ", ms(one.From), ms(one.To))
		}
		return b.String()
	}
	add(10, 20)
	add(40, 50)
	add(60, 70)
	if got := text(); got != "10-20 40-50 60-70 " {
		t.Error(got)
	}
	add(20, 45)
	if got := text(); got != "60-70 10-50 " {
		t.Error(got)
	}
	for n := range 2 * maxSpans {
		add(100+10*n, 105+10*n)
	}
	if len(spans) > maxSpans {
		t.Errorf("%d spans", len(spans))
	}
	first, last := false, false
	for _, one := range spans {
		first = first || ms(one.From) <= 10 && ms(one.To) >= 50
		last = last || ms(one.To) == 105+10*(2*maxSpans-1)
	}
	if !first || !last {
		t.Error(text())
	}
}

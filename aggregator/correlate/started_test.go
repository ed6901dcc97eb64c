package correlate

import (
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
)

// TestStartsNameTheirRequest: also one that nobody has named for a start, and
// that was told behind it.
func TestStartsNameTheirRequest(t *testing.T) {
	const trace = "0af7651916cd43dd8448eb211c80319c"
	waiter := faas.InvocationStarted{RequestID: "r-1", QueuedAt: at(0)}
	for name, c := range map[string]struct {
		demanded faas.Demanded
		line     faas.Line
		want     [2]string // request, trace
	}{
		"demanded by it": {faas.Demanded{RequestID: "r-1"}, faas.Line{Time: at(500), TraceID: trace}, [2]string{"r-1", trace}},
		"waits for it":   {faas.Demanded{}, faas.Line{Time: at(950), TraceID: trace}, [2]string{"r-1", trace}},
		"no trace":       {faas.Demanded{}, faas.Line{Time: at(950)}, [2]string{"r-1", ""}},
		"provisioned":    {faas.Demanded{Initialization: faas.Provisioned}, faas.Line{Time: at(950), TraceID: trace}, [2]string{"", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			k := New(DefaultConfig())
			for _, e := range []faas.Event{
				{Time: at(0), Data: c.demanded},
				{Time: at(300), Data: faas.PhaseDone{Name: faas.PhasePull, Start: at(100), End: at(300)}},
				{Time: at(900), Data: faas.Ready{}},
				{Time: at(901), Data: waiter},
			} {
				e.Ref = testRef
				k.Event(&e, at(1000))
			}
			c.line.Ref = testRef
			k.Line(&c.line, nil, at(1000))
			kind := c.demanded.Initialization
			want := []Start{
				{Ref: testRef, Initialization: kind, Phase: faas.PhasePull, Duration: 200 * time.Millisecond, RequestID: c.want[0], TraceID: c.want[1]},
				{Ref: testRef, Initialization: kind, Duration: 900 * time.Millisecond, RequestID: c.want[0], TraceID: c.want[1]},
			}
			if diff := gocmp.Diff(want, k.Take().Started); diff != "" {
				t.Error(diff)
			}
			if again := k.Take().Started; len(again) > 0 {
				t.Errorf("given out again: %v", again)
			}
		})
	}
}

// TestLearnedStartsAreNotCounted: whoever was told of them has counted them.
func TestLearnedStartsAreNotCounted(t *testing.T) {
	k := New(DefaultConfig())
	k.Event(&faas.Event{Time: at(0), Ref: testRef, Data: faas.PhaseDone{Name: faas.PhasePull, Start: at(1), End: at(2)}}, at(10))
	for _, e := range []faas.Event{{Time: at(0), Data: faas.Demanded{}}, {Time: at(900), Data: faas.Ready{}}} {
		e.Ref = testRef
		k.Learn(&e, at(1000))
	}
	if got := k.Take().Started; len(got) != 1 || got[0].Phase != faas.PhasePull {
		t.Errorf("got %v", got)
	}
}

// TestHeld: how long lines waited, whatever it was that ended it.
func TestHeld(t *testing.T) {
	k := New(DefaultConfig())
	for _, arrives := range []int{0, 100} {
		k.Line(&faas.Line{Ref: testRef, Time: at(arrives)}, nil, at(arrives))
	}
	other := testRef
	other.Instance = "i2"
	k.Line(&faas.Line{Ref: other, Time: at(150)}, nil, at(150))
	k.Event(&faas.Event{Time: at(-10), Ref: testRef, Data: faas.InvocationStarted{RequestID: "r"}}, at(300))
	k.Advance(at(700))
	want := []time.Duration{300 * time.Millisecond, 200 * time.Millisecond, 550 * time.Millisecond}
	got := k.Take().Held
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestRevisionIsTheTime: what is given out later has a later revision than what
// is given out now, by this process or another one, also if only lines come.
func TestRevisionIsTheTime(t *testing.T) {
	k := New(DefaultConfig())
	for _, arrives := range []int{0, 60_000} {
		k.Line(&faas.Line{Ref: testRef, Time: at(arrives)}, nil, at(arrives))
		k.Advance(at(arrives + 1000))
		rows := k.Take().Logs
		if len(rows) != 1 || rows[0].Revision < uint64(at(arrives).UnixNano()) || rows[0].Revision > uint64(at(arrives+1001).UnixNano()) {
			t.Errorf("at %d: %+v", arrives, rows)
		}
	}
}

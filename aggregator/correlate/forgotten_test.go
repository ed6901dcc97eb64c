package correlate

import (
	"slices"
	"testing"

	"github.com/coldscope/coldscope/internal/faas"
)

// TestForgottenLife: the requests of a life that are forgotten say nothing of
// the next life's: what was printed before its first one is init.
func TestForgottenLife(t *testing.T) {
	c, s := New(DefaultConfig()), newStore()
	tell(c, 0, faas.Demanded{RequestID: "a"})
	tell(c, 10, faas.Ready{})
	tell(c, 20, faas.InvocationStarted{RequestID: "a"})
	tell(c, 30, faas.InvocationEnded{RequestID: "a", StartedAt: at(20), Status: faas.StatusOK})
	tell(c, 40, faas.Stopped{Reason: "idle"})
	tell(c, 5000, faas.Demanded{RequestID: "b"})
	tell(c, 5020, faas.Ready{})
	s.take(c)
	c.forgetInvocations(c.instances[KeyOf(testRef)], 1, true)
	say(c, 5010)
	tell(c, 5030, faas.InvocationStarted{RequestID: "b"})
	say(c, 5015)
	s.take(c)
	for _, ms := range []uint64{5010, 5015} {
		if r := s.lines[lineID{1, ms}]; r.Attribution != faas.AttributionInit || r.RequestID != "b" {
			t.Errorf("line at %d ms: %s of %q, want init of b", ms, r.Attribution, r.RequestID)
		}
	}
}

// TestLateStartOfForgottenTime: a request whose end is told before its start,
// which lies in a time that is forgotten, changes lines of that time, too.
func TestLateStartOfForgottenTime(t *testing.T) {
	c, s := New(DefaultConfig()), newStore()
	tell(c, 0, faas.InvocationStarted{RequestID: "a"})
	tell(c, 100, faas.InvocationStarted{RequestID: "b"})
	tell(c, 1000, faas.InvocationEnded{RequestID: "a", StartedAt: at(0), Status: faas.StatusOK})
	say(c, 1500)
	s.take(c)
	c.forgetInvocations(c.instances[KeyOf(testRef)], 1, true)
	tell(c, 5000, faas.InvocationEnded{RequestID: "c", StartedAt: at(1200), Status: faas.StatusOK})
	s.take(c)
	if r := s.lines[lineID{1, 1500}]; r.Attribution != faas.AttributionAmbiguous {
		t.Errorf("the line is %s of %q, may be of b and c", r.Attribution, r.RequestID)
	}
}

// TestForgottenWhileHeld: whose a line is that waits, of a time that is being
// forgotten, is said by what was known of that time.
func TestForgottenWhileHeld(t *testing.T) {
	c, s := New(DefaultConfig()), newStore()
	tell(c, 0, faas.InvocationStarted{RequestID: "a"})
	tell(c, 10, faas.InvocationStarted{RequestID: "b"})
	tell(c, 90, faas.InvocationEnded{RequestID: "b", StartedAt: at(10), Status: faas.StatusOK})
	tell(c, 100, faas.InvocationEnded{RequestID: "a", StartedAt: at(0), Status: faas.StatusOK})
	say(c, 110)
	if c.Held() != 1 {
		t.Fatal("the line does not wait")
	}
	c.forgetInvocations(c.instances[KeyOf(testRef)], 1, true)
	c.Advance(at(5000))
	s.take(c)
	if r := s.lines[lineID{1, 110}]; r.Attribution != faas.AttributionAmbiguous {
		t.Errorf("the line is %s of %q, may be of a and b", r.Attribution, r.RequestID)
	}
}

// TestForgottenBesideUnknown: of a request that is forgotten some line can be
// after another one has begun, since one is told later that ran beside it and
// ended after both.
func TestForgottenBesideUnknown(t *testing.T) {
	c, s := New(DefaultConfig()), newStore()
	tell(c, 0, faas.InvocationStarted{RequestID: "a"})
	say(c, 10)
	tell(c, 100, faas.InvocationEnded{RequestID: "a", StartedAt: at(0), Status: faas.StatusOK})
	s.take(c)
	c = s.restart(DefaultConfig(), at(110))
	tell(c, 120, faas.InvocationStarted{RequestID: "b"})
	tell(c, 140, faas.InvocationEnded{RequestID: "b", StartedAt: at(120), Status: faas.StatusOK})
	s.take(c)
	c.forgetInvocations(c.instances[KeyOf(testRef)], 1, true)
	say(c, 160)
	tell(c, 150, faas.InvocationEnded{RequestID: "unknown", StartedAt: at(50), Status: faas.StatusOK})
	s.take(c)
	c.Advance(at(5000))
	s.take(c)
	if r := s.lines[lineID{1, 160}]; !slices.Equal(r.Candidates, []string{"a", "b", "unknown"}) {
		t.Errorf("the line is %s of %q, may be of all three", r.Attribution, r.Candidates)
	}
}

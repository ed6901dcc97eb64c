package correlate

import (
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

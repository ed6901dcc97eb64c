package correlate

import (
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// Learn takes a fact in that the store has already, since another process was
// told of it: a Demanded, Ready, Stopped, InvocationStarted or InvocationEnded
// event made of its row. Only what follows from it is given out: corrected
// lines, and what several facts together say.
func (c *Correlator) Learn(e *faas.Event, now time.Time) {
	i := c.use(KeyOf(e.Ref), now)
	c.revision = max(c.revision+1, uint64(now.UnixNano()))
	starts, metrics, invocations := len(c.out.ColdStarts), len(c.begun), len(c.out.Invocations)
	c.change(i, c.apply(i, e))
	c.charge(i)
	i.see(e.Time)
	c.out.ColdStarts, c.begun = c.out.ColdStarts[:starts], c.begun[:metrics]
	switch e.Data.(type) {
	case faas.InvocationStarted, faas.InvocationEnded: // its own row is the first
		c.out.Invocations = append(c.out.Invocations[:invocations], c.out.Invocations[invocations+1:]...)
	}
}

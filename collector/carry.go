package collector

import (
	"time"

	"github.com/coldscope/coldscope/collector/runtimelog"
)

// A line may begin in one generation and end in the next, since runtimes rotate
// between its pieces. It is the first one's, where its name is, and the second
// one's offset stays at its beginning until the line is acknowledged. A
// checkpoint has either both places behind the line or none: else who reads
// the files again would take its second half for a line. A line over three
// files becomes two.

// follows reports whether next goes on where generation g ended, and was not
// read yet.
func (g *generation) follows(next *generation) bool {
	at, to := g.found, next.found
	return to.Run == at.Run && to.Format == at.Format && !to.Compressed && to.Saved == nil && next.file.Pos() == 0 && next.window == nil
}

// carry lets the lines that are open at the end of generation i go on in the
// one that follows. It reports whether that one has to wait, since this one
// carries something itself that is not acknowledged.
func (ch *chain) carry(i int, now time.Time) (wait bool) {
	g := ch.gens[i]
	if g.final || g.window == nil || !g.joiner.Open() || g.file.Pos() < g.state.Size || i+1 == len(ch.gens) || !g.follows(ch.gens[i+1]) {
		return false
	}
	if g.carried != nil {
		return true
	}
	next := ch.gens[i+1]
	ch.places.Lock()
	defer ch.places.Unlock()
	g.state.Size = max(g.state.Size, g.file.Pos()) // reading may see more than the look before it
	g.held = 1 + g.joiner.Safe(g.file.Pos())
	next.carried, next.joiner = g, g.joiner
	next.joiner.Carry()
	g.joiner = runtimelog.NewJoiner(g.c.cfg.LineBytes, g.c.cfg.PartialTimeout, g.c.rules)
	g.final, g.idleSince = true, now
	return false
}

// arrive ends a carrying whose lines are acknowledged.
func (g *generation) arrive() {
	if g.carried == nil || g.joiner.Carrying() {
		return
	}
	from := g.carried
	from.out.Advance(from.state.Size) // there may have been nothing in the pieces
	if !from.consumed() {
		return
	}
	g.ch.places.Lock()
	defer g.ch.places.Unlock()
	g.carried, from.held = nil, 0
	from.ledger.mark(from.state.Size) // its lines are in this one's
	if g.window != nil {
		g.advance()
	}
}

// drop ends a carrying whose lines are lost with this generation.
func (g *generation) drop() {
	if g.carried == nil {
		return
	}
	g.ch.places.Lock()
	defer g.ch.places.Unlock()
	g.carried.out.Advance(g.carried.state.Size)
	g.carried.held, g.carried = 0, nil
}

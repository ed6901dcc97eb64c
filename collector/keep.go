package collector

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coldscope/coldscope/collector/checkpoint"
	"github.com/coldscope/coldscope/collector/discover"
	"github.com/coldscope/coldscope/internal/durable"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

func (c *Collector) runtimeFile() string { return filepath.Join(c.cfg.DataDir, "runtime-state") }

// saveRuntime keeps what was told of the runtimes' containers, for the next
// collector.
func (c *Collector) saveRuntime() {
	state := c.hub.State()
	if bytes.Equal(state, c.runtime) {
		return
	}
	if err := durable.WriteFile(c.runtimeFile(), state, 0o600); err != nil {
		c.sayOnce(&c.saveFailed, "what was told of containers cannot be saved; a restart would tell some again", err)
		return
	}
	c.runtime = state
}

// attached notes that a generation has a name.
func (c *Collector) attached(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attachedN[id]++
}

// detached notes that a generation has its name no more.
func (c *Collector) detached(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attachedN[id]--; c.attachedN[id] <= 0 {
		delete(c.attachedN, id)
	}
}

// isAttached reports whether an open generation has the name.
func (c *Collector) isAttached(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attachedN[id] > 0
}

// forget closes a generation that is deleted, read and acknowledged.
func (c *Collector) forget(ch *chain, g *generation) {
	c.mu.Lock()
	ch.all = slices.DeleteFunc(slices.Clone(ch.all), func(other *generation) bool { return other == g })
	c.mu.Unlock()
	if g.window != nil {
		c.detached(g.id)
		if !ch.hasMate(g) { // its compressed form may outlive it
			c.checkpoint.Delete(g.id)
		}
	}
	if path := g.saved.Load(); path != nil {
		c.unspool(*path)
	}
	if g.givenUp.Load() == nil { // else its inode may be another file's by now
		c.scanner.Forget(g.found)
	}
	g.cancel()
	_ = g.file.Close() // it was only read
}

// removeSegment deletes a segment of the journal whose events are acknowledged.
func (c *Collector) removeSegment(g *generation) {
	if _, err := c.journal.Remove(g.found.Path); err != nil {
		c.log.Error("journal's segment cannot be removed", slog.Any("error", err))
	}
}

// closeFiles closes what is still open when nobody reads any more, but for
// deleted files that are not acknowledged: only their descriptors are left.
func (c *Collector) closeFiles() {
	for _, ch := range c.allChains() {
		for _, g := range ch.generations() {
			if v := g.view.Load(); v.state.Deleted && g.givenUp.Load() == nil && (v.window == nil || v.window.Committed() < v.state.Size) {
				c.leftover = append(c.leftover, g.found)
				continue
			}
			_ = g.file.Close() // it was only read
		}
	}
}

// Leftover gives, after Run, the files that only their open descriptors keep:
// deleted, and not acknowledged. They are for the next Collector of this
// process; who makes none closes them.
func (c *Collector) Leftover() []*discover.Generation { return c.leftover }

// saveLoop keeps the checkpoint, at most twice a second, and looks after deleted files.
func (c *Collector) saveLoop(ctx context.Context) {
	const every, spoolEvery, runtimeEvery = 500 * time.Millisecond, time.Second, 5 * time.Second
	timer := time.NewTimer(every)
	defer timer.Stop()
	var spooled, told time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		begin := time.Now()
		c.update(begin)
		if err := c.checkpoint.Save(); err != nil {
			c.metrics.unsaved.Inc()
			c.sayOnce(&c.saveFailed, "checkpoint cannot be saved; a restart would send again what is stored", err)
		}
		if begin.Sub(spooled) >= spoolEvery {
			spooled = begin
			deleted := c.deleted()
			c.spool(begin, deleted)
			c.unpin(deleted)
		}
		if begin.Sub(told) >= runtimeEvery {
			told = begin
			c.saveRuntime()
		}
		// At most a fiftieth of a core goes into it.
		timer.Reset(max(every, 50*time.Since(begin)))
	}
}

// kept is what of a generation is in the checkpoint: as long as it stays the
// same, as it does for most of a host's files, there is nothing to do.
type kept struct {
	view      *view
	committed int64
	held      int64
}

// keepEvery is how often a file that does not change is noted as seen.
const keepEvery = time.Hour

// update brings checkpoint and gauges up to date.
func (c *Collector) update(now time.Time) {
	var lag, files int64
	var longest time.Duration
	for _, ch := range c.allChains() {
		gens := ch.generations()
		ch.places.Lock()
		for _, g := range gens {
			files++
			v := g.view.Load()
			if v.window == nil {
				lag += v.state.Size
				continue
			}
			committed := v.window.Committed()
			lag += max(0, v.state.Size-committed)
			longest = max(longest, g.behind(v, now))
			if kept := (kept{v, committed, g.held}); kept != g.kept || now.Sub(g.keptAt) > keepEvery {
				g.kept, g.keptAt = kept, now
				c.checkpoint.Set(v.id, g.entry(v, now))
			}
		}
		ch.places.Unlock()
	}
	c.metrics.lag.Set(float64(lag))
	c.metrics.lagSeconds.Set(longest.Seconds())
	c.metrics.files.Set(float64(files))
	c.metrics.journal.Set(float64(c.journal.Size()))
}

// looksAt reports whether path is in a directory that is looked through now.
func (c *Collector) looksAt(path string) bool {
	roots := slices.Concat(c.cfg.CRI, c.cfg.Docker, []string{c.cfg.DataDir})
	for _, f := range c.cfg.Files {
		for _, p := range f.Paths {
			fixed, _, _ := strings.Cut(p, "*")
			roots = append(roots, filepath.Dir(fixed+"x"))
		}
	}
	for _, root := range roots {
		if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) {
			_, err := os.Stat(root)
			return err == nil
		}
	}
	return false
}

// prune forgets files that were gone at the start, and counts what was not
// acknowledged of them.
func (c *Collector) prune(ctx context.Context, now time.Time) {
	const keep = 7 * 24 * time.Hour
	gone := c.checkpoint.Find(func(id uint64, e *checkpoint.Entry) bool {
		return !c.isAttached(id) && (c.looksAt(e.Path) || now.Sub(e.Seen) > keep)
	})
	for id, e := range gone {
		if e.Read > e.Offset {
			err := c.lost(ctx, e.Ref, now, faas.Gap{
				FileID: wire.FormatFileID(id), Offset: e.Offset, Bytes: e.Read - e.Offset, From: e.Lines.To, To: now.UTC(), Reason: faas.GapVanished,
			}, e.Path)
			if err != nil {
				c.log.Error("a vanished file cannot be recorded, trying again after the next start", slog.Any("error", err))
				continue
			}
		}
		c.checkpoint.Delete(id)
	}
}

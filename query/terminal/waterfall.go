package terminal

import (
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/read"
)

// The columns in front of the bars.
const (
	nameColumns     = 14
	durationColumns = 9
	shareColumns    = 7
)

// shareWidth is shareColumns, unless the screen is narrow.
func (s *screen) shareWidth() int {
	if s.narrow() {
		return 0
	}
	return shareColumns
}

func (s *screen) frontWidth() int { return nameColumns + durationColumns + s.shareWidth() + 2 }

func phaseStyle(p faas.Phase) style {
	switch p {
	case faas.PhasePull:
		return blue
	case faas.PhaseUnpack:
		return purple
	case faas.PhaseCreate, faas.PhaseStart:
		return yellow
	case faas.PhaseInit:
		return green
	default:
		return cyan
	}
}

// waterfall draws the start and the handler on one axis, and returns the time
// that is zero on it.
func (s *screen) waterfall(page *read.Page) time.Time {
	v, start := &page.Invocation, page.ColdStart
	a := s.axis(page)
	note := "no start to wait for"
	if start != nil {
		note = "█ waited for  ░ meanwhile  ▓ download  ▒ unpack"
	}
	s.title("Where the time went", note)
	if a.to.After(a.from) {
		s.line(s.paint(dim, right("took", nameColumns+durationColumns)), s.paint(dim, right(shareTitle(start), s.shareWidth())), "  ", s.paint(dim, a.ticks()))
	}
	if start != nil {
		s.start(start, a)
		if v.QueuedAt != nil && start.DemandedAt != nil && v.QueuedAt.Sub(*start.DemandedAt) > time.Millisecond {
			b := a.bar() // it came when the start was under way
			b.mark(*v.QueuedAt, v.StartedAt, soft)
			s.row("waiting", duration(read.Millis(v.StartedAt.Sub(*v.QueuedAt))), "", b.draw(blocks), cyan)
		}
	}
	b, took := a.bar(), "running"
	if v.Status == faas.StatusUnknown {
		took = "unknown"
	}
	end := a.to
	if v.EndedAt != nil {
		end, took = *v.EndedAt, duration(read.Millis(v.EndedAt.Sub(v.StartedAt)))
	}
	if a.to.After(a.from) {
		b.mark(v.StartedAt, end, hard)
	}
	st := bold
	switch v.Status {
	case faas.StatusError, faas.StatusOOM, faas.StatusTimeout:
		st = loud
	default:
	}
	s.row("handler", took, "", b.draw(blocks), st)
	return a.from
}

func shareTitle(start *read.ColdStart) string {
	if start == nil {
		return ""
	}
	return "share"
}

// axis begins with the first thing that happened to the request and ends with
// its end, or as far as its end is known.
func (s *screen) axis(page *read.Page) axis {
	v := &page.Invocation
	a := axis{from: v.StartedAt, to: v.StartedAt, columns: s.width - s.frontWidth()}
	see := func(t *time.Time) {
		switch {
		case t == nil:
		case t.Before(a.from):
			a.from = *t
		case t.After(a.to):
			a.to = *t
		}
	}
	see(v.QueuedAt)
	see(v.EndedAt)
	if c := page.ColdStart; c != nil {
		see(c.DemandedAt)
		see(c.ReadyAt)
		for i := range c.Phases {
			see(&c.Phases[i].Start)
			see(&c.Phases[i].End)
		}
	}
	if v.EndedAt == nil { // a running request: as far as its lines say
		for i := range page.Lines {
			see(&page.Lines[i].Time)
		}
	}
	return a
}

func (s *screen) start(c *read.ColdStart, a axis) {
	drawn := false // the layers, under the first pull or unpack
	for i := range c.Phases {
		p := &c.Phases[i]
		b := a.bar()
		b.mark(p.Start, p.End, soft)
		for n := range c.CriticalPath {
			g := &c.CriticalPath[n]
			if g.Name == string(p.Name) && g.Start.Before(p.End) && g.End.After(p.Start) {
				b.mark(later(g.Start, p.Start), earlier(g.End, p.End), hard)
			}
		}
		st := phaseStyle(p.Name)
		if p.Error != "" {
			st = loud
		}
		s.row(clean(string(p.Name)), duration(p.DurationMS), share(p.CriticalMS, c.TotalMS), b.draw(blocks), st)
		if p.Error != "" {
			s.line("  ", s.paint(red, cut("failed: "+clean(p.Error), s.width-2)))
		}
		if p.Name == faas.PhasePull && !drawn || p.Name == faas.PhaseUnpack && !drawn {
			s.layers(c, a)
			drawn = true
		}
	}
	if !drawn {
		s.layers(c, a)
	}
	b := a.bar()
	for n := range c.CriticalPath {
		if g := &c.CriticalPath[n]; g.Name == read.Other {
			b.mark(g.Start, g.End, hard)
		}
	}
	if c.OtherMS > 0 {
		s.row(read.Other, duration(c.OtherMS), share(c.OtherMS, c.TotalMS), b.draw(blocks), dim)
	}
	if c.ReadyAt == nil {
		text := "not ready yet"
		if c.StoppedAt != nil {
			text = "never became ready: " + clean(c.StopReason)
		}
		s.line("  ", s.paint(loud, cut(text, s.width-2)))
	}
}

// maxLayers bounds the rows of layers; the largest ones are few.
const maxLayers = 12

func (s *screen) layers(c *read.ColdStart, a axis) {
	for i := range c.Layers {
		if i == maxLayers {
			s.line("  ", s.paint(dim, "… "+plural(len(c.Layers)-maxLayers, "more layer")))
			return
		}
		l := &c.Layers[i]
		b := a.bar()
		if l.UnpackStart != nil && l.UnpackEnd != nil {
			b.mark(*l.UnpackStart, *l.UnpackEnd, soft)
		}
		if l.DownloadStart != nil && l.DownloadEnd != nil {
			b.mark(*l.DownloadStart, *l.DownloadEnd, hard)
		}
		s.row("  "+digest(l.Digest), size(l.Bytes), clean(l.Cache), b.draw(shades), dim)
	}
}

func (s *screen) row(name, took, share, bar string, st style) {
	s.line(left(name, nameColumns), right(took, durationColumns), s.paint(dim, right(share, s.shareWidth())), "  ", s.paint(st, bar))
}

func share(part, whole float64) string {
	if whole <= 0 {
		return ""
	}
	return percent(part / whole)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

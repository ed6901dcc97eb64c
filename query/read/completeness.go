package read

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/faas"
)

// Bounds of what is known of an instance's log files on one page.
const (
	maxLedgers = 1000
	maxGaps    = 1000
)

type ledgerRow struct {
	FileID         string    `ch:"file_id"`
	From           time.Time `ch:"from"`
	To             time.Time `ch:"reach"` // of the last line, or when the file was found quiet
	RefusedLines   int64     `ch:"refused_lines"`
	TruncatedLines int64     `ch:"truncated_lines"`
	LateLines      int64     `ch:"late_lines"`
	Complete       bool      `ch:"complete"`
}

type gapRow struct {
	FileID string     `ch:"file_id"`
	Offset int64      `ch:"offset"`
	Host   string     `ch:"host"`
	From   *time.Time `ch:"from"`
	To     time.Time  `ch:"to"`
	Bytes  int64      `ch:"bytes"`
	Reason string     `ch:"reason"`
}

// printed is what a page's lines say of the files that they are from.
type printed struct {
	last      map[string]time.Time // by file of the instance: its last line in the window
	truncated int64                // lines that were cut before they were stored
	more      bool                 // there are lines that the page does not hold
}

// note takes one line in, of the window's instance and time or not.
func (p *printed) note(stored *lineRow, l *Line, here bool, within Range) {
	if l.Stream == faas.Platform {
		return
	}
	if stored.Truncated > 0 {
		p.truncated++
	}
	if !here || l.Time.Before(within.Since) || l.Time.After(within.Until) {
		return
	}
	if p.last == nil {
		p.last = map[string]time.Time{}
	}
	if l.Time.After(p.last[l.FileID]) {
		p.last[l.FileID] = l.Time
	}
}

// accounts is what is known of an instance's log files.
type accounts struct {
	ledgers []ledgerRow
	gaps    []gapRow
}

// accounts has g read what is known of the log files of key's instance.
func (r *Reader) accounts(ctx context.Context, g *errgroup.Group, key args, within Range, to *accounts) {
	key = with(key, args{"window_from": nanos(within.Since), "window_to": nanos(within.Until)})
	g.Go(func() (err error) {
		to.ledgers, err = selectRows[ledgerRow](ctx, r, "ledgers", maxLedgers, with(key, args{"limit": maxLedgers}))
		return err
	})
	g.Go(func() (err error) {
		to.gaps, err = selectRows[gapRow](ctx, r, "gaps", maxGaps, with(key, args{"limit": maxGaps}))
		return err
	})
}

// life is when the instance worked for the request: from its start if the
// request waited for that, until the request's end. Both times are in it, on
// the clock of its lines.
func life(page *Page, start *ColdStart, now time.Time) Range {
	v := &page.Invocation
	within := Range{Since: v.StartedAt, Until: now}
	if c := page.ColdStart; c != nil {
		if v.QueuedAt != nil {
			within.Since = *v.QueuedAt
		}
		if c.DemandedAt != nil && c.DemandedAt.Before(within.Since) {
			within.Since = *c.DemandedAt
		}
	}
	switch {
	case v.EndedAt != nil:
		within.Until = *v.EndedAt
	case start != nil && start.StoppedAt != nil && start.StoppedAt.Before(now):
		within.Until = *start.StoppedAt
	}
	if within.Until.Before(within.Since) {
		within.Until = within.Since
	}
	ahead := start.ahead()
	return Range{Since: within.Since.Add(-ahead), Until: within.Until.Add(-ahead)}
}

// confirm says whether all that was printed within a time is on the page.
//
// It is if each file with lines from that time is accounted for up to its end
// or to a line behind the time, and something shows that nothing else is to
// come: such a later line, or that the newest file has ended. It is not if
// something is known to be lost. Else that is not known, or not known yet: an
// account may come a minute after the lines, and the one that covers a
// request's end only with the next line, or when the file is quiet or ended.
//
// Ledgers that reach the bound maxLedgers may be fewer than there are.
func confirm(within Range, ledgers []ledgerRow, gaps []gapRow, p *printed) Completeness {
	c := Completeness{State: Unknown, Gaps: make([]Gap, 0, len(gaps)), TruncatedLines: p.truncated}
	for i := range gaps {
		g := gaps[i].gap()
		c.Gaps = append(c.Gaps, g)
		c.LostBytes += g.Bytes
	}
	covered := len(ledgers) < maxLedgers
	passed := false // there is a line behind the time
	accounted := make(map[string]bool, len(ledgers))
	var newest *ledgerRow
	var cut int64
	for i := range ledgers {
		l := &ledgers[i]
		if newest == nil || l.To.After(newest.To) {
			newest = l
		}
		passed = passed || l.To.After(within.Until)
		last, seen := p.last[l.FileID]
		if !seen && (l.From.After(within.Until) || l.To.Before(within.Since)) {
			continue
		}
		accounted[l.FileID] = true
		c.RefusedLines += l.RefusedLines
		c.LateLines += l.LateLines
		cut += l.TruncatedLines
		covered = covered && (l.To.After(within.Until) || l.Complete && !l.To.Before(last))
	}
	for file := range p.last {
		covered = covered && accounted[file]
	}
	if p.more {
		c.TruncatedLines = max(c.TruncatedLines, cut) // it may be any of those that are not shown
	}
	switch {
	case len(c.Gaps) > 0 || c.RefusedLines > 0 || c.TruncatedLines > 0:
		c.State = Partial
	case covered && newest != nil && (passed || newest.Complete):
		c.State = Complete
	}
	return c
}

func (r *gapRow) gap() Gap {
	return Gap{
		FileID: r.FileID, Offset: r.Offset, Host: r.Host, From: utc(r.From), To: r.To.UTC(),
		Bytes: r.Bytes, Reason: faas.GapReason(r.Reason),
	}
}

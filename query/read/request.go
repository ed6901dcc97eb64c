package read

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// Bounds of one request's page.
const (
	maxAttempts = 100
	maxLives    = 100
	maxWaiting  = 20
	maxPhases   = 1000
	maxLayers   = 1000
	maxLines    = 5000
	maxBody     = 64 << 10 // bytes of one line
	maxBodies   = 16 << 20 // bytes of all lines
)

// How far around a request its lines are looked for.
const (
	before    = time.Second      // its platform's clock and its container's differ a little
	after     = time.Minute      // it prints on after its answer
	aftermath = time.Second      // of one that failed: what the platform says of it
	longest   = 24 * time.Hour   // of one whose end never came
	preamble  = 15 * time.Minute // of a start whose demand is not known
)

// Request reads the page of the tenant's request, all but its advice and its
// critical path: the newest attempt, the start that it waited for, and the
// lines. Where nobody has told of the request, the page is what its own lines
// say. now ends the window of a request that still runs. The error is
// ErrNotFound if there is no such request.
func (r *Reader) Request(ctx context.Context, tenant string, f RequestFilter, now time.Time) (*Page, error) {
	found, err := r.attempts(ctx, tenant, f, now)
	if err != nil {
		return nil, err
	}
	page := &Page{Invocation: found.newest, Attempts: found.earlier, Advice: []Advice{}}
	v := &page.Invocation
	key := args{"tenant": tenant, "namespace": v.Namespace, "function": v.Function, "instance": v.Instance, "instances": []string{v.Instance}, "limit": maxLives}
	lives, err := selectRows[startRow](ctx, r, "start", maxLives, key)
	if err != nil {
		return nil, err
	}
	start := startAt(lives, nil, nil, v.StartedAt)
	until := found.until
	if v.Status == faas.StatusUnknown { // its times are those of lines
		v.StartedAt, until = v.StartedAt.Add(start.ahead()), until.Add(start.ahead())
		v.LastLineAt = new(until.UTC())
		start = startAt(lives, nil, nil, v.StartedAt)
	}
	if start != nil {
		v.Host = cmp.Or(start.Host, v.Host)
		v.Cold = v.Cold || found.coldUnknown && start.RequestID == v.RequestID // the fact that says so may be on its way
		if v.Cold {
			page.ColdStart = start
		}
	}
	if err := r.fill(ctx, key, page, lives, start, until, now); err != nil {
		return nil, err
	}
	return page, nil
}

// fill reads what the page's parts are made of, all at once: that is all known
// by now. key names the instance.
func (r *Reader) fill(ctx context.Context, key args, page *Page, lives []startRow, start *ColdStart, until, now time.Time) error {
	within := life(page, start, until)
	var p *printed
	var known accounts
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { p, err = r.lines(ctx, key, page, start, until); return err })
	r.accounts(ctx, g, key, within, &known)
	g.Go(func() error { return r.beside(ctx, key, page) })
	var detail struct {
		waiting *Waiting
		phases  []phaseRow
		layers  []layerRow
	}
	if page.ColdStart != nil {
		g.Go(func() (err error) { detail.waiting, err = r.waiting(ctx, key, start, now); return err })
		g.Go(func() (err error) {
			detail.phases, err = selectRows[phaseRow](ctx, r, "start_phases", maxPhases, with(key, args{"rows": maxPhases}))
			return err
		})
		g.Go(func() (err error) {
			detail.layers, err = selectRows[layerRow](ctx, r, "start_layers", maxLayers, with(key, args{"rows": maxLayers}))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if page.ColdStart != nil {
		page.ColdStart = startAt(lives, detail.phases, detail.layers, page.Invocation.StartedAt)
		page.ColdStart.Waiting = detail.waiting
	}
	page.Completeness = confirm(within, known.ledgers, known.gaps, p)
	if page.Invocation.Status == faas.StatusUnknown && page.Completeness.State == Complete {
		page.Completeness.State = Unknown // nobody knows when it ended
	}
	return nil
}

// Bounds of what a page shows of an instance's other requests.
const (
	maxBeside = 5 // before it, and after it
	nearby    = time.Hour
)

// beside reads what else the request's instance handled around it.
func (r *Reader) beside(ctx context.Context, key args, page *Page) error {
	v := &page.Invocation
	page.Neighbours = []Invocation{}
	if v.Instance == "" || v.Status == faas.StatusUnknown {
		return nil
	}
	rows, err := selectRows[invocationRow](ctx, r, "beside", 2*maxBeside, with(key, args{
		"request": v.RequestID, "at": nanos(v.StartedAt), "since": nanos(v.StartedAt.Add(-nearby)), "until": nanos(v.StartedAt.Add(nearby)), "side": maxBeside,
	}))
	if err != nil {
		return err
	}
	for i := range rows {
		page.Neighbours = append(page.Neighbours, rows[i].invocation())
	}
	slices.SortFunc(page.Neighbours, func(a, b Invocation) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.RequestID, b.RequestID))
	})
	return nil
}

// startAt is the one of an instance's lives that had begun at t, with its
// phases and layers; nil if there are none.
func startAt(lives []startRow, phases []phaseRow, layers []layerRow, t time.Time) *ColdStart {
	all := assemble(lives, phases, layers)
	starts := make([]*ColdStart, len(all))
	for i := range all {
		starts[i] = &all[i]
	}
	return lifeAt(starts, t)
}

// waiting reads who waited behind the start.
func (r *Reader) waiting(ctx context.Context, key args, s *ColdStart, now time.Time) (*Waiting, error) {
	until := now
	if s.ReadyAt != nil {
		until = s.ReadyAt.Add(preamble)
	}
	if s.StoppedAt != nil && s.StoppedAt.Before(until) {
		until = *s.StoppedAt
	}
	rows, err := selectWhere[struct {
		Total uint64   `ch:"total"`
		First []string `ch:"first"`
	}](ctx, r, "waiting", maxWaiting, 1, with(key, args{"request": s.RequestID, "since": nanos(s.begin()), "until": nanos(until)}))
	if err != nil {
		return nil, err
	}
	return &Waiting{Count: rows[0].Total, RequestIDs: rows[0].First}, nil // an aggregate without keys has one row
}

type lineRow struct {
	Time        time.Time `ch:"ts"`
	Stream      string    `ch:"stream"`
	RequestID   string    `ch:"request_id"`
	Attribution string    `ch:"attribution"`
	Candidates  []string  `ch:"candidates"`
	Text        string    `ch:"text"` // packed, as far as it is read
	Size        uint64    `ch:"size"` // of all of it
	Truncated   uint64    `ch:"truncated"`
	Instance    string    `ch:"instance"`
	FileID      uint64    `ch:"file_id"`
	Offset      uint64    `ch:"offset"`
}

// lines reads the page's lines, as far as there is room for them.
func (r *Reader) lines(ctx context.Context, key args, page *Page, start *ColdStart, now time.Time) (*printed, error) {
	v := &page.Invocation
	from, to := window(v, start, now)
	ahead := start.ahead()
	ownFrom, elsewhere := otherAttempts(page)
	cold := page.ColdStart != nil
	rangeFrom := from
	if cold {
		if d := page.ColdStart.DemandedAt; d == nil {
			rangeFrom = from.Add(-preamble)
		} else if d.Before(from) {
			rangeFrom = *d
		}
	}
	sql, err := query("lines", struct{ Instance, Elsewhere, Again, Cold bool }{v.Instance != "", len(elsewhere) > 0, !ownFrom.IsZero(), cold})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx) // ends the query when the page is full
	defer cancel()
	rows, err := r.conn.Query(r.limits.Context(ctx, maxLines+1), sql, named(with(key, args{
		"request":    v.RequestID,
		"range_from": nanos(rangeFrom.Add(-before - ahead)), "range_to": nanos(to.Add(after - ahead)),
		"window_from": nanos(from.Add(-ahead)), "window_to": nanos(to.Add(-ahead)),
		"own_from": nanos(ownFrom.Add(-ahead)), "elsewhere": strings.Join(elsewhere, "\n"),
		"max_body": maxBody, "limit": maxLines + 1,
	}))...)
	if err != nil {
		return nil, fmt.Errorf("query lines: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err has said what went wrong
	page.Lines = []Line{}
	p, within := &printed{}, life(page, start, now)
	for bodies := 0; rows.Next(); {
		var l lineRow
		if err := rows.ScanStruct(&l); err != nil {
			return nil, fmt.Errorf("query lines: %w", err)
		}
		if bodies += len(l.Text); len(page.Lines) == maxLines || bodies > maxBodies {
			page.LinesTruncated, p.more = true, true
			return p, nil
		}
		line := l.line()
		p.note(&l, &line, l.Instance == v.Instance, within)
		page.Lines = append(page.Lines, line)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("query lines: %w", err)
	}
	return p, nil
}

// otherAttempts says what of the request's lines are those of earlier attempts:
// those from before the time, if one of them was on the same instance, and
// those of the other instances.
func otherAttempts(page *Page) (ownFrom time.Time, elsewhere []string) {
	v := &page.Invocation
	for i := range page.Attempts {
		switch a := &page.Attempts[i]; {
		case a.Instance != v.Instance:
			elsewhere = append(elsewhere, a.Instance)
		case a.StartedAt.Before(v.StartedAt) && (a.EndedAt == nil || !a.EndedAt.After(v.StartedAt)):
			ownFrom = v.StartedAt
		}
	}
	return ownFrom, elsewhere
}

// window is when the request was the platform's or its instance's business.
func window(v *Invocation, start *ColdStart, now time.Time) (from, to time.Time) {
	from = v.StartedAt
	if v.QueuedAt != nil && v.QueuedAt.Before(from) {
		from = *v.QueuedAt
	}
	switch {
	case v.EndedAt != nil && v.Status == faas.StatusOK:
		return from, *v.EndedAt
	case v.EndedAt != nil:
		return from, v.EndedAt.Add(aftermath)
	}
	if to = v.StartedAt.Add(longest); now.Before(to) {
		to = now
	}
	if start != nil && start.StoppedAt != nil && start.StoppedAt.Before(to) {
		to = start.StoppedAt.Add(aftermath)
	}
	return from, to
}

func (l *lineRow) line() Line {
	body := schema.Unpack(l.Text, l.RequestID)
	size := l.Size + uint64(len(body)-len(l.Text))
	if l.Size > uint64(len(l.Text)) {
		body = strings.ToValidUTF8(body[:min(len(body), maxBody)], "") // the cut may have split a character
	}
	return Line{
		Time: l.Time.UTC(), Stream: faas.Stream(l.Stream), Body: body,
		Attribution: faas.Attribution(l.Attribution), RequestID: l.RequestID, Candidates: l.Candidates,
		Truncated: l.Truncated + size - uint64(len(body)), FileID: fmt.Sprintf("%016x", l.FileID), Offset: l.Offset,
	}
}

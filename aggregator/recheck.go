package aggregator

import (
	"context"
	"time"

	"github.com/coldscope/coldscope/aggregator/correlate"
	"github.com/coldscope/coldscope/aggregator/recall"
	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// owed is what is to be looked at again in the store: lines that facts changed
// when their text was forgotten. It is paid for all instances together, since one
// reading costs about as much as many; who brought the facts is answered then.
type owed struct {
	spans map[correlate.Key][]correlate.Span
	to    []*submission
	since time.Time // of the oldest
}

// What is owed waits for more to be read with it: for payAfter, or for so long
// that reading takes a payShare-th of the time at most; not longer than payBefore.
const (
	payAfter  = 200 * time.Millisecond
	payShare  = 5
	payBefore = 3 * time.Second
)

// add owes spans for s, which is nil if nobody waits for that.
func (o *owed) add(spans []correlate.Span, s *submission) {
	if len(spans) == 0 {
		return
	}
	if len(o.spans) == 0 {
		o.spans, o.since = map[correlate.Key][]correlate.Span{}, time.Now()
	}
	for _, span := range spans {
		o.spans[span.Key] = correlate.Join(o.spans[span.Key], span)
	}
	if s != nil {
		s.owed++
		o.to = append(o.to, s)
	}
}

// due reports whether it is time to pay, if paying took so long the last time.
func (o *owed) due(took time.Duration) bool {
	return len(o.spans) > 0 && time.Since(o.since) >= min(max(payAfter, (payShare-1)*took), payBefore)
}

// pay corrects lines that the correlator has forgotten. They are read as the
// store has them: what is on its way there is waited for.
func (m *merger) pay(ctx context.Context) {
	debt, started := m.owed, time.Now()
	m.owed = owed{}
	err := m.recheck(ctx, debt.spans)
	m.paying = time.Since(started)
	m.metrics.recheckSeconds.Observe(m.paying.Seconds())
	for _, s := range debt.to {
		if err != nil {
			m.finish(s, err)
		}
		if s.owed--; s.stored && s.owed == 0 && m.outstanding[s] {
			m.gathering.waiting = append(m.gathering.waiting, s) // with the corrections
		}
	}
}

func (m *merger) recheck(ctx context.Context, overdue map[correlate.Key][]correlate.Span) error {
	if len(overdue) == 0 {
		return nil
	}
	if err := m.flush(ctx); err != nil {
		return err
	}
	oldest := time.Now().Add(-m.cfg.Recall)
	missing := map[faas.Ref]bool{}
	var spans []recall.Span
	for k, list := range overdue {
		ref := faas.Ref{Tenant: k.Tenant, Namespace: k.Namespace, Function: k.Function, Instance: k.Instance}
		for _, o := range list {
			if o.From.Before(oldest) {
				o.From = oldest
			}
			if o.To.Before(o.From) {
				continue
			}
			spans = append(spans, recall.Span{Ref: ref, From: o.From, To: o.To})
			if !m.correlator.Known(k, o.From) { // it did not fit the memory, as a whole or as of then
				missing[ref] = true
			}
		}
	}
	m.metrics.rechecked.Add(float64(len(spans)))
	if err := m.restore(ctx, missing); err != nil {
		return err
	}
	for limit := recheckLines; len(spans) > 0; {
		found, err := retrying(ctx, m, func() (map[faas.Ref]*recall.Found, error) {
			return recall.Lines(ctx, m.conn, spans, limit)
		})
		if err != nil {
			return err
		}
		for ref, f := range found {
			m.name(f.Lines)
			m.metrics.recheckedLines.Add(float64(len(f.Lines)))
			m.correlator.Recheck(correlate.KeyOf(ref), f.Lines)
		}
		m.gather()
		var stuck bool
		if spans, stuck = rest(spans, found); stuck {
			limit *= 2
		}
	}
	return nil
}

// rest is what of spans is to be read yet. It is stuck if all that was found of
// an instance is of one time, and there may be more of that.
func rest(spans []recall.Span, found map[faas.Ref]*recall.Found) (more []recall.Span, stuck bool) {
	moved := map[faas.Ref]bool{}
	more = spans[:0]
	for _, span := range spans {
		f := found[span.Ref]
		if f == nil || f.Rest.Before(span.From) { // zero, if there is nothing more
			moved[span.Ref] = true
			continue
		}
		if f.Rest.Before(span.To) {
			moved[span.Ref] = true
			span.To = f.Rest
		}
		more = append(more, span)
	}
	for n := range more {
		stuck = stuck || !moved[more[n].Ref]
	}
	return more, stuck
}

// recheckLines is how many lines of an instance are read at a time.
const recheckLines = 1000

// recall reads back what the store knows of the instances that the
// correlator does not remember, and says how many those were.
func (m *merger) recall(ctx context.Context, all []*submission) (int, error) {
	missing := map[faas.Ref]bool{}
	note := func(r faas.Ref, at time.Time) {
		r.Version = ""
		if !m.correlator.Known(correlate.KeyOf(r), at) {
			missing[r] = true
		}
	}
	for _, s := range all {
		for i := range s.Events {
			if !correlate.Apart(&s.Events[i]) {
				note(s.Events[i].Ref, s.Events[i].Time)
			}
		}
		for i := range s.Lines {
			note(s.Lines[i].Ref, s.Lines[i].Time)
		}
	}
	return len(missing), m.restore(ctx, missing)
}

// restore tells the correlator what the store knows of instances, which have no
// version here.
func (m *merger) restore(ctx context.Context, missing map[faas.Ref]bool) error {
	if len(missing) == 0 {
		return nil
	}
	refs := make([]faas.Ref, 0, len(missing))
	for r := range missing {
		refs = append(refs, r)
		m.correlator.Forget(correlate.KeyOf(r)) // it may be known as of later
	}
	if m.gather(); m.forgot {
		if err := m.flush(ctx); err != nil {
			return err
		}
	}
	started := time.Now()
	found, err := m.read(ctx, refs, recall.Limits{
		Since: started.Add(-m.cfg.Recall), Invocations: correlate.MaxInvocations,
	})
	if err != nil {
		return err
	}
	now := time.Now()
	m.metrics.recallSeconds.Observe(now.Sub(started).Seconds())
	absent := 0
	for _, r := range refs {
		memory := found[r]
		if memory == nil {
			memory = &recall.Memory{}
			absent++
		}
		m.correlator.Restore(correlate.KeyOf(r), stored(memory), now)
	}
	m.metrics.recalled.WithLabelValues("true").Add(float64(len(refs) - absent))
	m.metrics.recalled.WithLabelValues("false").Add(float64(absent))
	return nil
}

func stored(m *recall.Memory) correlate.Stored {
	return correlate.Stored{Starts: m.Starts, Invocations: m.Invocations, Lines: m.Newest, Revision: m.Revision}
}

func (m *merger) read(ctx context.Context, refs []faas.Ref, limits recall.Limits) (map[faas.Ref]*recall.Memory, error) {
	found, err := retrying(ctx, m, func() (map[faas.Ref]*recall.Memory, error) { return recall.Read(ctx, m.conn, refs, limits) })
	for _, memory := range found {
		m.name(memory.Lines)
	}
	return found, err
}

// name finds again which requests stored lines name.
func (m *merger) name(rows []schema.LogRow) {
	for n := range rows {
		rows[n].Named = m.lines.IDs(rows[n].Body)
	}
}

// retrying reads again while the engine is away, until ctx ends.
func retrying[T any](ctx context.Context, m *merger, read func() (T, error)) (T, error) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		found, err := read()
		if err == nil || ctx.Err() != nil || !clickhouse.Retryable(err) {
			return found, err
		}
		m.logger.WarnContext(ctx, "the engine did not answer, trying again", "wait", wait, "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

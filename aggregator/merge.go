package aggregator

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/coldscope/coldscope/aggregator/correlate"
	"github.com/coldscope/coldscope/aggregator/insert"
	"github.com/coldscope/coldscope/aggregator/recall"
	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// batch is what is written together, and who waits for it.
type batch struct {
	insert.Batch
	waiting []*submission
}

// merger is the state of Run's loop. One goroutine owns it.
type merger struct {
	*Aggregator
	correlator  *correlate.Correlator
	outstanding map[*submission]bool // taken in, not answered yet

	gathering batch     // settled, not handed to the writer yet
	forgot    bool      // what was forgotten may not be in the store yet
	lastWrite time.Time // when the writer got its last batch
	writing   bool
	toWriter  chan *batch
	written   chan writeResult

	owed  owed
	looks looks
}

type writeResult struct {
	*batch
	err error
}

// Run merges and writes until ctx ends, then stores what it has taken in, for
// at most Config.Drain.
func (a *Aggregator) Run(ctx context.Context) error {
	m := &merger{
		Aggregator:  a,
		correlator:  correlate.New(a.cfg.Correlate),
		outstanding: map[*submission]bool{},
		toWriter:    make(chan *batch),
		written:     make(chan writeResult),
		looks:       newLooks(),
	}
	writeCtx, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { m.write(writeCtx) })
	helpers.Go(func() { m.look(ctx) })
	defer func() {
		stopWriting()
		close(m.toWriter)
		helpers.Wait()
	}()

	var upkeep sync.WaitGroup
	upkeep.Go(func() { a.roller.Run(ctx) })
	upkeep.Go(func() { a.janitor.Run(ctx) })
	defer upkeep.Wait()

	m.loop(ctx)
	close(a.stopped)

	drain, cancel := context.WithTimeoutCause(writeCtx, a.cfg.Drain, errStopping)
	defer cancel()
	m.drain(drain)
	for s := range m.outstanding {
		s.done <- errStopping
	}
	return nil
}

func (m *merger) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		submissions := m.submissions
		if m.gathering.Rows() >= m.cfg.BatchRows {
			submissions = nil // full: the senders wait
		}
		var due <-chan time.Time
		if wait, any := m.nextStep(); any {
			timer.Reset(wait)
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return
		case s := <-submissions:
			m.take(ctx, m.with(s))
		case r := <-m.written:
			m.answer(r)
		case r := <-m.looks.results:
			m.looked(r, time.Now())
		case <-due:
			m.correlator.Advance(time.Now())
			m.gather()
		}
		if m.owed.due() {
			m.pay(ctx)
		}
		m.orderLook(time.Now())
		m.hand(m.cfg.Commit)
	}
}

// nextStep is when time alone makes something happen: a held line is due, or
// a batch is old enough.
func (m *merger) nextStep() (time.Duration, bool) {
	const tick = 50 * time.Millisecond
	switch {
	case m.correlator.Held() > 0, len(m.owed.to) > 0:
		return tick, true
	case m.gathering.pending() && !m.writing:
		return max(m.cfg.Commit-time.Since(m.lastWrite), 0), true
	case len(m.looks.all) > 0 && !m.looks.running:
		return lookTick, true
	}
	return 0, false
}

func (b *batch) pending() bool { return b.Rows() > 0 || len(b.waiting) > 0 }

// with gives s and others that wait already, as many as fit a batch: what is not
// known of their instances is read in one go.
func (m *merger) with(s *submission) []*submission {
	all := []*submission{s}
	for rows := len(s.Lines); rows < m.cfg.BatchRows; {
		select {
		case s := <-m.submissions:
			all = append(all, s)
			rows += len(s.Lines)
			continue
		default:
		}
		break
	}
	// In the order of time: what comes late has to be looked for in the store.
	slices.SortStableFunc(all, func(a, b *submission) int { return a.oldest.Compare(b.oldest) })
	return all
}

// take merges submissions.
func (m *merger) take(ctx context.Context, all []*submission) {
	for _, s := range all {
		m.outstanding[s] = true
	}
	started := time.Now()
	recalled, err := m.recall(ctx, all)
	if recalled > 0 {
		m.trace(all, "aggregator.recall", started, err, attribute.Int("instances", recalled))
	}
	for _, s := range all {
		switch {
		case err != nil:
			m.finish(s, err)
		case m.outstanding[s]: // else a batch before it could not be written
			m.merge(s)
		}
	}
}

func (m *merger) merge(s *submission) {
	now := time.Now()
	lines := len(s.Lines)
	// Events first: they are what the lines beside them wait for.
	for i := range s.Events {
		m.correlator.Event(&s.Events[i], now)
		if !correlate.Apart(&s.Events[i]) {
			m.touch(s.Events[i].Ref, s.Events[i].Time, now)
		}
		m.metrics.events.WithLabelValues(string(s.Events[i].Type())).Inc()
	}
	for i := range s.Lines {
		m.correlator.Line(&s.Lines[i], s, now)
		m.touch(s.Lines[i].Ref, s.Lines[i].Time, now)
	}
	s.Lines, s.Events = nil, nil
	m.owed.add(m.gather(), s)
	if s.span.IsRecording() {
		m.trace([]*submission{s}, "aggregator.merge", now, nil, attribute.Int("lines", lines), attribute.Int("held", s.left-1))
	}
	m.settled(s)
}

// owed is what is to be looked at again in the store: lines that facts came for
// when they were forgotten. It is paid for all instances together, since one
// reading costs about as much as many; who brought the facts is answered then.
type owed struct {
	spans map[correlate.Key]correlate.Span
	to    []*submission
	since time.Time // of the oldest
}

// payAfter is how long more may come to be read with the first.
const payAfter = 200 * time.Millisecond

func (o *owed) add(spans []correlate.Span, s *submission) {
	if len(spans) == 0 {
		return
	}
	if len(o.to) == 0 {
		o.spans, o.since = map[correlate.Key]correlate.Span{}, time.Now()
	}
	for _, span := range spans {
		if old, there := o.spans[span.Key]; there {
			span.From = earlier(span.From, old.From)
			if old.To.After(span.To) {
				span.To = old.To
			}
		}
		o.spans[span.Key] = span
	}
	s.left++
	o.to = append(o.to, s)
}

func (o *owed) due() bool { return len(o.to) > 0 && time.Since(o.since) >= payAfter }

// pay corrects lines that the correlator has forgotten. They are read as the
// store has them: what is on its way there is waited for.
func (m *merger) pay(ctx context.Context) {
	debt := m.owed
	m.owed = owed{}
	err := m.recheck(ctx, debt.spans)
	for _, s := range debt.to {
		if err != nil {
			m.finish(s, err)
		}
		m.settled(s)
	}
}

func (m *merger) recheck(ctx context.Context, overdue map[correlate.Key]correlate.Span) error {
	if len(overdue) == 0 {
		return nil
	}
	if err := m.flush(ctx); err != nil {
		return err
	}
	oldest := time.Now().Add(-m.cfg.Recall)
	missing := map[faas.Ref]bool{}
	spans := make([]recall.Span, 0, len(overdue))
	for _, o := range overdue {
		span := recall.Span{
			Ref:  faas.Ref{Tenant: o.Tenant, Namespace: o.Namespace, Function: o.Function, Instance: o.Instance},
			From: o.From, To: o.To,
		}
		if span.From.Before(oldest) {
			span.From = oldest
		}
		spans = append(spans, span)
		if !m.correlator.Known(o.Key, o.To) { // it did not fit the memory
			missing[span.Ref] = true
		}
	}
	if err := m.restore(ctx, missing); err != nil {
		return err
	}
	for len(spans) > 0 {
		found, err := retrying(ctx, m, func() (map[faas.Ref]*recall.Found, error) {
			return recall.Lines(ctx, m.conn, spans, recheckLines)
		})
		if err != nil {
			return err
		}
		more := spans[:0]
		for _, span := range spans {
			f := found[span.Ref]
			if f == nil {
				continue
			}
			m.name(f.Lines)
			m.correlator.Recheck(correlate.KeyOf(span.Ref), f.Lines)
			if !f.Rest.IsZero() {
				span.To = earlier(span.To, f.Rest)
				more = append(more, span)
			}
		}
		m.gather()
		spans = more
	}
	return nil
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

// flush writes all that was gathered, and waits for it. Only what has been
// forgotten and comes again at once needs that.
func (m *merger) flush(ctx context.Context) error {
	for m.hand(0); m.writing; m.hand(0) {
		select {
		case r := <-m.written:
			m.answer(r)
		case <-ctx.Done():
			return fmt.Errorf("waiting for the store before a recall: %w", ctx.Err())
		}
	}
	m.forgot = false
	return nil
}

// gather moves what is settled into the batch that is being gathered, and gives
// what is to be rechecked.
func (m *merger) gather() []correlate.Span {
	out := m.correlator.Take()
	b := &m.gathering
	if b.Logs == nil {
		b.Logs = out.Logs
	} else {
		b.Logs = append(b.Logs, out.Logs...)
	}
	b.Invocations = append(b.Invocations, out.Invocations...)
	b.ColdStarts = append(b.ColdStarts, out.ColdStarts...)
	b.Phases = append(b.Phases, out.Phases...)
	b.Layers = append(b.Layers, out.Layers...)
	b.Ledgers = append(b.Ledgers, out.Ledgers...)
	b.Gaps = append(b.Gaps, out.Gaps...)
	m.forgot = m.forgot || out.Forgotten > 0
	m.metrics.observe(&out)
	for _, t := range out.Released {
		m.settled(t.(*submission)) // all our tickets are submissions
	}
	return out.Overdue
}

// settled counts down what a submission waits for. When nothing is left, the
// batch that is being gathered holds the last of it.
func (m *merger) settled(s *submission) {
	if s.left--; s.left == 0 && m.outstanding[s] {
		m.gathering.waiting = append(m.gathering.waiting, s)
	}
}

// hand gives the gathered batch to the writer if that is idle and the last
// write is at least interval ago or the batch is full.
func (m *merger) hand(interval time.Duration) {
	if m.writing || !m.gathering.pending() ||
		time.Since(m.lastWrite) < interval && m.gathering.Rows() < m.cfg.BatchRows {
		return
	}
	b := m.gathering
	m.gathering = batch{}
	m.writing, m.lastWrite = true, time.Now()
	m.toWriter <- &b
}

func (m *merger) write(ctx context.Context) {
	for b := range m.toWriter {
		started := time.Now()
		err := m.writer.Write(ctx, &b.Batch)
		if err == nil {
			m.metrics.wrote(b, time.Since(started))
		}
		m.trace(b.waiting, "aggregator.insert", started, err, attribute.Int("rows", b.Rows()), attribute.Int("pushes", len(b.waiting)))
		select {
		case m.written <- writeResult{b, err}:
		case <-ctx.Done():
			return
		}
	}
}

// answer tells who waited for a batch how it went. After a failure all that
// the correlator believes to be stored is in doubt: it forgets everything, the
// senders send again, and the store says what is there.
func (m *merger) answer(r writeResult) {
	m.writing = false
	for _, s := range r.waiting {
		m.finish(s, r.err)
	}
	if r.err == nil {
		return
	}
	m.metrics.insertFailures.Inc()
	m.logger.Error("a batch could not be written; its senders will send it again", "rows", r.Rows(), "error", r.err)
	m.correlator = correlate.New(m.cfg.Correlate)
	m.gathering, m.owed = batch{}, owed{}
	for s := range m.outstanding {
		m.finish(s, fmt.Errorf("an earlier batch could not be written: %w", r.err))
	}
}

func (m *merger) finish(s *submission, err error) {
	if m.outstanding[s] {
		delete(m.outstanding, s)
		s.done <- err
	}
}

// drain settles what is held and writes until nothing is left or ctx ends.
func (m *merger) drain(ctx context.Context) {
	m.correlator.Advance(time.Now().Add(m.cfg.Correlate.Hold))
	m.gather()
	m.pay(ctx)
	for m.hand(0); m.writing; m.hand(0) {
		select {
		case r := <-m.written:
			m.answer(r)
		case <-ctx.Done():
			m.logger.Warn("stopped before all was stored; the senders keep what is missing",
				"rows", m.gathering.Rows(), "submissions", len(m.outstanding), "error", context.Cause(ctx))
			return
		}
	}
}

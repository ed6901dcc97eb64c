package eval

import (
	"context"
	"io"
	"slices"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/pipeline"
)

// Span is the time from Start on and before End, in nanoseconds since 1970.
type Span struct{ Start, End int64 }

// Request says which lines are wanted.
type Request struct {
	Log      *logql.LogExpr
	Span     Span
	Backward bool // the latest first
	// Limit is how many lines are wanted that pass all stages, 0 for all. It is
	// a hint: a source may give more.
	Limit int
}

// Source is where lines come from: the store, or memory.
type Source interface {
	// Scan opens a reader of lines. The caller closes it.
	Scan(ctx context.Context, r Request) (Scan, error)
}

// Computer is a Source that can compute some expressions itself, as the store
// can by SQL.
type Computer interface {
	Source
	// Compute gives the series of e at each of the steps where it has a value,
	// or false if e has to be evaluated from its parts. Within a series points
	// are in order of time.
	Compute(ctx context.Context, e logql.MetricExpr, s Steps) (Matrix, bool, error)
}

// Scan is lines being read, and what is still to be done with them.
type Scan struct {
	Lines Lines
	// Rest are the stages of the request that the source has not done: all of
	// them, or what is left of them behind those that it did.
	Rest []logql.Stage
}

// Lines reads lines in order of time, those of all streams together. It is for
// one goroutine.
type Lines interface {
	// Next gives the next lines, at least one, or io.EOF behind the last ones.
	// They are the reader's until the next call; what their texts and sets point
	// at stays valid. Equal sets should be one pointer.
	Next(ctx context.Context) ([]pipeline.Line, error)
	Close() error
}

// Memory is a source of lines that it holds.
type Memory struct{ lines []pipeline.Line }

// NewMemory returns a source of those lines, which it puts in order.
func NewMemory(lines []pipeline.Line) *Memory {
	slices.SortStableFunc(lines, func(a, b pipeline.Line) int { return compareInt(a.Time, b.Time) })
	return &Memory{lines}
}

func compareInt(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Scan does no stage.
func (m *Memory) Scan(_ context.Context, r Request) (Scan, error) {
	from, _ := slices.BinarySearchFunc(m.lines, r.Span.Start, func(l pipeline.Line, t int64) int { return compareInt(l.Time, t) })
	to, _ := slices.BinarySearchFunc(m.lines, r.Span.End, func(l pipeline.Line, t int64) int { return compareInt(l.Time, t) })
	return Scan{&memoryLines{lines: m.lines[from:max(from, to)], r: r, matches: map[*labels.Set]bool{}}, r.Log.Pipeline}, nil
}

// memoryBatch is how many lines are given at once.
const memoryBatch = 1024

type memoryLines struct {
	lines   []pipeline.Line
	r       Request
	matches map[*labels.Set]bool // by stream
	batch   []pipeline.Line
}

func (m *memoryLines) Next(ctx context.Context) ([]pipeline.Line, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.batch = m.batch[:0]
	for len(m.lines) > 0 && len(m.batch) < memoryBatch {
		var l pipeline.Line
		if n := len(m.lines) - 1; m.r.Backward {
			l, m.lines = m.lines[n], m.lines[:n]
		} else {
			l, m.lines = m.lines[0], m.lines[1:]
		}
		if m.match(l.Stream) {
			m.batch = append(m.batch, l)
		}
	}
	if len(m.batch) == 0 {
		return nil, io.EOF
	}
	return m.batch, nil
}

func (m *memoryLines) match(s *labels.Set) bool {
	ok, known := m.matches[s]
	if !known {
		ok = !slices.ContainsFunc(m.r.Log.Matchers, func(x *logql.Matcher) bool {
			return s == nil && !x.Matches("") || s != nil && !x.Matches(s.Get(x.Name))
		})
		m.matches[s] = ok
	}
	return ok
}

func (m *memoryLines) Close() error { return nil }

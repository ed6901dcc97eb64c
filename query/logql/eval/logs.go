package eval

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/pipeline"
)

// LogQuery says which lines of an expression are wanted.
type LogQuery struct {
	Span     Span
	Backward bool // the latest first
	Limit    int  // of all streams together, 0: none
	// Interval is the least time between two lines that are given, in nanoseconds:
	// lines nearer to the one before are left out. 0: none are.
	Interval int64
}

// asked is how many lines the source has to give, 0: all.
func (q *LogQuery) asked() int {
	if q.Interval > 0 {
		return 0 // how many are left out is not known
	}
	return q.Limit
}

// LogEntry is a line that passed all stages.
type LogEntry struct {
	Time int64 // nanoseconds since 1970
	pipeline.Entry
}

// maxSets is how many sets of labels are kept to be found again while lines are
// read: they are mostly those of single lines.
const maxSets = 1 << 16

// Logs gives the lines of e to yield one after another, until it returns an
// error, which Logs returns, too.
func (v *Evaluator) Logs(ctx context.Context, e *logql.LogExpr, q LogQuery, yield func(LogEntry) error) error {
	scan, err := v.source.Scan(ctx, Request{Log: e, Span: q.Span, Backward: q.Backward, Limit: q.asked()})
	if err != nil {
		return fmt.Errorf("open lines of %s: %w", e, err)
	}
	table := labels.NewTable()
	p, err := pipeline.New(scan.Rest, table)
	if err != nil {
		return errors.Join(err, scan.Lines.Close())
	}
	return errors.Join(logs(ctx, scan.Lines, p, table, q, yield), scan.Lines.Close())
}

func logs(ctx context.Context, lines Lines, p *pipeline.Pipeline, table *labels.Table, q LogQuery, yield func(LogEntry) error) error {
	var last int64
	for n := 0; q.Limit == 0 || n < q.Limit; {
		batch, err := lines.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read lines: %w", err)
		}
		for _, l := range batch {
			entry, kept := p.Process(l)
			if !kept || n > 0 && q.Interval > 0 && max(l.Time-last, last-l.Time) < q.Interval {
				continue
			}
			last = l.Time
			if err := yield(LogEntry{l.Time, entry}); err != nil {
				return err
			}
			if n++; n == q.Limit {
				return nil
			}
		}
		if table.Len() > maxSets {
			table.Forget()
		}
	}
	return nil
}

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
	scan, err := v.source.Scan(ctx, Request{Log: e, Span: q.Span, Backward: q.Backward, Limit: q.Limit})
	if err != nil {
		return fmt.Errorf("open lines of %s: %w", e, err)
	}
	table := labels.NewTable()
	p, err := pipeline.New(scan.Rest, table)
	if err != nil {
		return errors.Join(err, scan.Lines.Close())
	}
	return errors.Join(logs(ctx, scan.Lines, p, table, q.Limit, yield), scan.Lines.Close())
}

func logs(ctx context.Context, lines Lines, p *pipeline.Pipeline, table *labels.Table, limit int, yield func(LogEntry) error) error {
	for n := 0; limit == 0 || n < limit; {
		batch, err := lines.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read lines: %w", err)
		}
		for _, l := range batch {
			entry, kept := p.Process(l)
			if !kept {
				continue
			}
			if err := yield(LogEntry{l.Time, entry}); err != nil {
				return err
			}
			if n++; n == limit {
				return nil
			}
		}
		if table.Len() > maxSets {
			table.Forget()
		}
	}
	return nil
}

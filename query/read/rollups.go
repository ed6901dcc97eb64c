package read

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
)

// maxDirty is how many dirty minutes there may be for figures to be worth it.
const maxDirty = 100_000

// lastMinute is the last one that 32 bits of seconds hold, in seconds.
const lastMinute = (1<<32 - 1) / 60 * 60

// figures prepares a query that reads the aggregator's figures by the minute
// of one kind where they count, and the rows elsewhere. It adds to a the range
// (since, until), the whole minutes in it (first, end), and the kind, and
// gives ctx the table of the dirty minutes. They are read once, before the
// query, so that each minute is read from exactly one of the two.
//
// With Figures false all has to be read from the rows; first and end then say so.
func (r *Reader) figures(ctx context.Context, kind string, within Range, a args) (_ context.Context, of sources, err error) {
	since, until := within.nanos()
	const minute = int64(time.Minute)
	first := min((since+minute-1)/minute*60, lastMinute)
	end := max(first, min(until/minute*60, lastMinute))
	a["kind"], a["since"], a["until"], a["first"], a["end"] = kind, since, until, first, end

	dirty, err := ext.NewTable("dirty", ext.Column("namespace", "String"), ext.Column("function", "String"), ext.Column("minute", "DateTime('UTC')"))
	if err != nil {
		return ctx, sources{}, fmt.Errorf("read figures: %w", err)
	}
	n := 0
	of.Figures, err = r.complete(ctx, kind)
	if err == nil && of.Figures {
		n, err = r.dirty(ctx, a, dirty)
		of.Figures = n <= maxDirty
	}
	of.Rows = !of.Figures || n > 0 || since < first*int64(time.Second) || until > end*int64(time.Second)
	if !of.Figures {
		a["first"], a["end"] = lastMinute, lastMinute
	}
	return clickhouse.Context(ctx, clickhouse.WithExternalTable(dirty)), of, err
}

// sources say what a query has to read: the figures by the minute, the rows.
type sources struct{ Figures, Rows bool }

// LineFigures prepares a query that reads the figures of lines (line_minutes)
// where they count, and the lines elsewhere: it gives ctx the table dirty
// (namespace, function, minute) of the minutes whose lines have to be read,
// and the whole minutes within the range, in seconds since 1970, end not in
// them. With ok false there are no figures to be relied on, and all lines have
// to be read.
func (r *Reader) LineFigures(ctx context.Context, tenant string, within Range) (_ context.Context, first, end int64, ok bool, err error) {
	a := args{"tenant": tenant}
	ctx, of, err := r.figures(ctx, "lines", within, a)
	first, _ = a["first"].(int64) // figures has put them there
	end, _ = a["end"].(int64)
	return ctx, first, end, of.Figures, err
}

// complete says whether all rows have marks. Before the aggregator has seen
// to that, once in a store's life, a minute without one may have rows.
func (r *Reader) complete(ctx context.Context, kind string) (bool, error) {
	if _, known := r.marked.Load(kind); known {
		return true, nil
	}
	rows, err := selectRows[struct {
		Complete bool `ch:"complete"`
	}](ctx, r, "rollup_complete", 1, args{"tenant": "", "kind": kind})
	if err != nil || !rows[0].Complete {
		return false, err
	}
	r.marked.Store(kind, true)
	return true, nil
}

// dirty fills the table of dirty minutes, and says how many there are: more than
// maxDirty are not all of them.
func (r *Reader) dirty(ctx context.Context, a args, into *ext.Table) (int, error) {
	named := args{"tenant": a["tenant"], "kind": a["kind"], "first": a["first"], "end": a["end"], "namespace": "", "function": "", "rows": maxDirty + 1}
	for _, narrower := range []string{"namespace", "function"} {
		if v, ok := a[narrower]; ok {
			named[narrower] = v
		}
	}
	rows, err := selectWhere[struct {
		Namespace string    `ch:"namespace"`
		Function  string    `ch:"function"`
		Minute    time.Time `ch:"minute"`
	}](ctx, r, "rollup_dirty", struct{ Starts bool }{a["kind"] == "starts"}, maxDirty+1, named)
	if err != nil || len(rows) > maxDirty {
		return len(rows), err
	}
	for _, row := range rows {
		if err := into.Append(row.Namespace, row.Function, row.Minute); err != nil {
			return 0, fmt.Errorf("read figures: %w", err)
		}
	}
	return len(rows), nil
}

// HistoryFilter says what is counted, and by which steps of time. Empty fields say nothing.
type HistoryFilter struct {
	Namespace, Function, Version string
	Digest                       string // of starts
	Range
	Step time.Duration // whole minutes
}

// maxHistory bounds the rows of one answer.
const maxHistory = 50_000

// Volume is how many lines there were in one step of time.
type Volume struct {
	Time     time.Time `json:"time" ch:"time" doc:"When the step begins"`
	Severity uint8     `json:"severity" ch:"severity" doc:"Lowest number of OpenTelemetry's range: 1 trace, 5 debug, 9 info, 13 warn, 17 error, 21 fatal; 0 for not said"`
	Stream   string    `json:"stream" ch:"stream" enum:"stdout,stderr,platform"`
	Lines    uint64    `json:"lines" ch:"lines"`
	Bytes    uint64    `json:"bytes" ch:"bytes" doc:"Of the lines' bodies"`
}

// Volume counts lines by steps of time, severity and stream, in the order of
// time. At most 50,000 counts are given; the last steps may be missing.
func (r *Reader) Volume(ctx context.Context, tenant string, f HistoryFilter) ([]Volume, error) {
	return history[Volume](ctx, r, tenant, "lines", "volume", f)
}

// StartHistory is how long finished starts took in one step of time: one phase,
// for as long as it was active, or total.
type StartHistory struct {
	Time  time.Time `json:"time" doc:"When the step begins"`
	Phase string    `json:"phase" doc:"A phase, or total for the whole from the demand to readiness"`
	Distribution
	MeanMS float64 `json:"mean_ms"`
}

// StartHistory gives how long starts and their phases took, in the order of
// time and of the phases' names. Percentiles are estimates, within about a
// hundredth. At most 50,000 are given; the last steps may be missing.
func (r *Reader) StartHistory(ctx context.Context, tenant string, f HistoryFilter) ([]StartHistory, error) {
	rows, err := history[struct {
		Time      time.Time `ch:"time"`
		Phase     string    `ch:"phase"`
		Starts    uint64    `ch:"starts"`
		Sum       int64     `ch:"sum"`
		Max       int64     `ch:"max"`
		Quantiles []float32 `ch:"quantiles"`
	}](ctx, r, tenant, "starts", "start_history", f)
	if err != nil {
		return nil, err
	}
	all := make([]StartHistory, len(rows))
	for i, row := range rows {
		at := func(q int) float64 { return Millis(time.Duration(row.Quantiles[q])) }
		all[i] = StartHistory{
			Time: row.Time.UTC(), Phase: row.Phase, MeanMS: Millis(time.Duration(row.Sum / int64(row.Starts))),
			Distribution: Distribution{Count: row.Starts, P50MS: at(0), P90MS: at(1), P95MS: at(2), P99MS: at(3), MaxMS: Millis(time.Duration(row.Max))},
		}
	}
	return all, nil
}

func history[T any](ctx context.Context, r *Reader, tenant, kind, query string, f HistoryFilter) ([]T, error) {
	if f.Step < time.Minute || f.Step%time.Minute != 0 {
		return nil, fmt.Errorf("read history by steps of %s: steps are whole minutes", f.Step)
	}
	a := args{
		"tenant": tenant, "namespace": f.Namespace, "function": f.Function, "version": f.Version, "digest": f.Digest,
		"step": int64(f.Step / time.Minute), "limit": maxHistory,
	}
	ctx, of, err := r.figures(ctx, kind, f.Range, a)
	if err != nil {
		return nil, err
	}
	return selectWhere[T](ctx, r, query, of, maxHistory, a)
}

package read

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// groups are what lines can be counted by: the SQL of each, over the rows of
// lines, and whether figures by the minute have it, too.
var groups = map[string]struct {
	sql    string
	rolled bool
}{
	"":            {"''", true},
	"level":       {"transform(toUInt8(if(severity = 0, 0, intDiv(severity - 1, 4) * 4 + 1)), [1, 5, 9, 13, 17, 21], ['trace', 'debug', 'info', 'warn', 'error', 'fatal'], 'unknown')", true},
	"stream":      {"toString(stream)", true},
	"function":    {"concat(namespace, '/', function)", true},
	"version":     {"toString(version)", true},
	"instance":    {"instance", false},
	"host":        {"toString(host)", false},
	"attribution": {"toString(attribution)", false},
}

// rolled says whether figures by the minute can answer the filter.
func (f *LineFilter) rolled() bool {
	return f.Instance == "" && f.Host == "" && f.Request == "" && f.Trace == "" && f.File == nil && f.Offset == nil &&
		len(f.Attributions) == 0 && !f.content()
}

// Histogram counts the filter's lines by steps of time (whole milliseconds) and
// by group: "", level, stream, function, version, instance, host or
// attribution. A step begins at a multiple of its length. At most 50,000 counts
// are given; the last steps may be missing.
func (r *Reader) Histogram(ctx context.Context, tenant string, f LineFilter, step time.Duration, group string) ([]LineCount, error) {
	by, ok := groups[group]
	if !ok || step < time.Millisecond || step%time.Millisecond != 0 {
		return nil, fmt.Errorf("count lines by %q and steps of %s: not possible", group, step)
	}
	rolled := by.rolled && f.rolled() && step%time.Minute == 0
	a := args{"tenant": tenant, "namespace": f.Namespace, "function": f.Function, "step": step.Milliseconds(), "limit": maxHistory}
	c := f.conditions("")
	if f.Request != "" {
		c.add("request_id = {:String}", f.Request)
	}
	if len(f.Attributions) > 0 {
		c.add("toString(attribution) IN {:Array(String)}", texts(f.Attributions))
	}
	of := sources{Rows: true}
	if rolled {
		var err error
		if ctx, of, err = r.figures(ctx, "lines", f.Range, a); err != nil {
			return nil, err
		}
	}
	kept := f
	kept.Range = Range{} // whole minutes instead
	k := kept.conditions("kept_")
	sql, err := query("histogram", struct {
		Rolled, Rows     bool
		Group            string
		Conditions, Kept []string
	}{rolled, of.Rows, by.sql, c.list, k.list})
	if err != nil {
		return nil, err
	}
	counts := []LineCount{}
	if err := r.conn.Select(r.limits.Context(ctx, maxHistory), &counts, sql, named(with(with(a, c.args), k.args))...); err != nil {
		return nil, fmt.Errorf("query histogram: %w", err)
	}
	for i := range counts {
		counts[i].Time = counts[i].Time.UTC()
	}
	return counts, nil
}

// Context reads what was printed around a line: of its instance, or of the
// whole function. The error is ErrNotFound if there is no such line. at is the
// line's time, which finds it at once; a zero one looks through the filter's
// whole range.
func (r *Reader) Context(ctx context.Context, tenant string, f LineFilter, at time.Time, before, after int, wholeFunction bool) (*LineContext, error) {
	one := LineQuery{LineFilter: f, Limit: 1}
	if !at.IsZero() {
		one.Range = Range{at, at.Add(1)}
	}
	list, err := r.Lines(ctx, tenant, one)
	if err != nil {
		return nil, err
	}
	if len(list.Lines) == 0 {
		return nil, fmt.Errorf("line %016x at offset %d: %w", value(f.File), value(f.Offset), ErrNotFound)
	}
	found := &LineContext{Before: []FoundLine{}, Line: list.Lines[0], After: []FoundLine{}}
	around := LineQuery{LineFilter: LineFilter{Namespace: found.Line.Namespace, Function: found.Line.Function}}
	if !wholeFunction {
		around.Instance = found.Line.Instance
	}
	place := CursorAt(&found.Line)
	around.After = &place
	for _, side := range []struct {
		n           int
		oldestFirst bool
		into        *[]FoundLine
	}{{before, false, &found.Before}, {after, true, &found.After}} {
		if side.n == 0 {
			continue
		}
		around.Limit, around.OldestFirst = side.n, side.oldestFirst
		list, err := r.Lines(ctx, tenant, around)
		if err != nil {
			return nil, err
		}
		*side.into = list.Lines
	}
	slices.Reverse(found.Before)
	return found, nil
}

// Levels are the words for the ranges of severity.
var Levels = map[string]faas.Severity{
	"trace": faas.SeverityTrace, "debug": faas.SeverityDebug, "info": faas.SeverityInfo, "warn": faas.SeverityWarn,
	"error": faas.SeverityError, "fatal": faas.SeverityFatal, "unknown": faas.SeverityUnknown,
}

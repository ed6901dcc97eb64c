package read_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// groupOf is what a line is counted under.
var groupOf = map[string]func(*schema.LogRow) string{
	"":            func(*schema.LogRow) string { return "" },
	"level":       func(r *schema.LogRow) string { return r.Severity.String() },
	"stream":      func(r *schema.LogRow) string { return string(r.Stream) },
	"function":    func(r *schema.LogRow) string { return r.Namespace + "/" + r.Function },
	"version":     func(r *schema.LogRow) string { return r.Version },
	"instance":    func(r *schema.LogRow) string { return r.Instance },
	"host":        func(r *schema.LogRow) string { return r.Host },
	"attribution": func(r *schema.LogRow) string { return string(r.Attribution) },
}

// TestHistogram counts what the filter finds, by each group and by steps of
// different lengths.
func TestHistogram(t *testing.T) {
	conn := readtest.DB(t)
	p := print(t, conn, 300)
	r := read.New(conn)
	asked := filters()
	for what, f := range map[string]read.LineFilter{
		"all": {}, "text": asked["texts"], "request": asked["request moved"], "attributions": asked["attributions"],
		"levels": asked["levels"], "range": asked["range"], "function": asked["function"],
	} {
		for group, of := range groupOf {
			for _, step := range []time.Duration{7 * time.Second, time.Minute} {
				type key struct {
					at    int64
					group string
				}
				want := map[key]uint64{}
				for _, row := range p.rows {
					if meets(&row, &f) {
						want[key{row.Time.UnixMilli() / step.Milliseconds() * step.Milliseconds(), of(&row)}]++
					}
				}
				counts, err := r.Histogram(t.Context(), readtest.Tenant, f, step, group)
				if err != nil {
					t.Fatal(err)
				}
				got := map[key]uint64{}
				for i, c := range counts {
					got[key{c.Time.UnixMilli(), c.Group}] += c.Lines
					if i > 0 && c.Time.Before(counts[i-1].Time) {
						t.Errorf("%s: not in the order of time", what)
					}
				}
				if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
					t.Errorf("%s by %q, steps of %s (-want +got):\n%s", what, group, step, diff)
				}
			}
		}
	}
	if _, err := r.Histogram(t.Context(), readtest.Tenant, read.LineFilter{}, time.Minute, "body"); err == nil {
		t.Error("counted by what cannot be counted by")
	}
}

// TestHistogramFigures: minutes that are rolled up are not counted again, and
// only where the figures can answer.
func TestHistogramFigures(t *testing.T) {
	conn := readtest.DB(t)
	line := func(n int, at time.Time) schema.LogRow {
		return schema.LogRow{
			Line: &faas.Line{
				Ref: faas.Ref{Tenant: readtest.Tenant, Namespace: "n", Function: "f", Version: "v"}, Time: at, Stream: "stdout",
				Body: "body", Severity: faas.SeverityWarn, Offset: uint64(n),
			},
			Attribution: "none", Revision: 1,
		}
	}
	clean, dirty := readtest.T0.Truncate(time.Minute), readtest.T0.Truncate(time.Minute).Add(time.Minute)
	readtest.Insert(t, conn, schema.Logs, line(1, clean.Add(time.Second)), line(2, clean.Add(2*time.Second)), line(3, dirty.Add(time.Second)))
	for _, sql := range []string{
		"INSERT INTO rollup_marks (kind, tenant, namespace, function, minute, dirtied, rolled) VALUES ('lines', '', '', '', 0, 0, 1)",
		fmt.Sprintf("INSERT INTO rollup_marks (kind, tenant, namespace, function, minute, dirtied, rolled) VALUES ('lines', '%s', 'n', 'f', %d, 0, 18446744073709551615)", readtest.Tenant, clean.Unix()),
		fmt.Sprintf("INSERT INTO line_minutes (tenant, namespace, function, minute, version, severity, stream, lines, bytes, generation) VALUES ('%s', 'n', 'f', %d, 'v', 13, 'stdout', 1000, 5000, 1)", readtest.Tenant, clean.Unix()),
	} {
		if err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	r := read.New(conn)
	at := func(when time.Time, group string, lines uint64) read.LineCount {
		return read.LineCount{Time: when, Group: group, Lines: lines}
	}
	whole := read.LineFilter{Namespace: "n", Function: "f", Range: read.Range{Since: clean, Until: dirty.Add(time.Minute)}}
	warnings, cut := whole, whole
	warnings.Levels = []faas.Severity{faas.SeverityWarn}
	cut.Since = clean.Add(1500 * time.Millisecond)
	errs := whole
	errs.Levels = []faas.Severity{faas.SeverityError}
	words := whole
	words.Texts = []read.Text{{Text: "body"}}
	for name, test := range map[string]struct {
		f     read.LineFilter
		step  time.Duration
		group string
		want  []read.LineCount
	}{
		"figures and rows":   {whole, time.Minute, "function", []read.LineCount{at(clean, "n/f", 1000), at(dirty, "n/f", 1)}},
		"level":              {warnings, time.Minute, "level", []read.LineCount{at(clean, "warn", 1000), at(dirty, "warn", 1)}},
		"another level":      {errs, time.Minute, "", nil},
		"a minute cut":       {cut, time.Minute, "", []read.LineCount{at(clean, "", 1), at(dirty, "", 1)}},
		"seconds":            {whole, 30 * time.Second, "", []read.LineCount{at(clean, "", 2), at(dirty, "", 1)}},
		"words":              {words, time.Minute, "", []read.LineCount{at(clean, "", 2), at(dirty, "", 1)}},
		"by what it has not": {whole, time.Minute, "instance", []read.LineCount{at(clean, "", 2), at(dirty, "", 1)}},
	} {
		got, err := r.Histogram(t.Context(), readtest.Tenant, test.f, test.step, test.group)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(read.LineCount{}, "Bytes")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestContext: the lines around a line, of its instance or of its function.
func TestContext(t *testing.T) {
	conn := readtest.DB(t)
	p := print(t, conn, 200)
	r := read.New(conn)
	row := p.rows[100]
	for _, whole := range []bool{false, true} {
		around := read.LineFilter{Function: row.Function}
		if !whole {
			around.Instance = row.Instance
		}
		all := p.find(&around)
		name := func(l read.FoundLine) string { return fmt.Sprintf("%d %s %s", l.Offset, l.RequestID, l.Body) }
		for _, at := range []time.Time{row.Time, {}} {
			got, err := r.Context(t.Context(), readtest.Tenant, read.LineFilter{File: &row.FileID, Offset: &row.Offset}, at, 3, 4, whole)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, l := range got.Before {
				names = append(names, name(l))
			}
			names = append(names, name(got.Line))
			for _, l := range got.After {
				names = append(names, name(l))
			}
			here := 0
			for i, n := range all {
				if n == name(got.Line) {
					here = i
				}
			}
			if diff := cmp.Diff(all[here-3:here+5], names); diff != "" {
				t.Errorf("function %v, at %s (-want +got):\n%s", whole, at, diff)
			}
		}
	}
	nobody := uint64(99)
	if _, err := r.Context(t.Context(), readtest.Tenant, read.LineFilter{File: &nobody, Offset: &row.Offset}, time.Time{}, 1, 1, false); !errors.Is(err, read.ErrNotFound) {
		t.Errorf("no such line: %v", err)
	}
	if _, err := r.Context(t.Context(), "nobody", read.LineFilter{File: &row.FileID, Offset: &row.Offset}, row.Time, 1, 1, false); !errors.Is(err, read.ErrNotFound) {
		t.Errorf("another tenant's line: %v", err)
	}
}

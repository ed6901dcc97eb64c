package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// report prints the figures as the tables of docs/schema.md.
func report(w io.Writer, f *figures) {
	lines := float64(f.Lines)
	fmt.Fprintf(w, "%d lines of %s in inserts of %d; to read the base costs %.2f CPU s a million lines (taken off below)", f.Lines, f.Span, f.Block, f.Reading)
	if f.Load > 0 {
		fmt.Fprintf(w, ", to load it %.2f", f.Load)
	}
	fmt.Fprint(w, "\n\n| variant | | CPU s/M | rows merged | parts | B/line | optimized | look-ups, indices |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |\n")
	for _, r := range f.Results {
		var extra []string
		for _, m := range []map[string]uint64{r.Merge.Indices, r.Merge.Beside} {
			for _, name := range slices.Sorted(maps.Keys(m)) {
				extra = append(extra, fmt.Sprintf("%s %.2f", strings.TrimPrefix(name, "v_"), float64(m[name])/lines))
			}
		}
		fmt.Fprintf(w, "| %s | %s | %.2f | %.1f | %d | %.1f | %.1f | %s |\n", r.Name, r.About, r.Insert, r.Merged, r.Quiet.Parts,
			float64(r.Quiet.Total)/lines, float64(r.Merge.Total)/lines, strings.Join(extra, ", "))
	}
	if len(f.Results) == 0 {
		return
	}
	names := questions(nil, nil, nil, nil)
	fmt.Fprint(w, "\np50 / p95 ms (CPU ms, rows read):\n\n| variant |")
	for _, q := range names {
		fmt.Fprintf(w, " %s |", q.name)
	}
	fmt.Fprint(w, "\n| --- |", strings.Repeat(" --- |", len(names)), "\n")
	for _, r := range f.Results {
		fmt.Fprintf(w, "| %s |", r.Name)
		for _, q := range names {
			t := r.Queries[q.name]
			fmt.Fprintf(w, " %.1f / %.1f (%.0f, %s) |", t.P50, t.P95, t.CPU, short(t.Rows))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "\nBytes a line of the columns, optimized:\n\n| variant |")
	for _, c := range columns {
		fmt.Fprintf(w, " %s |", c.name)
	}
	fmt.Fprint(w, "\n| --- |", strings.Repeat(" ---: |", len(columns)), "\n")
	for _, r := range f.Results {
		fmt.Fprintf(w, "| %s |", r.Name)
		for _, c := range columns {
			fmt.Fprintf(w, " %.2f |", float64(r.Merge.Columns[c.name])/lines)
		}
		fmt.Fprintln(w)
	}
}

func short(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.1fM", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.0fk", n/1e3)
	}
	return fmt.Sprintf("%.0f", n)
}

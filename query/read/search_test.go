package read_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// printed is a history of lines as the store has it: each line in its last revision.
type printed struct {
	rows []schema.LogRow
}

// strange are bodies that a filter may stumble over.
var strange = []string{
	"plain text", "it's 100% done_now", `C:\temp\new`, "tab\tand\nnewline", "ünïcödé ÄRGER", "\xff\xfe broken", "", "{a:String} ?", "-- DROP TABLE logs; /* x */ ' OR 1=1",
	"ERROR timeout after 30s", "error Timeout after 5s", "nul \x00 inside",
}

// print fills conn with n lines of three functions. Some have the same time,
// some come twice, some are corrected, and another tenant has the same ones.
func print(t testing.TB, conn driver.Conn, n int) *printed {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	p := &printed{}
	var first, second, foreign []schema.LogRow
	at := readtest.T0
	for i := range n {
		if i%3 != 0 {
			at = at.Add(time.Duration(r.IntN(3000)) * time.Millisecond)
		}
		f := fmt.Sprint("f", r.IntN(3))
		row := schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: readtest.Tenant, Namespace: "n", Function: f, Version: fmt.Sprint("v", r.IntN(2)), Instance: fmt.Sprint("i-", f, r.IntN(2))},
				Host: fmt.Sprint("h", r.IntN(2)), Time: at, Stream: []faas.Stream{"stdout", "stderr", "platform"}[r.IntN(3)],
				Severity: faas.Severity(r.IntN(25)), TraceID: []string{"", "ab12"}[r.IntN(2)], FileID: uint64(r.IntN(4)) << 60, Offset: uint64(i),
				Body: strange[r.IntN(len(strange))] + fmt.Sprint(" n=", i), Attributes: []faas.Attribute{{Key: "user", Value: strconv.Itoa(r.IntN(20))}, {Key: "k'\\", Value: strange[r.IntN(5)]}},
			},
			Attribution: faas.AttributionNone, Revision: 10,
		}
		if i%5 == 0 {
			row.Attributes = nil
		}
		first = append(first, row)
		theirs := row
		line := *row.Line
		line.Tenant, line.Body = "other", line.Body+" of another tenant"
		theirs.Line = &line
		foreign = append(foreign, theirs)
		switch i % 4 {
		case 0:
			second = append(second, row)
		case 1:
			row.Attribution, row.RequestID, row.Revision = faas.AttributionWindow, fmt.Sprint("r", r.IntN(9)), 20
			second = append(second, row)
		case 2:
			row.Attribution, row.RequestID, row.Revision = faas.AttributionExplicit, fmt.Sprint("r", r.IntN(9)), 10
			first[len(first)-1] = row
			if i%8 == 2 { // it was another one's
				row.RequestID, row.Revision = "r-moved", 30
				second = append(second, row)
			}
		}
		p.rows = append(p.rows, row)
	}
	readtest.Insert(t, conn, schema.Logs, second...)
	readtest.Insert(t, conn, schema.Logs, first...)
	readtest.Insert(t, conn, schema.Logs, foreign...)
	return p
}

// find gives what the filter should find, oldest first.
func (p *printed) find(f *read.LineFilter) []string {
	var found []schema.LogRow
	for _, row := range p.rows {
		if meets(&row, f) {
			found = append(found, row)
		}
	}
	slices.SortFunc(found, func(a, b schema.LogRow) int {
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		if a.FileID != b.FileID {
			if a.FileID < b.FileID {
				return -1
			}
			return 1
		}
		return int(a.Offset) - int(b.Offset)
	})
	names := make([]string, len(found))
	for i, row := range found {
		names[i] = fmt.Sprintf("%d %s %s", row.Offset, row.RequestID, row.Body)
	}
	return names
}

func meets(row *schema.LogRow, f *read.LineFilter) bool {
	is := func(want, got string) bool { return want == "" || want == got }
	if !is(f.Namespace, row.Namespace) || !is(f.Function, row.Function) || !is(f.Version, row.Version) || !is(f.Instance, row.Instance) ||
		!is(f.Host, row.Host) || !is(f.Request, row.RequestID) || !is(f.Trace, row.TraceID) ||
		f.File != nil && *f.File != row.FileID || f.Offset != nil && *f.Offset != row.Offset ||
		len(f.Streams) > 0 && !slices.Contains(f.Streams, row.Stream) || len(f.Attributions) > 0 && !slices.Contains(f.Attributions, row.Attribution) ||
		!f.Since.IsZero() && row.Time.Before(f.Since) || !f.Until.IsZero() && !row.Time.Before(f.Until) {
		return false
	}
	if len(f.Levels) > 0 && !slices.ContainsFunc(f.Levels, func(l faas.Severity) bool { return l.String() == row.Severity.String() }) {
		return false
	}
	for _, text := range f.Texts {
		body, find := row.Body, text.Text
		if text.Fold {
			body, find = strings.ToLower(body), strings.ToLower(find)
		}
		if strings.Contains(body, find) == text.Not {
			return false
		}
	}
	if f.Pattern != "" && !regexp.MustCompile("(?s)"+f.Pattern).MatchString(row.Body) {
		return false
	}
	for _, field := range f.Fields {
		if !fieldMeets(row, field) {
			return false
		}
	}
	return true
}

func fieldMeets(row *schema.LogRow, f read.Field) bool {
	value, there := "", false
	for _, a := range row.Attributes {
		if a.Key == f.Key {
			value, there = a.Value, true
		}
	}
	var number, want float64
	_, err := fmt.Sscan(value, &number)
	_, _ = fmt.Sscan(f.Value, &want)
	switch f.Op {
	case "":
		return there
	case "=":
		return value == f.Value
	case "!=":
		return value != f.Value
	case "~":
		return regexp.MustCompile("(?s)" + f.Value).MatchString(value)
	case "!~":
		return !regexp.MustCompile("(?s)" + f.Value).MatchString(value)
	case ">":
		return err == nil && number > want
	case ">=":
		return err == nil && number >= want
	case "<":
		return err == nil && number < want
	}
	return err == nil && number <= want
}

// readAll reads the query's lines in pieces; between is called after each.
func readAll(t *testing.T, r *read.Reader, q read.LineQuery, between func()) (found []string, pieces int) {
	t.Helper()
	for {
		list, err := r.Lines(t.Context(), readtest.Tenant, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list.Lines {
			found = append(found, fmt.Sprintf("%d %s %s", l.Offset, l.RequestID, l.Body))
		}
		if pieces++; list.NextCursor == "" {
			return found, pieces
		}
		if len(list.Lines) == 0 || len(list.Lines) > q.Limit {
			t.Fatalf("%d lines and a cursor", len(list.Lines))
		}
		at, err := read.ParseLineCursor(list.NextCursor)
		if err != nil {
			t.Fatal(err)
		}
		q.After = &at
		between()
	}
}

func filters() map[string]read.LineFilter {
	file, offset := uint64(1)<<60, uint64(17)
	return map[string]read.LineFilter{
		"all":            {},
		"function":       {Namespace: "n", Function: "f1"},
		"namespace":      {Namespace: "nowhere"},
		"version":        {Version: "v1", Function: "f0"},
		"instance":       {Instance: "i-f10"},
		"host":           {Host: "h1", Namespace: "n"},
		"trace":          {Trace: "ab12"},
		"file":           {File: &file},
		"offset":         {Offset: &offset},
		"request":        {Request: "r3"},
		"request moved":  {Request: "r-moved", Function: "f2", Namespace: "n"},
		"request, text":  {Request: "r1", Texts: []read.Text{{Text: "plain"}}},
		"streams":        {Streams: []faas.Stream{"stderr", "platform"}},
		"levels":         {Levels: []faas.Severity{faas.SeverityWarn, faas.SeverityUnknown}},
		"attributions":   {Attributions: []faas.Attribution{"window", "none"}},
		"text":           {Texts: []read.Text{{Text: "error"}}},
		"text, function": {Function: "f1", Texts: []read.Text{{Text: "ERROR"}}},
		"folded":         {Texts: []read.Text{{Text: "eRRor", Fold: true}}},
		"folded unicode": {Texts: []read.Text{{Text: "ärger", Fold: true}}},
		"texts":          {Texts: []read.Text{{Text: "timeout"}, {Text: "30s"}, {Text: "n=1", Not: true}}},
		"not, folded":    {Texts: []read.Text{{Text: "TIMEOUT", Fold: true, Not: true}}, Function: "f0"},
		"percent":        {Texts: []read.Text{{Text: "100%"}, {Text: "_now"}}},
		"backslash":      {Texts: []read.Text{{Text: `\temp\new`}}},
		"newline":        {Texts: []read.Text{{Text: "\tand\nnew"}}},
		"nul":            {Texts: []read.Text{{Text: "\x00"}}},
		"sql":            {Texts: []read.Text{{Text: "' OR 1=1"}}},
		"pattern":        {Pattern: `^ERROR .* n=\d*7$`},
		"pattern folded": {Pattern: `(?i)error.*30s`, Function: "f2"},
		"field":          {Fields: []read.Field{{Key: "user", Op: "=", Value: "7"}}},
		"field strange":  {Fields: []read.Field{{Key: `k'\`, Op: "=", Value: `C:\temp\new`}}},
		"field not":      {Fields: []read.Field{{Key: "user", Op: "!=", Value: "7"}}},
		"field pattern":  {Fields: []read.Field{{Key: "user", Op: "~", Value: "^1"}}},
		"field number":   {Fields: []read.Field{{Key: "user", Op: ">=", Value: "5"}, {Key: "user", Op: "<", Value: "10.5"}}},
		"field there":    {Fields: []read.Field{{Key: "user"}}},
		"range":          {Range: read.Range{Since: readtest.T0.Add(30 * time.Second), Until: readtest.T0.Add(200 * time.Second)}},
		"range, text":    {Range: read.Range{Since: readtest.T0.Add(30 * time.Second)}, Texts: []read.Text{{Text: "done"}}},
	}
}

// TestLines: each filter finds what it says, in either order, piece by piece,
// each line once, whatever arrives and is corrected meanwhile; over one server
// and over two shards.
func TestLines(t *testing.T) {
	for name, conn := range map[string]driver.Conn{"one": readtest.DB(t), "two shards": readtest.Cluster(t)} {
		p := print(t, conn, 400)
		r := read.New(conn)
		for what, f := range filters() {
			want := p.find(&f)
			if len(want) == 0 && what != "namespace" && what != "nul" {
				t.Errorf("%s: a filter that finds nothing tests nothing", what)
			}
			for _, oldest := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, %s, oldest first %v", name, what, oldest), func(t *testing.T) {
					q := read.LineQuery{LineFilter: f, OldestFirst: oldest, Limit: 131}
					got, pieces := readAll(t, r, q, func() {})
					if !oldest {
						slices.Reverse(got)
					}
					if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("(-want +got):\n%s", diff)
					}
					if pieces < len(want)/131 {
						t.Errorf("%d lines in %d pieces", len(want), pieces)
					}
				})
			}
		}
	}
}

// TestLinesWhileDataArrives reads newest first while lines arrive in front of
// the reader and lines behind it are corrected.
func TestLinesWhileDataArrives(t *testing.T) {
	conn := readtest.DB(t)
	p := print(t, conn, 200)
	want := p.find(&read.LineFilter{})
	n := uint64(0)
	got, pieces := readAll(t, read.New(conn), read.LineQuery{Limit: 9}, func() {
		n++
		late := p.rows[0]
		line := *late.Line
		line.Time, line.Offset = readtest.T0.Add(time.Hour), 1000+n
		late.Line = &line
		again := p.rows[int(n)%len(p.rows)]
		again.Revision = 100 + n
		readtest.Insert(t, conn, schema.Logs, late, again)
	})
	slices.Reverse(got)
	if diff := cmp.Diff(want, got); diff != "" || pieces < 20 {
		t.Errorf("%d pieces (-want +got):\n%s", pieces, diff)
	}
}

// TestLinesOverTime: lines of months are found, wherever they are.
func TestLinesOverTime(t *testing.T) {
	conn := readtest.DB(t)
	now := time.Now()
	var rows []schema.LogRow
	var want []string
	for i, age := range []time.Duration{-time.Hour, 0, time.Minute, 59 * time.Minute, time.Hour, 5 * time.Hour, 50 * time.Hour, 500 * time.Hour, 5000 * time.Hour} {
		body := fmt.Sprint("needle ", i)
		rows = append(rows, schema.LogRow{
			Line:        &faas.Line{Ref: faas.Ref{Tenant: readtest.Tenant, Function: "f"}, Time: now.Add(-age), Stream: "stdout", Body: body, Offset: uint64(i)},
			Attribution: "none", Revision: 1,
		})
		want = append(want, fmt.Sprintf("%d  %s", i, body))
	}
	readtest.Insert(t, conn, schema.Logs, rows...)
	r := read.New(conn)
	for _, since := range []time.Time{{}, now.Add(-6000 * time.Hour)} {
		for _, limit := range []int{1, 2, 100} {
			for _, function := range []string{"", "f"} {
				f := read.LineFilter{Function: function, Texts: []read.Text{{Text: "needle"}}, Range: read.Range{Since: since}}
				newest, _ := readAll(t, r, read.LineQuery{LineFilter: f, Limit: limit}, func() {})
				oldest, _ := readAll(t, r, read.LineQuery{LineFilter: f, Limit: limit, OldestFirst: true}, func() {})
				slices.Reverse(oldest)
				if diff := cmp.Diff(want, newest) + cmp.Diff(want, oldest); diff != "" {
					t.Errorf("limit %d, function %q: %s", limit, function, diff)
				}
			}
		}
	}
}

func TestLineCursor(t *testing.T) {
	for _, bad := range []string{"!!", "W10", "WyIxIiwiMiIsIjMiLCI0Il0", "WyItMSIsIjIiLCIzIiwiNCIsIjUiXQ", strings.Repeat("A", 5000)} {
		if _, err := read.ParseLineCursor(bad); err == nil {
			t.Errorf("%.20q is taken for a cursor", bad)
		}
	}
}

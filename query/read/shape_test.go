package read

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// asked is a query with its parameters.
type asked struct {
	sql  string
	args args
}

// questions are the queries that a text may get into, with it in every place
// where somebody may give one.
func questions(t testing.TB, text string) map[string]asked {
	t.Helper()
	all := map[string]asked{}
	put := func(name, sql string, a args, err error) {
		if err != nil {
			t.Fatal(err)
		}
		all[name] = asked{sql, a}
	}
	some := Range{time.Unix(1_700_000_000, 0), time.Unix(1_800_000_000, 0)}
	lines := LineFilter{
		Namespace: text, Function: text, Version: text, Instance: text, Host: text, Trace: text, Range: some,
		Texts: []Text{{Text: text}, {Text: text, Not: true}}, Pattern: "x" + regexp.QuoteMeta(strings.ToValidUTF8(text, "")),
		Fields: []Field{{Key: text, Op: "=", Value: text}, {Key: text, Op: "!=", Value: text}, {Key: text}},
	}
	q := LineQuery{LineFilter: lines, Limit: 10, After: &LineCursor{1, 2, 3, text, text}}
	name, sql, a, err := q.sql(text, 10)
	put(name, sql, a, err)
	q.Request = text
	name, sql, a, err = q.sql(text, 10)
	put(name, sql, a, err)
	yes := true
	requests := InvocationFilter{
		Namespace: text, Function: text, Version: text, Instance: text, Prefix: text, Trigger: text, Error: text, Host: text, Digest: text,
		Initialization: faas.Initialization(text), Statuses: []faas.Status{faas.Status(text)}, ClosedBy: []string{text}, Cold: &yes, Range: some,
		Texts: []Text{{Text: text}, {Text: text, Not: true}},
	}
	for _, by := range []Sort{ByTime, ByDuration} {
		q := InvocationQuery{InvocationFilter: requests, Sort: by, Limit: 10, After: Cursor{startedAt: 1, request: text, instance: text}}
		sql, a, err := q.sql(text, 10)
		put("requests by "+string(by), sql, a, err)
	}
	c := (&StartFilter{Namespace: text, Function: text, Version: text, Instance: text, Host: text, Digest: text, Initialization: faas.Initialization(text), Range: some}).conditions()
	for _, name := range []string{"starts", "images", "layers", "export_starts"} {
		sql, err := query(name, where{c.list})
		put(name, sql, with(args{"tenant": text, "limit": 10}, c.args), err)
	}
	return all
}

// shape is the tree of a query as the engine reads it, its values in it, with
// what may differ between values taken out.
func shape(t testing.TB, conn driver.Conn, q asked) string {
	t.Helper()
	rows, err := conn.Query(context.WithoutCancel(t.Context()), "EXPLAIN AST "+q.sql, named(q.args)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, q.sql)
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(line, "Literal "); at >= 0 {
			line = line[:at] + "Literal" // the value, however many lines it has
		} else if !node.MatchString(line) {
			continue // more of a value
		}
		b.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%v\n%s", err, q.sql)
	}
	return b.String()
}

// node is a line of a tree that begins a node; a value's further lines could
// look like one, which only makes the test stricter.
var node = regexp.MustCompile(`^ *[A-Z][A-Za-z]+`)

// FuzzShape: whatever somebody asks for, the engine reads the same query: the
// same tree of the same nodes, in which only literals differ.
func FuzzShape(f *testing.F) {
	conn, _ := clickhousetest.DB(f)
	if err := schema.Migrate(f.Context(), conn); err != nil {
		f.Fatal(err)
	}
	want := map[bool]map[string]string{} // letters beyond ASCII are folded by another function
	for _, text := range []string{"plain", "é"} {
		shapes := map[string]string{}
		for name, q := range questions(f, text) {
			shapes[name] = shape(f, conn, q)
			if strings.Count(shapes[name], "\n") < 20 || !strings.Contains(shapes[name], "Literal") {
				f.Fatalf("%s has no values in its tree:\n%s", name, shapes[name])
			}
		}
		want[ascii(text)] = shapes
	}
	for _, text := range []string{
		"x' OR '1'='1", `\`, `\'`, `\\' OR 1=1 --`, "'", `"`, "`", "{c0:String}", "{tenant:String}", "}}", "{{.}}", "'); DROP TABLE logs; --", "/*", "*/", "--", "\x00", "\n", "\r\n\t",
		`\N`, `\x27`, `\u0027`, "%", "_", "[1,2]", "['a']", "(1,2)", "NULL", "0x27", "ünï", "\xff", "?", "$1", "@c0", ":c0", "SELECT 1", strings.Repeat("'", 1000),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" {
			return // asks for something else
		}
		for name, q := range questions(t, text) {
			if got, want := shape(t, conn, q), want[ascii(text)][name]; got != want {
				t.Errorf("%s with %q is another query:\n%s\nnot\n%s", name, text, got, want)
			}
		}
	})
}

// TestShapeSees: the comparison sees what a value that is put into the text
// would do.
func TestShapeSees(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	put := func(text string) string {
		return shape(t, conn, asked{"SELECT 1 FROM numbers(1) WHERE 'x' = '" + text + "' AND {n:UInt8} = 1", args{"n": 1}})
	}
	if put("a") == put("a' OR '1' = '1") {
		t.Error("an injection does not change the shape")
	}
	if put("a") != put("b") {
		t.Error("a value changes the shape")
	}
}

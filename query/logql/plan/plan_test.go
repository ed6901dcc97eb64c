package plan_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/plan"
	"github.com/coldscope/coldscope/query/read/readtest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

var update = flag.Bool("update", false, "write testdata/sql.txt again")

// planned are queries whose SQL is in testdata/sql.txt.
var planned = []string{
	`{function="f"}`,
	`{namespace="n", function=~"f|g", version!~"v[12].*"} |= "a%_\\" or "b" != "c" |~ "d.*e" |> "<_>x<_>"`,
	`{service_name="f"} | level="error" | json | user="bob" |= "x"`,
	`{function="f", request_id="r"} | cold="true" and duration_ms > 100 or status!="ok"`,
	`{function="f"} | http_path="/a" | level=~"warn|error" | line_format "{{.x}}" |= "y"`,
	`sum by (level, detected_level) (count_over_time({function="f"} | drop __error__ [1m]))`,
	`sum(rate({function="f"}[5m]))`,
	`sum by (stream) (bytes_over_time({function="f"}[90s] offset 30s))`,
	`quantile_over_time(0.99, {stream="platform"} |= "END" | cold="true" | unwrap cold_wait_ms [1m]) by (function)`,
	`quantile_over_time(0.5, {function="f"} | unwrap duration_ms [5m]) by (status)`,
	`quantile_over_time(0.99, {function="f"} | json | __error__="" | level="error" or user!="bob" | unwrap n [1m]) by (function, user)`,
	`sum by (level, detected_level) (count_over_time({function="f"} | json | drop __error__, __error_details__ [1m]))`,
	// What is left to the evaluation of lines.
	`count_over_time({function="f"}[1m])`,
	`avg by (level) (count_over_time({function="f"}[1m]))`,
	`sum by (user) (count_over_time({function="f"} | json [1m]))`,
	`sum without (level) (rate({function="f"}[1m]))`,
}

// TestSQL shows the SQL of queries, to be reviewed as such.
func TestSQL(t *testing.T) {
	var out strings.Builder
	for _, query := range planned {
		e, err := logql.Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "### %s\n", query)
		if log, ok := e.(*logql.LogExpr); ok {
			p := plan.ForLines(log)
			write(&out, p.Query(plan.Read{Tenant: "acme", Since: 1e18, Until: 2e18, Backward: true, Limit: 100}))
			fmt.Fprintf(&out, "rest: %v\n\n", p.Rest)
			continue
		}
		r, ok := plan.ForRange(e.(logql.MetricExpr), "acme", plan.Steps{Start: 1e18, End: 1e18 + 600e9, Step: 60e9})
		if !ok {
			out.WriteString("line by line\n\n")
			continue
		}
		write(&out, r.Query)
		fmt.Fprintf(&out, "labels: %v\n\n", r.Labels)
	}
	if *update {
		if err := os.WriteFile("testdata/sql.txt", []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/sql.txt")
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != out.String() {
		t.Errorf("the SQL is not that of testdata/sql.txt (-update writes it):\n%s", out.String())
	}
}

func write(out *strings.Builder, q plan.Query) {
	out.WriteString(q.SQL + "\n")
	names := make([]string, 0, len(q.Args))
	for name := range q.Args {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(out, "  %s = %#v\n", name, q.Args[name])
	}
}

// hostile are values that somebody may give for anything.
var hostile = []string{
	`x' OR '1'='1`, `x" OR 1=1`, "`tenant`", `\`, `\'`, `\\' OR tenant != \\'`, `\N`, "%", "_", "{tenant:String}", "{p1:String}", "' UNION ALL SELECT * FROM logs --", "/*", "--", ";", "\x00", "tab\tnew\nline\r", "ünï", "ａ", "", " ",
}

// shapes are queries with places for values.
var shapes = []string{
	`{function=%q}`, `{function=~".+", user=%q}`, `{a_b!=%q, function="f"}`, `{function="f"} |= %q`, `{function="f"} != %q or %q`, `{function="f"} |> %q`,
	`{function="f"} | json | user=%q`, `{function="f"} | cold=%q or level!=%q`, `sum by (stream) (count_over_time({function="f", version=%q} |= %q [1m]))`,
	`max_over_time({function="f", status=%q} | unwrap duration_ms | trigger!=%q [1m]) by (user)`,
}

// TestValuesAreNoSQL: whatever the values of a query are, its SQL is the same,
// and the store reads the same tree of it.
func TestValuesAreNoSQL(t *testing.T) {
	conn := readtest.DB(t)
	sql := func(query string) (plan.Query, bool) {
		e, err := logql.Parse(query)
		if err != nil {
			return plan.Query{}, false
		}
		if log, ok := e.(*logql.LogExpr); ok {
			return plan.ForLines(log).Query(plan.Read{Tenant: "acme", Since: 1, Until: 2}), true
		}
		r, ok := plan.ForRange(e.(logql.MetricExpr), "acme", plan.Steps{Start: 1e18, End: 1e18})
		if !ok {
			t.Fatalf("%s is not planned", query)
		}
		return r.Query, true
	}
	values := rapid.OneOf(rapid.SampledFrom(hostile), rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune(`'"\{}:()%_-;/* x0`))))
	rapid.Check(t, func(r *rapid.T) {
		shape := rapid.SampledFrom(shapes).Draw(r, "shape")
		fill := func(v any) string {
			args := make([]any, strings.Count(shape, "%q"))
			for i := range args {
				args[i] = v
			}
			return fmt.Sprintf(shape, args...)
		}
		value := values.Draw(r, "value")
		harmless, ok := sql(fill("harmless"))
		given, ok2 := sql(fill(value))
		if !ok || !ok2 {
			return // an empty selector, a pattern that is none
		}
		// A hint about a text that a parser finds may be missing: there are two shapes.
		without, _ := sql(fill("{}"))
		if given.SQL != harmless.SQL && given.SQL != without.SQL {
			r.Fatalf("%q changes\n%s\nto\n%s", value, harmless.SQL, given.SQL)
		}
		if want, got := tree(t, conn, harmless), tree(t, conn, given); harmless.SQL == given.SQL && want != got {
			r.Fatalf("%q changes\n%s\nto\n%s", value, want, got)
		}
	})
}

// tree is the query as the store understands it, its parameters' values left out.
func tree(t *testing.T, conn driver.Conn, q plan.Query) string {
	t.Helper()
	args := make([]any, 0, len(q.Args))
	for name, v := range q.Args {
		args = append(args, clickhouse.Named(name, v))
	}
	var lines []struct {
		Explain string `ch:"explain"`
	}
	if err := conn.Select(t.Context(), &lines, "EXPLAIN AST "+q.SQL, args...); err != nil {
		t.Fatalf("%s: %v", q.SQL, err)
	}
	var out strings.Builder
	for _, l := range lines {
		out.WriteString(literal.ReplaceAllString(l.Explain, "Literal") + "\n")
	}
	return out.String()
}

var literal = regexp.MustCompile(`(?s)Literal.*`)

// TestValuesArrive: what is given is what the store compares with.
func TestValuesArrive(t *testing.T) {
	conn := readtest.DB(t)
	for _, v := range append(hostile, strings.Repeat("long", 1000), "\xff") {
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT {p:String}", clickhouse.Named("p", v)).Scan(&got); err != nil || got != v {
			t.Errorf("%q arrives as %q, %v", v, got, err)
		}
	}
}

func TestAttributeLabel(t *testing.T) {
	for key, want := range map[string]string{
		"user": "user", "http.path": "http_path", "0x": "_0x", "Ü": "_", "a b-c": "a_b_c", "": "", "__x": "", "level": "level_extracted", "duration.ms": "duration_ms_extracted", "_": "_",
	} {
		if got := plan.AttributeLabel(key); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
}

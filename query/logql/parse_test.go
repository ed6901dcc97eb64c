package logql_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coldscope/coldscope/query/logql"
)

// queries are read and printed as want says, or as they are where it is empty.
var queries = []struct{ in, want string }{
	// Selectors.
	{`{a="x"}`, ``},
	{` { a = "x" , b != "y", c=~"r.e", d!~ "r|e", } `, `{a="x", b!="y", c=~"r.e", d!~"r|e"}`},
	{"{a=`x\\d\"`}", `{a="x\\d\""}`},
	{"{a=\"x\"} # all\n|= \"b\" # of them", `{a="x"} |= "b"`},
	{`({a="x"} |= "b")`, `{a="x"} |= "b"`},
	{`{by="x", json="y", sum="z"}`, ``},
	{`{a="\u00e9\n"}`, `{a="é\n"}`},
	{`{a!=""}`, ``},
	// Line filters.
	{`{a="x"} |= "1" != "2" |~ "3.*" !~ "4" |> "<_>5<_>" !> "6<_>"`, ``},
	{`{a="x"}|="1"or"2" or "3"!="4" or "5"`, `{a="x"} |= "1" or "2" or "3" != "4" or "5"`},
	{`{a="x"} |= ip("10.0.0.0/8") != ip("::1") |= "b" or ip("1.1.1.1-1.1.1.9")`, ``},
	{`{a="x"} |= ""`, ``},
	// Parsers.
	{`{a="x"} | json | logfmt | unpack`, ``},
	{"{a=\"x\"} | json b=\"c.d[0]\", e, f=`[\"g h\"].i`", `{a="x"} | json b="c.d[0]", e, f="[\"g h\"].i"`},
	{`{a="x"} | logfmt --strict --keep-empty b="c d", e`, ``},
	{`{a="x"} | logfmt --keep-empty --strict`, `{a="x"} | logfmt --strict --keep-empty`},
	{`{a="x"} | regexp "(?P<b>\\d+) (c)"`, ``},
	{`{a="x"} | pattern "<ip> - <_> <b>"`, ``},
	// Label filters.
	{`{a="x"} | b="1" | c!="2" | d=~"3" | e!~"4"`, ``},
	{`{a="x"} | b = 1 | c == 1.50 | d != -2 | e > 1e3 | f >= 16 | g < +3 | h <= .5`, `{a="x"} | b == 1 | c == 1.5 | d != -2 | e > 1000 | f >= 16 | g < 3 | h <= 0.5`},
	{`{a="x"} | b > 1.5s | c = 1h30m | d != 250ms | e < 7d | f >= 90s | g > 1w | h <= 5µs`, `{a="x"} | b > 1s500ms | c == 1h30m | d != 250ms | e < 7d | f >= 1m30s | g > 7d | h <= 5us`},
	{`{a="x"} | b > 20MB | c = 1KiB | d != 1.5kb | e < 42B | f >= 1GIB`, `{a="x"} | b > 20MB | c == 1KiB | d != 1500B | e < 42B | f >= 1GiB`},
	{`{a="x"} | b = ip("1.2.3.4") | c != ip("10.0.0.0/8")`, `{a="x"} | b=ip("1.2.3.4") | c!=ip("10.0.0.0/8")`},
	{`{a="x"} | b="1" and c="2" or d="3" and e="4"`, ``},
	{`{a="x"} | b="1", c="2" d="3" (e="4")`, `{a="x"} | b="1" and c="2" and d="3" and e="4"`},
	{`{a="x"} | (b="1" or c="2") and d="3"`, ``},
	{`{a="x"} | b="1" or (c="2" or d="3")`, ``},
	{`{a="x"} | b="1" and (c="2" and d="3")`, ``},
	{`{a="x"} | ((b="1"))`, `{a="x"} | b="1"`},
	{`{a="x"} | b="1" != "c"`, ``},
	{`{a="x"} | __error__="" | __error_details__=""`, ``},
	// Formats.
	{"{a=\"x\"} | line_format `{{.b}} {{ .c | upper }}`", `{a="x"} | line_format "{{.b}} {{ .c | upper }}"`},
	{`{a="x"} | label_format b=c, d="{{.e}}" | decolorize`, ``},
	{`{a="x"} | drop b, c="1", d=~"2" | keep e, f!="3"`, ``},
	// Range aggregations.
	{`count_over_time({a="x"}[5m])`, `count_over_time({a="x"} [5m])`},
	{`rate({a="x"} |= "b" [1h30m] offset 5m)`, ``},
	{`rate({a="x"} [5m] offset -5m)`, ``},
	{`bytes_rate({a="x"}[5m] |= "b" | json)`, `bytes_rate({a="x"} |= "b" | json [5m])`},
	{`bytes_over_time({a="x"}[5m] offset 1h |= "b")`, `bytes_over_time({a="x"} |= "b" [5m] offset 1h)`},
	{`rate(({a="x"} | json)[5m])`, `rate({a="x"} | json [5m])`},
	{`rate((({a="x"}[5m])))`, `rate({a="x"} [5m])`},
	{`absent_over_time({a="x"} [5m])`, ``},
	{`sum_over_time({a="x"} | json | unwrap b [5m])`, ``},
	{`rate({a="x"} | unwrap b [5m])`, ``},
	{`rate_counter({a="x"} | unwrap b [5m])`, ``},
	{`avg_over_time({a="x"} | unwrap duration(b) | __error__="" | c > 5 [5m]) by (c, d)`, ``},
	{`max_over_time(({a="x"} | unwrap bytes(b))[5m]) without (c)`, `max_over_time({a="x"} | unwrap bytes(b) [5m]) without (c)`},
	{`min_over_time({a="x"}[5m] | unwrap duration_seconds(b)) by ()`, `min_over_time({a="x"} | unwrap duration_seconds(b) [5m]) by ()`},
	{`quantile_over_time(0.99, {a="x"} | logfmt | unwrap b [1m]) by (c)`, ``},
	{`first_over_time({a="x"} | unwrap b [1m]) + last_over_time({a="x"} | unwrap b [1m])`, ``},
	{`stdvar_over_time({a="x"} | unwrap b [1m]) - stddev_over_time({a="x"} | unwrap b [1m])`, ``},
	{`count_over_time({a="x"} | drop __error__[5m])`, `count_over_time({a="x"} | drop __error__ [5m])`},
	// Vector aggregations.
	{`sum(rate({a="x"}[5m]))`, `sum(rate({a="x"} [5m]))`},
	{`sum by (level, detected_level) (count_over_time({a="x"} | drop __error__ [10s]))`, ``},
	{`sum(rate({a="x"} [5m])) without (b)`, `sum without (b) (rate({a="x"} [5m]))`},
	{`avg by () (rate({a="x"} [5m]))`, ``},
	{`count(min(max(stddev(stdvar(rate({a="x"} [5m]))))))`, ``},
	{`topk(5, rate({a="x"} [5m])) by (b)`, `topk by (b) (5, rate({a="x"} [5m]))`},
	{`bottomk by (b) (1, rate({a="x"} [5m]))`, ``},
	{`sort(sort_desc(approx_topk(3, rate({a="x"} [5m]))))`, ``},
	{`label_replace(rate({a="x"} [5m]), "b", "$1", "c", "(.*):.*")`, ``},
	// Operators.
	{`vector(1)+vector(1)`, `vector(1) + vector(1)`},
	{`1 + 2 * 3 ^ 4 ^ 5 - 6 / 7 % 8`, ``},
	{`(1 + 2) * 3`, ``},
	{`1 - (2 - 3)`, ``},
	{`(1 - 2) - 3`, `1 - 2 - 3`},
	{`(1 ^ 2) ^ 3`, ``},
	{`1 ^ (2 ^ 3)`, `1 ^ 2 ^ 3`},
	{`-1 - -2`, ``},
	{`1-1`, `1 - 1`},
	{`1e3 - 1E-3`, `1000 - 0.001`},
	{`vector(1) > bool 0 == 1`, ``},
	{`vector(1) or vector(2) and vector(3) unless vector(4) > 1`, ``},
	{`(vector(1) or vector(2)) and vector(3)`, ``},
	{`rate({a="x"}[1m]) / on(b) group_left(c) rate({a="y"}[1m])`, `rate({a="x"} [1m]) / on (b) group_left (c) rate({a="y"} [1m])`},
	{`sum(rate({a="x"} [1m])) > ignoring (b, c) group_right () rate({a="y"} [1m])`, ``},
	{`rate({a="x"} [1m]) * on () group_left (rate({a="y"} [1m]))`, `rate({a="x"} [1m]) * on () group_left () rate({a="y"} [1m])`},
	{`rate({a="x"} [1m]) >= bool on (b) vector(1)`, ``},
	{`rate({a="x"} [1m]) and ignoring () vector(1)`, ``},
}

var ignorePositions = cmp.Options{
	cmpopts.IgnoreTypes(logql.Pos{}),
	cmpopts.IgnoreUnexported(logql.Matcher{}),
	cmpopts.IgnoreFields(logql.LineMatch{}, "Regexp"),
	cmpopts.IgnoreFields(logql.RegexpParser{}, "Regexp"),
	cmpopts.EquateEmpty(),
}

func TestParse(t *testing.T) {
	for _, q := range queries {
		e, err := logql.Parse(q.in)
		if err != nil {
			t.Errorf("%s: %v", q.in, err)
			continue
		}
		want := q.want
		if want == "" {
			want = q.in
		}
		if got := e.String(); got != want {
			t.Errorf("%s\nis  %s\nnot %s", q.in, got, want)
		}
		again, err := logql.Parse(want)
		if err != nil {
			t.Errorf("%s: %v", want, err)
		} else if diff := cmp.Diff(e, again, ignorePositions); diff != "" {
			t.Errorf("%s is not what it prints (-parsed +printed and parsed):\n%s", q.in, diff)
		}
	}
}

func TestTree(t *testing.T) {
	log := func(stages ...logql.Stage) *logql.LogExpr {
		m, err := logql.NewMatcher("a", logql.MatchEqual, "x")
		if err != nil {
			t.Fatal(err)
		}
		return &logql.LogExpr{Matchers: []*logql.Matcher{m}, Pipeline: stages}
	}
	for query, want := range map[string]logql.Expr{
		`{a="x"} != "b" or ip("1.1.1.1")`: log(&logql.LineFilter{Op: logql.LineNotContains, Alternatives: []*logql.LineMatch{{Value: "b"}, {Value: "1.1.1.1", IP: true}}}),
		`{a="x"} |> "b <_>"`: log(&logql.LineFilter{Op: logql.LinePattern, Alternatives: []*logql.LineMatch{
			{Value: "b <_>", Pattern: logql.Pattern{{Literal: "b "}, {}}},
		}}),
		`{a="x"} | json b="c[1].d"`: log(&logql.JSONParser{Fields: []*logql.Extraction{
			{Name: "b", Expr: "c[1].d", Path: []logql.PathElem{{Key: "c", IsKey: true}, {Index: 1}, {Key: "d", IsKey: true}}},
		}}),
		`{a="x"} | pattern "<b>:<_>"`: log(&logql.PatternParser{Value: "<b>:<_>", Pattern: logql.Pattern{{Name: "b"}, {Literal: ":"}, {}}}),
		`{a="x"} | b > 1m or c = 2KB, d < 3`: log(&logql.LabelFilterStage{Filter: &logql.OrFilter{
			Left: &logql.DurationFilter{Name: "b", Op: logql.CompareGreater, Value: time.Minute},
			Right: &logql.AndFilter{
				Left:  &logql.BytesFilter{Name: "c", Value: 2000},
				Right: &logql.NumberFilter{Name: "d", Op: logql.CompareLess, Value: 3},
			},
		}}),
		`1 - 2 ^ 3 - 4`: &logql.BinaryExpr{
			Op:    logql.OpSub,
			Left:  &logql.BinaryExpr{Op: logql.OpSub, Left: &logql.Number{Value: 1}, Right: &logql.BinaryExpr{Op: logql.OpPow, Left: &logql.Number{Value: 2}, Right: &logql.Number{Value: 3}}},
			Right: &logql.Number{Value: 4},
		},
		`topk(2, quantile_over_time(.5, {a="x"} | unwrap duration(b) | c="1" [1d] offset 1h)) by (d)`: &logql.VectorAggregation{
			Op: logql.TopK, Param: 2, Grouping: &logql.Grouping{Labels: []string{"d"}},
			Expr: &logql.RangeAggregation{Op: logql.QuantileOverTime, Param: 0.5, Range: &logql.LogRange{
				Log: log(), Range: 24 * time.Hour, Offset: time.Hour,
				Unwrap: &logql.Unwrap{Label: "b", Conversion: logql.ConvertDuration, Filters: []logql.LabelFilter{
					&logql.StringFilter{Matcher: &logql.Matcher{Name: "c", Value: "1"}},
				}},
			}},
		},
	} {
		got, err := logql.Parse(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
		} else if diff := cmp.Diff(want, got, ignorePositions); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
}

func TestPositions(t *testing.T) {
	e, err := logql.Parse("sum(\n  rate({a=\"é\"} | json |= \"b\" [5m])) > 2")
	if err != nil {
		t.Fatal(err)
	}
	compared := e.(*logql.BinaryExpr)
	log := compared.Left.(*logql.VectorAggregation).Expr.(*logql.RangeAggregation).Range.Log
	for _, c := range []struct {
		node interface{ Position() logql.Pos }
		want logql.Pos
	}{
		{compared, logql.Pos{1, 1}},
		{log, logql.Pos{2, 8}},
		{log.Matchers[0], logql.Pos{2, 9}},
		{log.Pipeline[0], logql.Pos{2, 16}},
		{log.Pipeline[1], logql.Pos{2, 23}},
		{compared.Right, logql.Pos{2, 39}},
	} {
		if got := c.node.Position(); got != c.want {
			t.Errorf("%v is at %v, not %v", c.node, got, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	empty := `parse error : queries require at least one regexp or equality matcher that does not have an empty-compatible value. ` +
		`For instance, app=~".*" does not meet this requirement, but app=~".+" will`
	for query, want := range map[string]string{
		``:                                    `parse error at line 1, col 1: syntax error: unexpected $end`,
		`{}`:                                  empty,
		`{a=~".*"}`:                           empty,
		`{a!="x"}`:                            empty,
		`{a=b}`:                               `parse error at line 1, col 4: syntax error: unexpected IDENTIFIER, expecting STRING`,
		`{a`:                                  `parse error at line 1, col 3: syntax error: unexpected $end, expecting = or =~ or !~ or !=`,
		`{,}`:                                 `parse error at line 1, col 2: syntax error: unexpected ,, expecting IDENTIFIER or }`,
		`{a="x"`:                              `parse error at line 1, col 7: syntax error: unexpected $end, expecting , or }`,
		`{a="x}`:                              `parse error at line 1, col 4: literal not terminated`,
		`{a="\x"}`:                            `parse error at line 1, col 4: invalid escape in string "\x"`,
		`{a=~"("}`:                            "parse error at line 1, col 5: regular expression of label a: error parsing regexp: missing closing ): `^(?s:()$`",
		"{a=\"x\"}\n |= 5":                    `parse error at line 2, col 5: syntax error: unexpected NUMBER, expecting STRING`,
		`{a="x"} | by`:                        `parse error at line 1, col 13: syntax error: unexpected $end, expecting = or != or =~ or !~ or == or > or >= or < or <=`,
		`{a="x"} |= "b" "c"`:                  `parse error at line 1, col 16: syntax error: unexpected STRING`,
		`{a="x"} | unwrap b`:                  `parse error at line 1, col 11: syntax error: unexpected unwrap`,
		`{a="x"} | json b="c..d"`:             `parse error at line 1, col 18: cannot parse expression [c..d]: a key is missing`,
		`{a="x"} | logfmt --loose`:            `parse error at line 1, col 18: unknown flag --loose, expecting --strict or --keep-empty`,
		`{a="x"} | regexp "a"`:                `parse error at line 1, col 18: at least one named capture must be supplied`,
		`{a="x"} | regexp "(?P<b>c)(?P<b>d)"`: `parse error at line 1, col 18: duplicate extracted label name 'b'`,
		`{a="x"} | pattern "<_>"`:             `parse error at line 1, col 19: invalid pattern: at least one capture is required`,
		`{a="x"} | pattern "<b><c>"`:          `parse error at line 1, col 19: invalid pattern: found consecutive capture '<b><c>': a text has to be between two captures`,
		`{a="x"} |> "<b>"`:                    `parse error at line 1, col 12: a pattern of a line filter has no named captures, <_> alone`,
		`{a="x"} |= ip("nowhere")`:            `parse error at line 1, col 15: ip: "nowhere" is no address, range of addresses or CIDR prefix`,
		`{a="x"} | b = 5x`:                    `parse error at line 1, col 15: syntax error: "5x" is no number, duration or size`,
		`{a="x"} | label_format b=c, b=d`:     `parse error at line 1, col 29: multiple label name 'b' not allowed in a single format operation`,
		`rate({a="x"})`:                       `parse error at line 1, col 13: syntax error: unexpected ), expecting RANGE`,
		`rate({a="x"}[5])`:                    `parse error at line 1, col 14: syntax error: unexpected NUMBER, expecting DURATION`,
		`rate({a="x"}[0s])`:                   `parse error at line 1, col 14: a range has to be longer than 0s`,
		`sum({a="x"})`:                        `parse error at line 1, col 5: syntax error: a log query is no metric query: {a="x"}`,
		`sum({a="x"}[5m])`:                    `parse error at line 1, col 12: syntax error: unexpected [`,
		`sum_over_time({a="x"}[5m])`:          `parse error : invalid aggregation sum_over_time without unwrap`,
		`count_over_time({a="x"} | unwrap b [5m])`:      `parse error : invalid aggregation count_over_time with unwrap`,
		`sum_over_time({a="x"} | unwrap b [5m]) by (c)`: `parse error : grouping not allowed for sum_over_time aggregation`,
		`avg_over_time({a="x"} | unwrap b | json [5m])`: `parse error at line 1, col 34: syntax error: only label filters may follow unwrap`,
		`quantile_over_time({a="x"} | unwrap b [5m])`:   `parse error at line 1, col 1: parameter required for operation quantile_over_time`,
		`rate(5, {a="x"}[5m])`:                          `parse error at line 1, col 6: parameter 5 not supported for operation rate`,
		`topk(rate({a="x"}[5m]))`:                       `parse error at line 1, col 1: parameter required for operation topk`,
		`topk(0, rate({a="x"}[5m]))`:                    `parse error at line 1, col 6: invalid parameter (must be greater than 0) topk(0`,
		`sum(5, rate({a="x"}[5m]))`:                     `parse error at line 1, col 5: unsupported parameter for operation sum(5,`,
		`sort by (a) (vector(1))`:                       `parse error at line 1, col 6: grouping not allowed for sort aggregation`,
		`1 and vector(1)`:                               `parse error at line 1, col 3: unexpected literal for left leg of logical/set binary operation (and): 1`,
		`vector(1) + bool 1`:                            `parse error at line 1, col 13: bool modifier can only be used on comparison operators`,
		`vector(1) + on (a) 1`:                          `parse error at line 1, col 11: vector matching only allowed between vectors: the right side of + is 1`,
		`vector(1) or on (a) group_left () vector(1)`:   `parse error at line 1, col 21: no grouping allowed for set operations`,
		`{a="x"} + 1`:                                   `parse error at line 1, col 9: syntax error: unexpected +`,
		`1 + {a="x"}`:                                   `parse error at line 1, col 12: syntax error: unexpected $end`,
		`label_replace(vector(1), "a", "$1", "b", "(")`: "parse error at line 1, col 42: invalid regex in label_replace: error parsing regexp: missing closing ): `^(?s:()$`",
		`label_replace(vector(1), "a-b", "", "", "")`:   `parse error at line 1, col 26: invalid destination label name in label_replace: "a-b"`,
		`foo`:       `parse error at line 1, col 1: syntax error: unexpected IDENTIFIER`,
		`{a="x"} ;`: `parse error at line 1, col 9: syntax error: unexpected character ';'`,
		`{a="` + strings.Repeat("x", 1<<17) + `"}`:                     `parse error : input size too long (131078 > 131072)`,
		strings.Repeat("(", 2000) + "1" + strings.Repeat(")", 2000):    `parse error at line 1, col 1001: more than 1000 operators and parentheses`,
		"1" + strings.Repeat("+1", 2000):                               `parse error at line 1, col 2002: more than 1000 operators and parentheses`,
		`{a="x"} | ` + strings.Repeat("b=1 ", 2000):                    `parse error at line 1, col 4015: more than 1000 operators and parentheses`,
		strings.Repeat("sum(", 2000) + "1" + strings.Repeat(")", 2000): `parse error at line 1, col 4001: more than 1000 operators and parentheses`,
		"rate(" + strings.Repeat("(", 2000) + "1":                      `parse error at line 1, col 1005: more than 1000 operators and parentheses`,
	} {
		e, err := logql.Parse(query)
		if err == nil {
			t.Errorf("%.100s is %s", query, e)
		} else if err.Error() != want {
			t.Errorf("%.100s\nis  %s\nnot %s", query, err, want)
		}
	}
}

func TestParseMatchers(t *testing.T) {
	for selector, want := range map[string]int{`{}`: 0, `{a="b",}`: 1, `{a="b", c!=""}`: 2} {
		if m, err := logql.ParseMatchers(selector); err != nil || len(m) != want {
			t.Errorf("%s: %v, %v", selector, m, err)
		}
	}
	if m, err := logql.ParseMatchers(`{a="b"} |= "c"`); err == nil {
		t.Errorf("%v", m)
	}
	if e, err := logql.ParseLog(`vector(1)`); err == nil {
		t.Errorf("%v", e)
	}
}

func TestMatcher(t *testing.T) {
	for _, c := range []struct {
		op    logql.MatchOp
		value string
		is    string
		want  bool
	}{
		{logql.MatchEqual, "a", "a", true},
		{logql.MatchEqual, "a", "b", false},
		{logql.MatchNotEqual, "a", "", true},
		{logql.MatchRegexp, "a|b", "b", true},
		{logql.MatchRegexp, "a|b", "ab", false},
		{logql.MatchRegexp, "a.b", "a\nb", true},
		{logql.MatchNotRegexp, "a.*", "ab", false},
		{logql.MatchNotRegexp, "a.*", "", true},
	} {
		m, err := logql.NewMatcher("l", c.op, c.value)
		if err != nil {
			t.Fatal(err)
		}
		if got, got2 := m.Matches(c.is), m.MatchesBytes([]byte(c.is)); got != c.want || got2 != c.want {
			t.Errorf("%s of %q: %t, %t", m, c.is, got, got2)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, q := range queries {
		f.Add(q.in)
	}
	f.Fuzz(func(t *testing.T, query string) {
		e, err := logql.Parse(query)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "parse error ") {
				t.Fatalf("%q: %v", query, err)
			}
			return
		}
		printed := e.String()
		again, err := logql.Parse(printed)
		if err != nil {
			if len(printed) > 128<<10 || strings.Contains(err.Error(), "more than") {
				return // parentheses and escapes have made it longer
			}
			t.Fatalf("%q is printed %q: %v", query, printed, err)
		}
		if diff := cmp.Diff(e, again, ignorePositions, cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("%q is printed %q (-parsed +printed and parsed):\n%s", query, printed, diff)
		}
		if twice := again.String(); twice != printed {
			t.Fatalf("%q is printed %q and then %q", query, printed, twice)
		}
	})
}

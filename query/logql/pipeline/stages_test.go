package pipeline

import (
	"strings"
	"testing"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
)

func stagesOf(t testing.TB, query string) []logql.Stage {
	t.Helper()
	e, err := logql.Parse(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return e.(*logql.LogExpr).Pipeline
}

// set reads a="1",b="2".
func set(t testing.TB, tab *labels.Table, s string) *labels.Set {
	t.Helper()
	var ls []labels.Label
	for m := range strings.FieldsSeq(s) {
		n, v, ok := strings.Cut(m, "=")
		if !ok {
			t.Fatalf("no label: %s", m)
		}
		ls = append(ls, labels.Label{Name: n, Value: v})
	}
	return tab.Of(ls...)
}

// shown is an entry as cases have it: body, and the sets that are not empty.
func shown(e Entry) string {
	out := []string{e.Body}
	for _, c := range []struct {
		mark string
		set  *labels.Set
	}{{"S", e.Stream}, {"M", e.Metadata}, {"P", e.Parsed}} {
		if c.set.Len() > 0 {
			out = append(out, c.mark+c.set.String())
		}
	}
	return strings.Join(out, " ")
}

// TestStages: each case is a line of the stream app=web, with metadata id=7, put
// through stages. Stream and metadata are only shown where they are changed.
func TestStages(t *testing.T) {
	for _, c := range []struct {
		stages, line, want string // want "-": the line is dropped
	}{
		// Line filters.
		{`|= "err"`, `an error`, `an error`},
		{`|= "err"`, `an Error`, `-`},
		{`|= "x" or "err"`, `an error`, `an error`},
		{`|= "x" or "y"`, `an error`, `-`},
		{`|= ""`, `an error`, `an error`},
		{`!= "err"`, `an error`, `-`},
		{`!= "x" or "err"`, `an error`, `-`},
		{`!= "x" or "y"`, `an error`, `an error`},
		{`|~ "e.+r"`, `an error`, `an error`},
		{`|~ "^e.+r"`, `an error`, `-`},
		{`|~ "(?i)ERROR"`, `an error`, `an error`},
		{`|~ "warn|err"`, `an error`, `an error`},
		{`|~ "warn|inf"`, `an error`, `-`},
		{`|~ "a.*c"`, "a\nb\nc", "a\nb\nc"},
		{`!~ "e.+r"`, `an error`, `-`},
		{`!~ "x.+r"`, `an error`, `an error`},
		{`|> "<_>err<_>"`, `an error`, `an error`},
		{`|> "an <_>"`, `an error`, `an error`},
		{`|> "err<_>"`, `an error`, `-`},
		{`|> "<_>r"`, `an error`, `an error`},
		{`|> "<_>ro"`, `an error`, `-`},
		{`|> "an error"`, `an error`, `an error`},
		{`|> "an<_>error"`, `an error`, `an error`},
		{`|> "an err<_>ror"`, `an error`, `-`},
		{`!> "<_>err<_>"`, `an error`, `-`},
		{`!> "<_>warn<_>"`, `an error`, `an error`},
		{`|= ip("10.0.0.0/8")`, `from 10.1.2.3:80`, `from 10.1.2.3:80`},
		{`|= ip("10.0.0.0/8")`, `from 110.1.2.3`, `-`},
		{`!= ip("10.0.0.0/8")`, `from 10.1.2.3.`, `-`},
		{`|= ip("192.168.4.5-192.168.4.20")`, `a 192.168.4.6, b`, `a 192.168.4.6, b`},
		{`|= ip("2001:db8::/32")`, `from [2001:db8::1]:80`, `from [2001:db8::1]:80`},

		// json.
		{`| json`, `{"a.b":{"c":"d"},"e":"f"}`, `{"a.b":{"c":"d"},"e":"f"} P{a_b_c="d", e="f"}`},
		{
			`| json`, `{"n":1.50,"t":true,"z":null,"l":[1,{"x":2}],"s":"","u":"\u00e4\n"}`,
			`{"n":1.50,"t":true,"z":null,"l":[1,{"x":2}],"s":"","u":"\u00e4\n"} P{n="1.50", s="", t="true", u="ä\n"}`,
		},
		{`| json`, `{"app":"x","id":"y"}`, `{"app":"x","id":"y"} P{app_extracted="x", id_extracted="y"}`},
		{`| json`, `{"a":1,"a":2,"1x":3,"q-r":4,"ä":5," p ":6}`, `{"a":1,"a":2,"1x":3,"q-r":4,"ä":5," p ":6} P{_="5", _1x="3", a="1", p="6", q_r="4"}`},
		{`| json`, `{"a":{"1":2}}`, `{"a":{"1":2}} P{a_1="2"}`},
		{`| json | json`, `{"a":1}`, `{"a":1} P{a="1"}`},
		{`| json`, `plain`, `plain P{__error__="JSONParserErr", __error_details__="the line is no JSON object"}`},
		{`| json`, `{"a":1,"b"}`, `{"a":1,"b"} P{__error__="JSONParserErr", __error_details__="no colon after a key at byte 10", a="1"}`},
		{`| json`, `{"__error__":"x","a":1}`, `{"__error__":"x","a":1} P{a="1"}`},
		{`| logfmt`, `__error__=x __error_details__=y`, `__error__=x __error_details__=y`},
		{`| json`, `{"a":1} x`, `{"a":1} x P{__error__="JSONParserErr", __error_details__="text after the value at byte 8", a="1"}`},
		{`| json`, `[1]`, `[1] P{__error__="JSONParserErr", __error_details__="the line is no JSON object"}`},
		{
			`| json s="servers[0]", ua="h[\"User-Agent\"]", h, none="x.y", n="n"`, `{"servers":["a","b"],"h":{"User-Agent":"c\"u"},"n":null}`,
			`{"servers":["a","b"],"h":{"User-Agent":"c\"u"},"n":null} P{h="{\"User-Agent\":\"c\\\"u\"}", n="", none="", s="a", ua="c\"u"}`,
		},
		{`| json l="servers", d="a.b[1].c"`, `{"servers":["a", "b"],"a":{"b":[0,{"c":7}]}}`, `{"servers":["a", "b"],"a":{"b":[0,{"c":7}]}} P{d="7", l="[\"a\", \"b\"]"}`},
		{`| json app="a"`, `{"a":1}`, `{"a":1} P{app_extracted="1"}`},
		{`| json x="a"`, `nope`, `nope P{__error__="JSONParserErr", __error_details__="the line is no JSON object", x=""}`},

		// logfmt.
		{`| logfmt`, `at=info path="/a b" d=8ms e= f 1x=2 a.b=3`, `at=info path="/a b" d=8ms e= f 1x=2 a.b=3 P{_1x="2", a_b="3", at="info", d="8ms", path="/a b"}`},
		{`| logfmt --keep-empty`, `a=1 e= f`, `a=1 e= f P{a="1", e="", f=""}`},
		{`| logfmt`, `a=1 a=2 =v foo=bar=buzz fo"o=bar b=3`, `a=1 a=2 =v foo=bar=buzz fo"o=bar b=3 P{a="1", b="3"}`},
		{`| logfmt --strict`, `a=1 foo=bar=buzz b=3`, `a=1 foo=bar=buzz b=3 P{__error__="LogfmtParserErr", __error_details__="unexpected = in a value at byte 11", a="1"}`},
		{`| logfmt`, `a="C:\path" b="x'y\'" c=1`, `a="C:\path" b="x'y\'" c=1 P{b="x'y'", c="1"}`},
		{`| logfmt --strict`, `a="\q" b=1`, `a="\q" b=1 P{__error__="LogfmtParserErr", __error_details__="unknown escape at byte 3"}`},
		{`| logfmt --strict`, `a="open`, `a="open P{__error__="LogfmtParserErr", __error_details__="quoted value without an end at byte 7"}`},
		{`| logfmt`, `a="x \"y\" \u00e4" app=z`, `a="x \"y\" \u00e4" app=z P{a="x \"y\" ä", app_extracted="z"}`},
		{`| logfmt host, ip="fwd", none="x"`, `host=h fwd="1.2.3.4" other=o`, `host=h fwd="1.2.3.4" other=o P{host="h", ip="1.2.3.4", none=""}`},

		// regexp, pattern, unpack.
		{"| regexp `(?P<method>\\w+) (?P<path>[\\w/]+) \\((?P<status>\\d+?)\\)`", `POST /api (200) 1.5s`, `POST /api (200) 1.5s P{method="POST", path="/api", status="200"}`},
		{"| regexp `(?P<app>a)(?P<o>b)?`", `xa`, `xa P{app_extracted="a", o=""}`},
		{"| regexp `(?P<n>\\d+)`", `none`, `none`},
		{"| pattern `<ip> - <_> \"<method> <uri> <_>\" <status>`", `1.2.3.4 - - "GET /x HTTP/1.1" 200`, `1.2.3.4 - - "GET /x HTTP/1.1" 200 P{ip="1.2.3.4", method="GET", status="200", uri="/x"}`},
		{"| pattern `<_> msg=\"<method> <path>\"`", `level=debug msg="POST /x"`, `level=debug msg="POST /x" P{method="POST", path="/x"}`},
		{"| pattern `[<a>] <b>: <c>`", `[x] y`, `[x] y P{a="x", b="y"}`},
		{"| pattern `[<a>]`", `(x) y`, `(x) y`},
		{`| unpack`, `{"container":"c","app":"z","n":1,"_entry":"the \"line\""}`, `the "line" P{app_extracted="z", container="c"}`},
		{`| unpack`, `{"container":"c"}`, `{"container":"c"}`},
		{`| unpack`, `x`, `x P{__error__="JSONParserErr", __error_details__="the line is no JSON object"}`},

		// Label filters.
		{`| app="web"`, `x`, `x`},
		{`| app!="web"`, `x`, `-`},
		{`| app=~"w.*"`, `x`, `x`},
		{`| app=~"e"`, `x`, `-`},
		{`| id!~"8|9"`, `x`, `x`},
		{`| none!="a"`, `x`, `x`},
		{`| none=""`, `x`, `x`},
		{`| id>6`, `x`, `x`},
		{`| id>=7.5`, `x`, `-`},
		{`| id==7`, `x`, `x`},
		{`| id!=7`, `x`, `-`},
		{`| none>6`, `x`, `-`},
		{`| app>6`, `x`, `x P{__error__="LabelFilterErr", __error_details__="strconv.ParseFloat: parsing \"web\": invalid syntax"}`},
		{`| logfmt | d > 1m`, `d=90s`, `d=90s P{d="90s"}`},
		{`| logfmt | d < 1m`, `d=1h30m`, `-`},
		{`| logfmt | d <= 250ms`, `d=0.25s`, `d=0.25s P{d="0.25s"}`},
		{`| logfmt | s > 20MB`, `s="21 MB"`, `s="21 MB" P{s="21 MB"}`},
		{`| logfmt | s < 1KiB`, `s=1kb`, `s=1kb P{s="1kb"}`},
		{`| logfmt | s = 1.5KiB`, `s=1536`, `s=1536 P{s="1536"}`},
		{`| logfmt | s > 1B`, `s=x`, `s=x P{__error__="LabelFilterErr", __error_details__="strconv.ParseFloat: parsing \"\": invalid syntax", s="x"}`},
		{`| logfmt | a = ip("192.168.4.5/16") | a != ip("192.168.4.2")`, `a=192.168.9.9`, `a=192.168.9.9 P{a="192.168.9.9"}`},
		{`| logfmt | a = ip("192.168.4.5/16") | a != ip("192.168.4.2")`, `a=192.168.4.2`, `-`},
		{`| logfmt | (d > 1h or m="GET") and s = 200`, `d=1s m=GET s=200`, `d=1s m=GET s=200 P{d="1s", m="GET", s="200"}`},
		{`| logfmt | (d > 1h or m="GET") and s = 200`, `d=2h m=GET s=100`, `-`},
		{`| logfmt | d > 1h or (m="GET" and s = 200)`, `d=2h m=PUT s=100`, `d=2h m=PUT s=100 P{d="2h", m="PUT", s="100"}`},
		{`| logfmt | d > 1s, m="GET"`, `d=2s m=PUT`, `-`},
		{`| logfmt | s > 1B`, `s=2,048`, `s=2,048 P{s="2,048"}`},
		{`| logfmt | s > 1B`, `s=2zB`, `s=2zB P{__error__="LabelFilterErr", __error_details__="\"2zB\" is no size", s="2zB"}`},
		{`| json | x > 5`, `plain`, `-`},
		{`| json | id > 5`, `plain`, `plain P{__error__="JSONParserErr", __error_details__="the line is no JSON object"}`},
		{`| json | id > 8`, `plain`, `-`},
		{`| json | app > 8`, `plain`, `plain P{__error__="JSONParserErr", __error_details__="the line is no JSON object"}`},
		{`| json | x = ip("1.2.3.4")`, `plain`, `plain P{__error__="JSONParserErr", __error_details__="the line is no JSON object"}`},
		{`| json | __error__ > 0`, `plain`, `-`},
		{`| json | __error__=""`, `plain`, `-`},
		{`| json | __error__!=""`, `{"a":1}`, `-`},
		{`| json | __error__="JSONParserErr" | drop __error__`, `plain`, `plain P{__error_details__="the line is no JSON object"}`},
		{`| json | drop __error__, __error_details__`, `plain`, `plain`},

		// Formats.
		{`| line_format "{{.app}} {{.id}} {{.none}}-{{__line__}}"`, `x`, `web 7 -x`},
		{`| logfmt | line_format "{{.query | upper}} {{div .d 1000}}"`, `query=q d=3000`, `Q 3 P{d="3000", query="q"}`},
		{`| line_format "{{.app}}" | line_format "{{__line__}}!"`, `x`, `web!`},
		{`| label_format b="{{__line__}}"`, `x`, `x P{b="x"}`},
		{`| line_format "{{div 1 0}}"`, `x`, `x P{__error__="TemplateFormatErr", __error_details__="error calling div: division by zero"}`},
		{`| line_format "{{range 1000000000}}{{end}}"`, `x`, `x P{__error__="TemplateFormatErr", __error_details__="error calling __tick__: ranges go over too many elements"}`},
		{`| line_format "{{range $i, $q := fromJson __line__}}{{$i}}{{$q}},{{end}}"`, `[1,"b"]`, `01,1b,`},
		{`| line_format "{{if contains \"rr\" __line__}}yes{{else}}no{{end}}"`, `error`, `yes`},
		{`| line_format "{{with .app}}{{.}}{{end}}{{$.id}}"`, `error`, `web7`},
		{`| line_format "{{range $k, $v := .}}{{$k}}={{$v}};{{end}}"`, `x`, `app=web;id=7;`},
		{`| label_format app2=app`, `x`, `x S{} P{app2="web"}`},
		{`| label_format b="{{.app}}-{{.id}}"`, `x`, `x P{b="web-7"}`},
		{`| label_format app="{{.id}}"`, `x`, `x S{} P{app="7"}`},
		{`| label_format a=id, c="{{.a}}", d="{{.c}}"`, `x`, `x M{} P{a="7", c="7", d=""}`},
		{`| label_format a=none`, `x`, `x`},
		{`| decolorize`, "\x1b[31mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\a \x1b(B.", `red link .`},
		{`| logfmt | drop a, b="2", c=~"x.*"`, `a=1 b=2 c=y d=4`, `a=1 b=2 c=y d=4 P{c="y", d="4"}`},
		{`| drop app`, `x`, `x S{}`},
		{`| drop app | json`, `{"app":1}`, `{"app":1} S{} P{app="1"}`},
		{`| logfmt | keep a, b="2"`, `a=1 b=3`, `a=1 b=3 S{} M{} P{a="1"}`},
		{`| json | keep app`, `x`, `x M{} P{__error__="JSONParserErr", __error_details__="the line is no JSON object"}`},
		{`| json | line_format "{{.m}}" | logfmt`, `{"m":"a=1 b=2"}`, `a=1 b=2 P{a="1", b="2", m="a=1 b=2"}`},
	} {
		tab := labels.NewTable()
		p, err := New(stagesOf(t, `{app="web"} `+c.stages), tab)
		if err != nil {
			t.Errorf("%s: %v", c.stages, err)
			continue
		}
		l := Line{Time: 1, Body: c.line, Stream: set(t, tab, "app=web"), Metadata: set(t, tab, "id=7")}
		// Twice: nothing is left over from a line.
		for range 2 {
			got := "-"
			if e, kept := p.Process(l); kept {
				got = e.Body
				if e.Stream != l.Stream {
					got += " S" + e.Stream.String()
				}
				if e.Metadata != l.Metadata {
					got += " M" + e.Metadata.String()
				}
				if e.Parsed.Len() > 0 {
					got += " P" + e.Parsed.String()
				}
			}
			if got != c.want {
				t.Errorf("%s on %q:\n got %s\nwant %s", c.stages, c.line, got, c.want)
			}
		}
	}
}

// TestBadStages: what is wrong with a query is known before the first line.
func TestBadStages(t *testing.T) {
	for _, stages := range []string{
		`| line_format "{{.a"`,
		`| line_format "{{nope}}"`,
		`| line_format "{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}"`,
		`| label_format a="{{.a"`,
		`|= ip("10.0.0.0/99")`,
		`| a = ip("b-c")`,
	} {
		e, err := logql.Parse(`{app="web"} ` + stages)
		if err != nil {
			continue // The parser knows already.
		}
		if _, err := New(e.(*logql.LogExpr).Pipeline, labels.NewTable()); err == nil {
			t.Errorf("%s: no error", stages)
		}
	}
}

// TestMetadataOfAStreamsName: metadata does not hide the stream's labels.
func TestMetadataOfAStreamsName(t *testing.T) {
	tab := labels.NewTable()
	p, err := New(stagesOf(t, `{app="web"} | app="web" | app_extracted="m"`), tab)
	if err != nil {
		t.Fatal(err)
	}
	e, kept := p.Process(Line{Body: "x", Stream: set(t, tab, "app=web"), Metadata: set(t, tab, "app=m")})
	if got, want := shown(e), `x S{app="web"} M{app_extracted="m"}`; !kept || got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

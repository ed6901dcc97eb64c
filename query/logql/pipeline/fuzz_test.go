package pipeline

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-logfmt/logfmt"

	"github.com/coldscope/coldscope/query/logql/labels"
)

// flat is what json makes of a document, by way of encoding/json.
func flat(doc string) (map[string]string, bool) {
	if !json.Valid([]byte(doc)) {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(doc))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	out := map[string]string{}
	return out, flatten(d, nil, out)
}

// flatten reads an object from behind its brace on.
func flatten(d *json.Decoder, prefix []byte, out map[string]string) bool {
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return false
		}
		name := bytes.Clone(prefix)
		if len(name) > 0 {
			name = append(name, '_')
		}
		name = appendKey(name, key.(string))
		value, err := d.Token()
		if err != nil {
			return false
		}
		text := ""
		switch v := value.(type) {
		case json.Delim:
			if v == '{' {
				if !flatten(d, name, out) {
					return false
				}
			} else if !pass(d) {
				return false
			}
			continue
		case string:
			text = v
		case json.Number:
			text = v.String()
		case bool:
			text = strconv.FormatBool(v)
		case nil:
			continue
		}
		if _, ok := out[string(name)]; !ok && len(name) > 0 && len(name) <= maxName {
			out[string(name)] = text
		}
	}
	_, err := d.Token()
	return err == nil
}

// pass reads the rest of an array.
func pass(d *json.Decoder) bool {
	for depth := 1; depth > 0; {
		t, err := d.Token()
		if err != nil {
			return false
		}
		switch t {
		case json.Delim('['), json.Delim('{'):
			depth++
		case json.Delim(']'), json.Delim('}'):
			depth--
		}
	}
	return true
}

// FuzzJSON: a line is taken for JSON if and only if encoding/json does so, and
// has the same labels then.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":1}`, `{"a":{"b":{"c":"d"}},"e":[1,{"f":"g"},[]],"h":null,"i":true}`, `{"a":"\ud83d\ude00 \ud83d x \u00e4\\\/"}`,
		`{"a":-0.1e+5,"a":2}`, `{"":{"":1},"1":{"2":3}," ":4}`, `{"a":01}`, `{"a":1,}`, `[]`, `{"a":"` + "\x01" + `"}`, `{"a" : 1 } `, `{"a":1}x`, `{"ä":"ö"}`,
	} {
		f.Add(s)
	}
	p, err := New(stagesOf(f, `{app="web"} | json`), labels.NewTable())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		if !utf8.ValidString(doc) {
			t.Skip("encoding/json replaces what is not UTF-8, a line keeps it")
		}
		e, kept := p.Process(Line{Body: doc})
		if !kept || e.Body != doc {
			t.Fatalf("line %q became %q", doc, e.Body)
		}
		want, valid := flat(doc)
		if got := e.Parsed.Get(ErrorLabel); (got == "") != valid {
			t.Fatalf("%q: valid %t, error %q %q", doc, valid, got, e.Parsed.Get(DetailsLabel))
		}
		if !valid {
			return
		}
		delete(want, ErrorLabel) // Errors are not given by a line.
		delete(want, DetailsLabel)
		got := e.Parsed.Map()
		delete(got, DetailsLabel)
		if len(got) != len(want) {
			t.Fatalf("%q: got %v, want %v", doc, got, want)
		}
		for k, v := range want {
			if got[k] != v {
				t.Fatalf("%q: got %v, want %v", doc, got, want)
			}
		}
	})
}

// FuzzLogfmt: of a line that go-logfmt reads whole, strict parsing gives the
// same pairs.
func FuzzLogfmt(f *testing.F) {
	for _, s := range []string{
		`a=1 b="x y" c= d e="\"\\\n\u00e4"`, `=v`, `a=b=c`, `a"=1`, `a="x`, `a="x"y`, "a=1\tb=2\nc=3", `a="" a=2`, `ä=ö`, `a="\x"`,
	} {
		f.Add(s)
	}
	p, err := New(stagesOf(f, `{app="web"} | logfmt --strict --keep-empty`), labels.NewTable())
	if err != nil {
		f.Fatal(err)
	}
	lenient, err := New(stagesOf(f, `{app="web"} | logfmt`), labels.NewTable())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if e, kept := lenient.Process(Line{Body: line}); !kept || e.Parsed.Get(ErrorLabel) != "" {
			t.Fatalf("%q: kept %t with %s", line, kept, e.Parsed)
		}
		if !utf8.ValidString(line) || strings.ContainsAny(line, "\n\v\f\r") || strings.ContainsRune(line, utf8.RuneError) {
			t.Skip("records and replacement characters are go-logfmt's own")
		}
		want := map[string]string{}
		d := logfmt.NewDecoder(strings.NewReader(line))
		for d.ScanRecord() {
			for d.ScanKeyval() {
				name := string(appendKey(nil, string(d.Key())))
				if _, ok := want[name]; !ok && name != "" {
					want[name] = string(d.Value())
				}
			}
		}
		if d.Err() != nil {
			return
		}
		delete(want, ErrorLabel)
		delete(want, DetailsLabel)
		e, _ := p.Process(Line{Body: line})
		got := e.Parsed.Map()
		if kind := got[ErrorLabel]; kind != "" {
			t.Fatalf("%q: %s %s, want %v", line, kind, got[DetailsLabel], want)
		}
		delete(got, DetailsLabel)
		if len(got) != len(want) {
			t.Fatalf("%q: got %v, want %v", line, got, want)
		}
		for k, v := range want {
			if got[k] != v {
				t.Fatalf("%q: got %v, want %v", line, got, want)
			}
		}
	})
}

// FuzzStages: whatever the line, no stage panics, and what a pipeline gives for
// some labels alone is what it gives for all of them.
func FuzzStages(f *testing.F) {
	for _, s := range []string{
		`{"a":1,"b":{"c":[0,"x"]},"_entry":"a=2 b=3"}`, `a=1 b="2s" c=3KB`, `1.2.3.4 - "GET /x" 200`, "\x1b[1mx\x1b[0m 10.0.0.1", ``, "\xff\xfe",
	} {
		f.Add(s)
	}
	var pipelines []*Pipeline
	var samplers [][2]*Sampler
	tab := labels.NewTable()
	for _, q := range []string{
		`{a="b"} | json | a > 0 | line_format "{{.b_c}} {{.a}}" | logfmt`,
		`{a="b"} | json x="b.c[1]", a, y="b[\"c\"]" | label_format z="{{.x}}{{.y}}", w=a`,
		`{a="b"} | unpack | logfmt --keep-empty | b > 1s or c < 1MB | drop c, a="1"`,
		"{a=\"b\"} | pattern `<ip> - \"<m> <_>\" <s>` | s >= 200 | ip = ip(\"1.0.0.0/8\")",
		"{a=\"b\"} | regexp `(?P<w>\\w+)=(?P<v>\\d+)?` | decolorize |= ip(\"10.0.0.0/8\") | keep w, ip",
		`{a="b"} |~ "x|y" !> "<_>GET<_>" | logfmt --strict b, n="a" | line_format "{{range $k, $v := .}}{{$k | upper}}{{$v | trunc 3}}{{end}}"`,
	} {
		stages := stagesOf(f, q)
		p, err := New(stages, tab)
		if err != nil {
			f.Fatal(err)
		}
		pipelines = append(pipelines, p)
		var pair [2]*Sampler
		for i, v := range []bool{false, true} {
			pair[i] = sampler(f, stages, v, tab)
		}
		samplers = append(samplers, pair)
	}
	f.Fuzz(func(t *testing.T, line string) {
		l := Line{Body: line, Stream: tab.Of(labels.Label{Name: "a", Value: "s"}), Metadata: tab.Of(labels.Label{Name: "ip", Value: "m"})}
		for i, p := range pipelines {
			e, kept := p.Process(l)
			for _, s := range []*labels.Set{e.Stream, e.Metadata, e.Parsed} {
				if kept && s == nil {
					t.Fatalf("pipeline %d on %q: a set is missing", i, line)
				}
			}
			all, set, okAll, _ := samplers[i][0].Sample(l)
			some, by, okSome, _ := samplers[i][1].Sample(l)
			if okAll != okSome || all != some {
				t.Fatalf("pipeline %d on %q: %g %t of all labels, %g %t of some", i, line, all, okAll, some, okSome)
			}
			for _, n := range []string{"a_extracted", "ip", "ip_extracted", "w"} {
				if okAll && set.Get(n) != by.Get(n) {
					t.Fatalf("pipeline %d on %q: %s is %q of all labels, %q of some", i, line, n, set.Get(n), by.Get(n))
				}
			}
		}
		if tab.Len() > 1<<16 {
			tab.Forget()
		}
	})
}

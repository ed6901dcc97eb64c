package extract

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-logfmt/logfmt"
	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
)

// FuzzLine: any text may be a line, and reading it again changes nothing.
func FuzzLine(f *testing.F) {
	for _, lines := range corpusLines(40) {
		for _, l := range lines {
			f.Add(l)
		}
	}
	f.Add("\x1b[31m{\"level\":\"error\",\"a\":{\"b\":[1]}}\x1b[0m")
	f.Add("level=info dd.trace_id=123456789 parent_span_id=b7ad6b7169203331 traceparent=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	f.Add("X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a994272793 projects/a/traces/x")
	f.Add("PHP Fatal error: <3> [GIN] | 500 | [ warn ] \u009d x \u009c")
	x := extractor(f, func(c *Config) { c.RequestIDs.Traceparent = true })
	hex := regexp.MustCompile(`^([0-9a-f]{16}|[0-9a-f]{32})?$`)
	f.Fuzz(func(t *testing.T, body string) {
		body = strings.ToValidUTF8(body, "\uFFFD")
		l := faas.Line{Body: body}
		ids := x.Line(&l, nil)
		if l.Raw != "" && l.Raw != body || l.Raw == "" && l.Body != body || l.Raw == l.Body && body != "" {
			t.Errorf("body %q, raw %q", l.Body, l.Raw)
		}
		if nextControl(l.Body, 0) < len(l.Body) || !utf8.ValidString(l.Body) {
			t.Errorf("body %q", l.Body)
		}
		if l.Severity > faas.SeverityFatal+3 || !hex.MatchString(l.TraceID) || len(l.SpanID) > 16 || !hex.MatchString(l.SpanID) {
			t.Errorf("severity %d, trace %q, span %q", l.Severity, l.TraceID, l.SpanID)
		}
		if len(ids) > maxIDs || len(l.Attributes) > 64 {
			t.Errorf("%d IDs, %d attributes", len(ids), len(l.Attributes))
		}
		for _, id := range ids {
			if idEnd(id) != len(id) || !strings.Contains(l.Body, id) {
				t.Errorf("request ID %q", id)
			}
		}
		names := map[string]bool{}
		for _, a := range l.Attributes {
			if a.Key == "" || len(a.Key) > maxKey || a.Value == "" || len(a.Value) > 1024 || names[a.Key] ||
				!utf8.ValidString(a.Key) || !utf8.ValidString(a.Value) || strip(a.Key) != a.Key || strip(a.Value) != a.Value {
				t.Errorf("attribute %q=%q", a.Key, a.Value)
			}
			names[a.Key] = true
		}
		if diff := cmp.Diff(ids, x.IDs(body)) + cmp.Diff(ids, x.IDs(l.Body)); diff != "" {
			t.Errorf("stored: %s", diff)
		}
		again := faas.Line{Body: l.Body}
		idsAgain := x.Line(&again, nil)
		l.Raw = ""
		if diff := cmp.Diff(l, again) + cmp.Diff(ids, idsAgain); diff != "" {
			t.Errorf("read twice: %s", diff)
		}
	})
}

// bareReader reads fields only: no name means anything, and nothing is left
// out but for what no attribute can be.
func bareReader(t testing.TB) func(body string) *reader {
	x := extractor(t, func(c *Config) {
		c.Attributes = Attributes{Max: maxAttributes, ValueBytes: maxValueBytes, Keep: []string{"*"}}
	})
	x.fields = new(nameTable)
	return func(body string) *reader {
		r := x.readers.Get().(*reader)
		r.begin(&faas.Line{Body: body}, nil)
		return r
	}
}

// FuzzJSON: what is taken for JSON is JSON, the other way round too, and its
// fields are encoding/json's.
func FuzzJSON(f *testing.F) {
	for _, l := range corpusLines(200)["json"] {
		f.Add(l)
	}
	f.Add(`{"a":{"b":[1,{"c":"\ud83d\ude00"}],"d":null},"e":-1.5E+7,"f":"","g":true, "a.b":2}`)
	f.Add("{\"\":{\"a\":1},\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}}\r\n ")
	f.Add(`{"a\"\\\/\b\f\n\r\t\u0000\ud800\udc00\udc00":"\u001b[1m"}`)
	read := bareReader(f)
	f.Fuzz(func(t *testing.T, body string) {
		body = strip(strings.ToValidUTF8(body, "\uFFFD"))
		r := read(body)
		valid := json.Valid([]byte(body)) && strings.TrimLeft(body, jsonSpaces)[0] == '{'
		if got := r.json(); got != valid {
			if !got && strings.Count(body, "{")+strings.Count(body, "[") > maxDepth {
				return
			}
			t.Fatalf("JSON: %v, want %v", got, valid)
		}
		if !valid {
			return
		}
		var want []faas.Attribute
		flatten(t, &want, "", json.RawMessage(body), 1)
		if !slices.Equal(want[:min(len(want), maxAttributes)], r.attrs) {
			t.Fatalf("got %q, want %q", r.attrs, want)
		}
	})
}

// flatten appends the fields of an object to out, by means of encoding/json.
func flatten(t *testing.T, out *[]faas.Attribute, path string, object json.RawMessage, depth int) {
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			t.Fatal(err)
		}
		name := strip(key.(string))
		if path != "" {
			name = path + "." + name
		}
		value := string(raw)
		switch {
		case name == "" || len(name) > maxKey || value == "null":
			continue
		case raw[0] == '{' && depth < maxFlat:
			flatten(t, out, name, raw, depth+1)
			continue
		case raw[0] == '"':
			if err := json.Unmarshal(raw, &value); err != nil {
				t.Fatal(err)
			}
			value = strip(value)
		}
		if value != "" && len(value) <= maxValueBytes && !slices.ContainsFunc(*out, func(a faas.Attribute) bool { return a.Key == name }) {
			*out = append(*out, faas.Attribute{Key: name, Value: value})
		}
	}
}

// FuzzLogfmt: where go-logfmt reads a line too, both read the same.
func FuzzLogfmt(f *testing.F) {
	f.Add(`time=2026-01-02T03:04:05.678Z level=INFO msg="request \"handled\" \u00e9 \\" a= b c=1`)
	f.Add(`a="" b="\n" a=2`)
	f.Add("a=1 b=2\nc=3")
	read := bareReader(f)
	f.Fuzz(func(t *testing.T, body string) {
		body = strip(strings.ToValidUTF8(body, "\uFFFD"))
		r := read(body)
		if !r.logfmt() {
			return
		}
		var want []faas.Attribute
		d := logfmt.NewDecoder(strings.NewReader(body))
		for d.ScanRecord() {
			for d.ScanKeyval() {
				key, value := string(d.Key()), strip(string(d.Value()))
				if value != "" && len(key) <= maxKey && len(value) <= maxValueBytes && !slices.ContainsFunc(want, func(a faas.Attribute) bool { return a.Key == key }) {
					want = append(want, faas.Attribute{Key: key, Value: value})
				}
			}
		}
		var syntax *logfmt.SyntaxError
		switch err := d.Err(); {
		case errors.As(err, &syntax):
			// Looser than go-logfmt: = and " in values, Go's escapes, and tabs and
			// line ends between quotation marks.
			if !strings.ContainsAny(body, "\\\t\n\r\uFFFD") && !regexp.MustCompile(`=[^" ][^ ]*[="]|==`).MatchString(body) {
				t.Fatalf("go-logfmt says %v; got %q", err, r.attrs)
			}
		case err != nil:
			return // a line that is too long for it
		default:
			if !slices.Equal(want, r.attrs) {
				t.Fatalf("got %q, want %q", r.attrs, want)
			}
		}
	})
}

// FuzzStrip: no control character is left, nothing else is lost to a sequence
// that is none, and what is left stays.
func FuzzStrip(f *testing.F) {
	f.Add("a\x1b[31mb\x1b]8;;x\x1b\\c\u009b1md\x00\x1b(B\x1bPq\x1b")
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "\uFFFD")
		out := strip(s)
		if !utf8.ValidString(out) || strip(out) != out || len(out) > len(s) {
			t.Fatalf("%q becomes %q, then %q", s, out, strip(out))
		}
		want := strings.Map(func(c rune) rune {
			if c < 0x20 && c != '\t' && c != '\n' && c != '\r' || c >= 0x80 && c < 0xA0 {
				return -1
			}
			return c
		}, s)
		if !strings.ContainsAny(s, "\x1b") && !strings.ContainsFunc(s, func(c rune) bool { return c >= 0x80 && c < 0xA0 }) && out != want {
			t.Fatalf("%q becomes %q, want %q", s, out, want)
		}
	})
}

// FuzzIDs: "request id" is found wherever a plain search for it finds one.
func FuzzIDs(f *testing.F) {
	f.Add(`{"request_id":"b3f0-1234-abcd"} X-Scf-Request-Id: 0123456789`)
	f.Add("request id = 'abcdefgh' RequestId: request_id=bcdefghij")
	x := extractor(f, func(c *Config) { c.RequestIDs.Keys = []string{"request_id"} })
	id := regexp.MustCompile(`^[_. -]?id["' ]*[:=]["' ]*([a-z0-9_-]+)`)
	f.Fuzz(func(t *testing.T, body string) {
		var want []string
		lower := strip(strings.ToLower(strings.ToValidUTF8(body, "")))
		for rest := lower; ; {
			_, after, ok := strings.Cut(rest, "request")
			if !ok {
				break
			}
			if m := id.FindStringSubmatch(after); m != nil && len(m[1]) >= minID && len(m[1]) <= maxID && !slices.Contains(want, m[1]) {
				want = append(want, m[1])
			}
			rest = after
		}
		if got := x.IDs(lower); !slices.Equal(want[:min(len(want), maxIDs)], got) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

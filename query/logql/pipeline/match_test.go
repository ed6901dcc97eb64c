package pipeline

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/query/logql"
)

// TestRegexpShortcuts: texts that are looked for instead of an expression, or
// before it, change nothing.
func TestRegexpShortcuts(t *testing.T) {
	exprs := rapid.OneOf(
		rapid.SampledFrom([]string{"a|b", "ab|bc|c", "a[bc]d", "(?i)ab", "a(b|c)?d", "(ab)+c", "ab{2,3}c", "a.c", "^ab", "ab$", "\\bab", "a*b", "(a|)b", "", "ab(?:cd|dc)", "[^a]b", "a(?i)b"}),
		rapid.StringMatching(`[abcd.|]{0,6}`),
	)
	rapid.Check(t, func(t *rapid.T) {
		expr := exprs.Draw(t, "expr")
		re, err := regexp.Compile("(?s)" + expr)
		if err != nil {
			t.Skip(err)
		}
		match, err := regexpMatch(&logql.LineMatch{Value: expr})
		if err != nil {
			t.Fatal(err)
		}
		line := rapid.StringMatching(`[abcdAB \n]{0,12}`).Draw(t, "line")
		if got, want := match(line), re.MatchString(line); got != want {
			t.Fatalf("%q on %q: got %t, want %t", expr, line, got, want)
		}
	})
	for expr, want := range map[string]string{"a|b": "", "foo.*ba": "foo", "x?(foobar)+": "foobar", "(?i)foo": "", "a{0,2}bc": "bc", "(": ""} {
		if got := required(expr); got != want {
			t.Errorf("%q requires %q, want %q", expr, got, want)
		}
	}
}

// TestPatternFilter: a pattern is what the regular expression is that has .* for
// its captures.
func TestPatternFilter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text, expr strings.Builder
		capture := rapid.Bool().Draw(t, "capture")
		for range rapid.IntRange(1, 5).Draw(t, "parts") {
			if capture {
				text.WriteString("<_>")
				expr.WriteString(".*")
			} else {
				literal := rapid.StringMatching(`[ab]{1,2}`).Draw(t, "text")
				text.WriteString(literal)
				expr.WriteString(literal)
			}
			capture = !capture
		}
		p, err := logql.ParsePattern(text.String())
		if err != nil {
			t.Fatal(err)
		}
		line := rapid.StringMatching(`[ab\n]{0,8}`).Draw(t, "line")
		if got, want := matchPattern(p, line), regexp.MustCompile("^(?s:"+expr.String()+")$").MatchString(line); got != want {
			t.Fatalf("%q on %q: got %t, want %t", text.String(), line, got, want)
		}
	})
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		of, text string
		want     bool
	}{
		{"192.0.2.0", "192.0.2.0", true},
		{"192.0.2.0", "x=192.0.2.0,", true},
		{"192.0.2.0", "1192.0.2.0", false},
		{"192.0.2.0", "192.0.2.01", false},
		{"192.0.2.0", "192.0.2.0.", true},
		{"192.0.2.0", "http://192.0.2.0:8080/x", true},
		{"192.0.2.0", "v192.0.2.0", false},
		{"192.0.2.0", "", false},
		{"192.168.0.1-192.189.10.12", "a 192.170.0.1 b", true},
		{"192.168.0.1-192.189.10.12", "a 192.168.0.0 b 192.189.10.13", false},
		{"192.51.100.0/24", "192.51.101.1 192.51.100.255", true},
		{"::1", "[::1]:80", true},
		{"::1", "::1", true},
		{"2001:db8::/32", "from 2001:db8:1::5, done", true},
		{"2001:db8::/32", "from 2001:db9::5", false},
		{"2001:db8::1-2001:db8::8", "2001:db8::8:", true},
		{"10.0.0.0/8", "::ffff:10.0.0.1", false},
		{"10.0.0.0/8", "12:30:45 10.9.9.9", true},
	} {
		r, err := logql.ParseIPRange(c.of)
		if err != nil {
			t.Fatal(err)
		}
		if got := (address{r}).in(c.text); got != c.want {
			t.Errorf("%s in %q: got %t", c.of, c.text, got)
		}
	}
}

func TestDecolorize(t *testing.T) {
	for in, want := range map[string]string{
		"":                                    "",
		"plain":                               "plain",
		"\x1b[1;31mred\x1b[0m":                "red",
		"\x1b[38;2;1;2;3mx\x1b[K":             "x",
		"\x1b]0;title\x07x":                   "x",
		"\x1b]8;;http://a\x1b\\a\x1b]8;;\x07": "a",
		"\x1b(Bx\x1b=y\x1bMz":                 "xyz",
		"a\x1b":                               "a",
		"a\x1b[1;3":                           "a",
		"a\x1b[1ä":                            "aä",
		"a\x1bäb":                             "aäb",
	} {
		if got := Decolorize(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

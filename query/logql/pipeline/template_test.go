package pipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/coldscope/coldscope/query/logql/labels"
)

// TestFunctions: each function of templates, by its documentation's examples
// where that has one.
func TestFunctions(t *testing.T) {
	for _, c := range []struct{ template, want string }{
		{`{{alignLeft 5 "hello world"}}|{{alignLeft 5 "hi"}}|{{alignLeft 2 "äöü"}}|{{alignLeft -1 "a"}}`, `hello|hi   |äö|a`},
		{`{{alignRight 5 "hello world"}}|{{alignRight 5 "hi"}}|{{alignRight 2 "äöü"}}`, `world|   hi|öü`},
		{`{{b64enc "a?b"}} {{b64dec "YT9i"}}`, `YT9i a?b`},
		{`{{b64dec "%"}}`, `error: illegal base64 data`},
		{`{{bytes "1.5KiB"}} {{"2 kB" | bytes}}`, `1536 2000`},
		{`{{bytes "x"}}`, `error: strconv.ParseFloat: parsing "": invalid syntax`},
		{`{{contains "he" "hello"}} {{contains "x" "hello"}}`, `true false`},
		{`{{count "a|b" "abab"}} {{"foo" | count "o"}}`, `4 2`},
		{`{{count "(" "a"}}`, `error: error parsing regexp`},
		{`{{default "-" ""}} {{default "-" "foo"}} {{.none | default "-"}} {{default "d"}}`, `- foo - d`},
		{`{{(fromJson "{\"foo\": {\"a\": [1, 2]}}").foo.a}} {{fromJson "x"}}.`, `[1 2] .`},
		{`{{hasPrefix "he" "hello"}} {{hasSuffix "he" "hello"}}`, `true false`},
		{`{{indent 2 "a\nb"}}|{{nindent 1 "a"}}`, "  a\n  b|\n a"},
		{`{{lower "HELLO"}} {{upper "hello"}} {{title "hello wORLD"}} {{ToLower "A"}} {{ToUpper "a"}}`, `hello HELLO Hello WORLD a A`},
		{`{{regexReplaceAll "(a*)bc" "aabc" "${1}x"}} {{regexReplaceAllLiteral "a" "aba" "$1"}}`, `aax $1b$1`},
		{`{{repeat 3 "ab"}}`, `ababab`},
		{`{{repeat 999999999 "ab"}}`, `error: the result is too long`},
		{`{{indent 999999999 "ab"}}`, `error: the result is too long`},
		{`{{alignLeft 999999999 "ab"}}`, `error: the result is too long`},
		{`{{replace "hello" "world" "hello world"}} {{Replace "aaa" "a" "b" 2}}`, `world world bba`},
		{`{{substr 0 5 "hello world"}} {{substr 6 11 "hello world"}} {{substr -1 3 "hello"}} {{substr 3 -1 "hello"}} {{substr 1 99 "äöü"}}`, `hello world hel lo öü`},
		{`{{trim "  a "}} {{trimAll "$" "$5$"}} {{trimPrefix "-" "-h"}} {{trimSuffix "-" "h-"}}`, `a 5 h h`},
		{`{{Trim "xax" "x"}} {{TrimLeft "xax" "x"}} {{TrimRight "xax" "x"}} {{TrimPrefix "xa" "x"}} {{TrimSuffix "ax" "x"}} {{TrimSpace " a "}}`, `a ax xa a a a`},
		{`{{trunc 5 "hello world"}} {{trunc -5 "hello world"}} {{trunc 9 "a"}}`, `hello world a`},
		{`{{urlencode "a b&c"}} {{urldecode "a+b%26c"}}`, `a+b%26c a b&c`},
		{`{{__timestamp__ | date "2006-01-02T15:04:05.000Z07:00"}} {{__timestamp__ | unixEpoch}}`, `2026-01-02T03:04:05.006Z 1767323045`},
		{`{{__timestamp__ | unixEpochMillis}} {{__timestamp__ | unixEpochNanos}}`, `1767323045006 1767323045006000000`},
		{`{{duration "1m30s"}} {{duration_seconds "1ms"}}`, `90 0.001`},
		{`{{duration "x"}}`, `error: time: invalid duration "x"`},
		{`{{toDateInZone "2006-01-02" "UTC" "2021-11-02" | unixEpoch}}`, `1635811200`},
		{`{{toDateInZone "2006-01-02" "Nowhere/x" "2021-11-02"}}`, `error: unknown time zone`},
		{`{{date "2006" (toDate "2006-01-02" "2021-11-02")}} {{if now}}now{{end}}`, `2021 now`},
		{
			`{{unixToTime "1679577215" | date "2006-01-02"}} {{unixToTime "19439" | date "2006-01-02"}} {{unixToTime "1679577215123" | unixEpochMillis}} {{unixToTime "1679577215123456" | unixEpochNanos}} {{unixToTime "1679577215123456789" | unixEpochNanos}}`,
			`2023-03-23 2023-03-23 1679577215123 1679577215123456000 1679577215123456789`,
		},
		{`{{unixToTime "12"}}`, `error: "12" is no time`},
		{`{{add 3 2 5}} {{add "3" 2.9 true}} {{sub 5 2}} {{mul 5 2 3}} {{div 10 3}} {{mod 10 3}} {{max 1 2 3}} {{min 3 1 2}}`, `10 6 3 30 3 1 3 1`},
		{`{{mod 1 0}}`, `error: division by zero`},
		{`{{addf 3.5 2 5}} {{subf 5.5 2 1.5}} {{mulf 5.5 2 2.5}} {{divf 10 2 4}} {{maxf 1 2.5 3}} {{minf 1 2.5 "0.5"}}`, `10.5 2 27.5 1.25 3 0.5`},
		{`{{ceil 123.001}} {{floor 123.9999}} {{round 123.555555 3}} {{round 123.88571428571 5 .2}} {{round 123.88571428571 5}}`, `124 123 123.556 123.88572 123.88571`},
		{`{{"3" | int}} {{"3.0" | int}} {{"x" | int}} {{"3.5" | float64}} {{"x" | float64}}`, `3 3 0 3.5 0`},
		{`{{printf "%-5.5s|%d|%*d" .app 3 4 5}}`, `web  |3|   5`},
		{`{{print .app 1 2}} {{println "a"}}{{html "<"}} {{js "'"}} {{urlquery "a b"}}`, "web1 2 a\n&lt; \\' a+b"},
		{`{{if and (contains "he" "hello") (eq .app "web")}}yes{{else}}no{{end}}`, `yes`},
		{`a{{/* nothing */}}b{{- " c" }}`, `ab c`},
		{``, ``},
	} {
		tab := labels.NewTable()
		w := newWork(tab)
		w.begin(Line{Time: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC).UnixNano(), Body: "body", Stream: set(t, tab, "app=web")})
		f, err := newFormat(c.template)
		if err != nil {
			t.Errorf("%s: %v", c.template, err)
			continue
		}
		f.load(w)
		got, err := f.text()
		if err != nil {
			got = "error: " + err.Error()
			if want, ok := strings.CutPrefix(c.want, "error: "); ok && strings.Contains(got, want) {
				continue
			}
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.template, got, c.want)
		}
	}
}

// TestTemplatesEnd: no template of a line takes long or gives much.
func TestTemplatesEnd(t *testing.T) {
	for _, template := range []string{
		`{{range 1000000000}}{{end}}`,
		`{{range int "1000000000"}}x{{end}}`,
		`{{$n := 1000000000}}{{range $n}}x{{end}}`,
		`{{range 1000}}{{range 1000}}{{end}}{{end}}`,
		`{{$x := repeat 1000000 "x"}}{{range 100000}}{{$y := trunc 5 $x}}{{end}}`,
		`{{range 100}}{{repeat 1000000 "x"}}{{end}}`,
		`{{printf "%1000000d" 1 | repeat 1000}}`,
		`{{repeat 1000000 "a" | replace "a" (repeat 1000 "b")}}`,
		`{{$x := repeat 1000000 "a"}}{{Replace $x "a" $x -1}}`,
		`{{$x := repeat 1000000 "a"}}{{regexReplaceAll "a" $x "xxxxx"}}`,
		`{{$x := repeat 1000000 "a"}}{{regexReplaceAll "(a+)" $x "$1$1$1$1$1"}}`,
		`{{$x := repeat 1000000 "a"}}{{print $x $x $x $x $x $x}}`,
		`{{$x := repeat 1000000 "a"}}{{printf "%[1]s%[1]s%[1]s%[1]s%[1]s" $x}}`,
		`{{printf "%1000000d%1000000d%1000000d%1000000d%1000000d%1000000d%1000000d%1000000d%1000000d" 1 2 3 4 5 6 7 8 9}}`,
		`{{printf "%*d%*d%*d%*d%*d%*d%*d%*d%*d" 1000000 1 1000000 2 1000000 3 1000000 4 1000000 5 1000000 6 1000000 7 1000000 8 1000000 9}}`,
		`{{repeat 1000000 "%" | urlencode | urlencode | urlencode | urlencode}}`,
		`{{repeat 1000000 "<" | html | html | html}}`,
		`{{range 100000}}{{$x := repeat 1000000 "x"}}{{end}}`,
		`{{$x := repeat 1000000 "x"}}{{range 100000}}{{if eq (count "y" $x) 1}}{{end}}{{end}}`,
		`{{$x := repeat 1000000 "x"}}{{range 100000}}{{$y := upper $x}}{{end}}`,
	} {
		tab := labels.NewTable()
		w := newWork(tab)
		w.begin(Line{})
		f, err := newFormat(template)
		if err != nil {
			t.Errorf("%s: %v", template, err)
			continue
		}
		f.load(w)
		if got, err := f.text(); err == nil {
			t.Errorf("%s: %d bytes and no error", template, len(got))
		}
	}
}

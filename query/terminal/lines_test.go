package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/read"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 123_456_789, time.UTC)

func sampleLines() []LogLine {
	const request = "4a8f1c2e-0001-4000-8000-000000000001"
	return []LogLine{
		{Time: noon, Source: "shop/cart", Instance: "3f9a21bc77aa01", Stream: faas.Platform, Body: "instance ready", RequestID: request},
		{Time: noon.Add(2 * time.Second), Source: "shop/cart", Instance: "3f9a21bc77aa01", Stream: faas.Stdout, Body: "GET /cart 200 in 12 ms\n", RequestID: request},
		{Time: noon.Add(3 * time.Second), Source: "shop/checkout-service", Instance: "checkout-service-00001-deployment-7d9f", Stream: faas.Stderr, Level: "error", Body: "panic: boom\n\tat main.go:12\r\n\tat http.go:99\n"},
		{Time: noon.Add(4 * time.Second), Source: "shop/cart", Instance: "3f9a21bc77aa01", Stream: faas.Stderr, Level: "warning", Body: "a slow answer: " + strings.Repeat("the very long story of it ", 8), Truncated: 4096},
		{Time: noon.Add(13 * time.Hour), Source: "shop/cart", Instance: "3f9a21bc77aa01", Stream: faas.Stdout, Level: "debug", Body: "the next day \x1b[2Jwiped"},
		{Time: noon.Add(13*time.Hour + time.Second), Stream: faas.Stdout, Body: ""},
	}
}

func TestLines(t *testing.T) {
	for name, o := range map[string]LinesOptions{
		"lines_piped":    {},
		"lines_40":       {Options: Options{Width: 40, Terminal: true}},
		"lines_80":       {Options: Options{Width: 80, Terminal: true}},
		"lines_80_one":   {Options: Options{Width: 80, Terminal: true}, HideSource: true},
		"lines_140_ids":  {Options: Options{Width: 140, Terminal: true, Zone: time.FixedZone("CEST", 2*3600)}, Requests: true},
		"lines_80_color": {Options: Options{Width: 80, Terminal: true, Color: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			l := NewLines(&out, o)
			l.day = noon.Format(time.DateOnly) // as if the lines were of today
			lines := sampleLines()
			for i := range lines {
				if err := l.Write(&lines[i]); err != nil {
					t.Fatal(err)
				}
			}
			golden(t, name, out.String())
			if !o.Terminal {
				return
			}
			for line := range strings.Lines(uncoloured(out.String())) {
				if w := textWidth(strings.TrimSuffix(line, "\n")); w > o.Width && !strings.Contains(line, "bytes cut") {
					t.Errorf("%d columns: %q", w, line)
				}
			}
		})
	}
}

// TestHostileLines: no line drives the terminal, whatever is in its fields and
// whatever it is printed as.
func TestHostileLines(t *testing.T) {
	evil := "\x1b]0;owned\x07\x1b[2J\r\u202e漢\xff\n\u009b\u2028"
	long := strings.Repeat("漢", 3000) + evil
	lines := []LogLine{
		{Time: noon, Source: evil, Instance: long, RequestID: evil, Level: evil, Stream: faas.Stream(evil), Body: evil + long, Truncated: 1 << 63},
		{Time: time.Time{}, Source: long, Instance: evil, RequestID: long, Level: "error", Stream: faas.Stderr, Body: strings.Repeat("x\n", 500)},
		{Time: noon, Body: "\n\n"},
	}
	for _, o := range []LinesOptions{{}, {Options: Options{Width: 1, Terminal: true}}, {Options: Options{Width: 80, Color: true, Terminal: true}, Requests: true}} {
		var out bytes.Buffer
		l := NewLines(&out, o)
		for i := range lines {
			if err := l.Write(&lines[i]); err != nil {
				t.Fatal(err)
			}
		}
		text := out.String()
		if o.Color {
			text = uncoloured(text)
		}
		safe(t, fmt.Sprintf("width %d", o.Width), text)
	}
	var out bytes.Buffer
	if err := Table(&out, [][]string{{evil, long}, {long, evil}}, Options{Width: 50}); err != nil {
		t.Fatal(err)
	}
	if err := Functions(&out, &read.FunctionList{Truncated: true, Functions: []read.Function{{Namespace: evil, Function: long}}}, Options{Width: 40}); err != nil {
		t.Fatal(err)
	}
	safe(t, "table", out.String())

	out.Reset()
	in := map[string]string{"evil": evil, "tag": "\U000e0041", "plain": "a<b>&c ünï"}
	if err := JSON(&out, in, "  "); err != nil {
		t.Fatal(err)
	}
	safe(t, "JSON", out.String())
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	in["evil"] = strings.ToValidUTF8(evil, "\ufffd")
	if diff := cmp.Diff(in, back); diff != "" {
		t.Error(diff)
	}
}

func safe(t *testing.T, what, text string) {
	t.Helper()
	if at := strings.IndexFunc(strings.ReplaceAll(text, "\n", " "), unsafe); at >= 0 || !utf8.ValidString(text) {
		t.Errorf("%s: %q gets through", what, text[max(0, at-20):at+20])
	}
}

func TestLogfmt(t *testing.T) {
	var out bytes.Buffer
	err := Logfmt(&out, Pair{"ts", "2026-05-04T12:00:00Z"}, Pair{"none", ""}, Pair{"two words", "a b"}, Pair{"q", `say "x"=1`},
		Pair{"back", `C:\dir`}, Pair{"lines", "a\nb\x1b[2J\u009b"}, Pair{"ü=", "漢<>&"})
	want := `ts=2026-05-04T12:00:00Z two_words="a b" q="say \"x\"=1" back="C:\\dir" lines="a\nb\u001b[2J\u009b" ü_=漢<>&` + "\n"
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s%s", err, out.String(), want)
	}
}

func TestShort(t *testing.T) {
	for in, want := range map[string]string{
		"3f9a21bc77aa01": "3f9a21bc/3f9a", "i-7f3a9c01": "i-7f3a9c01/…c01", "checkout-service-7d9f": "…ervice-7d9f/…d9f", "": "/", "ünï-漢字漢字漢字": "…ï-漢字漢字漢/…字",
	} {
		if got := short(in, false) + "/" + short(in, true); want != got && in != "ünï-漢字漢字漢字" {
			t.Errorf("%q: %q, want %q", in, got, want)
		} else if textWidth(short(in, false)) > maxInstance || textWidth(short(in, true)) > 4 {
			t.Errorf("%q: %q is too wide", in, got)
		}
	}
}

func TestFunctions(t *testing.T) {
	ms := func(v float64) *float64 { return &v }
	list := &read.FunctionList{Functions: []read.Function{
		{Namespace: "shop", Function: "cart", Invocations: 1234567, Cold: 12, ColdRatio: 0.012, Errors: 3, P50MS: ms(12), P95MS: ms(340), P99MS: ms(4600), LastSeen: noon},
		{Function: "a-function-with-a-rather-long-name-that-somebody-typed", Invocations: 1, Cold: 1, ColdRatio: 1, LastSeen: noon},
	}}
	for _, width := range []int{40, 80, 140} {
		var out bytes.Buffer
		if err := Functions(&out, list, Options{Width: width}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if w := textWidth(strings.TrimSuffix(line, "\n")); w > width {
				t.Errorf("%d columns: %q", w, line)
			}
		}
		golden(t, fmt.Sprintf("functions_%d", width), out.String())
	}
}

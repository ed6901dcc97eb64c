package terminal

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/read"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain – ünï 漢字 👩‍💻":            "plain – ünï 漢字 👩‍💻",
		"\x1b[2J\x1b]0;title\x07":       `\x1b[2J\x1b]0;title\x07`,
		"\u009b31mred":                  `\u009b31mred`,
		"a\tb\rc\nd\x00\x7f":            `a    b\rc\nd\x00\x7f`,
		"user\u202egpj.exe":             `user\u202egpj.exe`,
		"\u2066x\u2069\u200e\ufeff":     `\u2066x\u2069\u200e\ufeff`,
		"a\u2028b\u2029c":               `a\u2028b\u2029c`,
		"\xff\xfe ok \xc3":              `\xff\xfe ok \xc3`,
		"\ufffd stays":                  "\ufffd stays",
		"tag \U000e0041 private \ue000": `tag \U000e0041 private \ue000`,
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWidth(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "漢字": 4, "e\u0301": 1, "🚀": 2, "Ａ": 2, "▌█": 2, "–": 1} {
		if got := textWidth(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	for _, test := range []struct {
		text    string
		columns int
		want    string
	}{
		{"abcdef", 6, "abcdef"},
		{"abcdef", 5, "abcd…"},
		{"abcdef", 1, "…"},
		{"abcdef", 0, ""},
		{"abcdef", -3, ""},
		{"漢字漢字", 8, "漢字漢字"},
		{"漢字漢字", 7, "漢字漢…"},
		{"漢字漢字", 6, "漢字…"},
		{"e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301"},
	} {
		if got := cut(test.text, test.columns); got != test.want || textWidth(got) > max(test.columns, 0) {
			t.Errorf("cut %q to %d: %q, want %q", test.text, test.columns, got, test.want)
		}
	}
	for text, want := range map[string]string{
		"short": "short", "a log line of words": "a log line|of words", "abcdefghijklmnop": "abcdefghijkl|mnop",
		"x abcdefghijklmnopqrstuvwxyz 0123456789": "x abcdefghij|klmnopqrstuv|wxyz 012345…",
		"漢字漢字漢字漢字":                                "漢字漢字漢字|漢字", "": "", " ": " ",
	} {
		if got := strings.Join(fold(text, 12, 3), "|"); got != want {
			t.Errorf("fold %q: %q, want %q", text, got, want)
		}
	}
	if got := wrap("took 3.49 s, then 12 % more", 8); strings.Join(got, "|") != "took|3.49 s,|then|12 %|more" {
		t.Errorf("%q", got)
	}
}

// TestHostile draws a page whose every text is hostile: nothing but the
// package's own colours may reach the terminal, and no line is too wide.
func TestHostile(t *testing.T) {
	evil := "\x1b]0;owned\x07\x1b[2J\r\u202e漢\xff\n\u009b"
	long := strings.Repeat("漢", 5000) + evil
	at := func(s float64) *time.Time {
		v := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC).Add(time.Duration(s * 1e9))
		return &v
	}
	limit, ms := int64(1), 1e9
	page := &read.Page{
		Invocation: read.Invocation{
			RequestID: long, Namespace: evil, Function: long, Version: evil, Instance: long, Host: evil, Trigger: evil, Error: long,
			QueuedAt: at(0), StartedAt: *at(5), EndedAt: at(4000), Status: faas.Status(evil), Cold: true, ColdWaitMS: &ms, TotalMS: &ms, DurationMS: &ms, MemoryPeak: &limit,
		},
		Attempts: []read.Invocation{{Instance: long, Status: faas.Status(evil)}},
		ColdStart: &read.ColdStart{
			DemandedAt: at(1), StoppedAt: at(3), StopReason: long, MemoryLimit: &limit, TotalMS: 5000, OtherMS: 1,
			Phases:       []read.Phase{{Name: faas.Phase(long), Start: *at(-9), End: *at(9), Error: evil}, {Name: faas.PhasePull, Start: *at(2), End: *at(2)}},
			Layers:       []read.Layer{{Digest: long, Cache: evil, Bytes: -5}, {Digest: evil, DownloadStart: at(-100), DownloadEnd: at(9000)}},
			CriticalPath: []read.Segment{{Name: read.Other, Start: *at(1), End: *at(3)}},
		},
		Lines: []read.Line{
			{Time: *at(1), Stream: faas.Stream(evil), Body: evil, Attribution: faas.Attribution(evil)},
			{Time: *at(-4000), Stream: faas.Stdout, Body: long, Truncated: 1 << 60},
			{Time: *at(1), Stream: faas.Stderr, Body: strings.Repeat("x\n", 500)},
			{Time: *at(1), Body: ""},
		},
		Completeness: read.Completeness{
			State: read.Partial, Gaps: []read.Gap{{FileID: evil, Host: long, Reason: faas.GapReason(evil)}},
			TruncatedLines: -1, RefusedLines: 1 << 62, LostBytes: 1 << 62,
		},
		Advice: []read.Advice{{Kind: evil, Title: long, Evidence: evil + " " + long, SavesMS: -1}},
	}
	stats := &read.ColdStartStats{
		Count: 1, Phases: []read.PhaseStats{{Phase: long, Share: 7}}, Other: read.PhaseStats{Phase: evil, Share: 0.5},
		Slowest: []read.ColdStartSummary{{Namespace: evil, Function: long, Version: evil, RequestID: long, LongestPhase: evil}},
	}
	for _, o := range []Options{{}, {Width: 1}, {Width: 80, Color: true}, {Width: 100_000, Color: true}} {
		var out bytes.Buffer
		if err := Request(&out, page, o); err != nil {
			t.Fatal(err)
		}
		if err := ColdStarts(&out, stats, o); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if o.Color {
			text = uncoloured(text)
		}
		if at := strings.IndexFunc(strings.ReplaceAll(text, "\n", " "), unsafe); at >= 0 || !utf8.ValidString(text) {
			t.Fatalf("width %d: %q gets through", o.Width, text[max(0, at-20):at+20])
		}
		limit := newScreen(o).width
		for line := range strings.Lines(text) {
			if w := textWidth(strings.TrimSuffix(line, "\n")); w > limit {
				t.Errorf("%d columns instead of %d: %.200q", w, limit, line)
			}
		}
	}
	if err := Request(&bytes.Buffer{}, &read.Page{}, Options{}); err != nil {
		t.Error(err)
	}
	if err := ColdStarts(&bytes.Buffer{}, &read.ColdStartStats{}, Options{}); err != nil {
		t.Error(err)
	}
}

package aggregator

import (
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/aggregator/extract"
	"github.com/coldscope/coldscope/aggregator/ingest"
	"github.com/coldscope/coldscope/internal/faas"
)

// TestOneWordOneSeverity: what a sender calls a level and what a line calls it
// is the same.
func TestOneWordOneSeverity(t *testing.T) {
	lines, err := extract.New(extract.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	decoder := ingest.NewDecoder(ingest.DefaultConfig())
	severity := func(labels, body string, metadata ...push.LabelAdapter) faas.Severity {
		b := decoder.Decode("t", &push.PushRequest{Streams: []push.Stream{{
			Labels: labels, Entries: []push.Entry{{Timestamp: time.Now(), Line: body, StructuredMetadata: metadata}},
		}}})
		if len(b.Lines) != 1 {
			t.Fatal(b.Err())
		}
		lines.Line(&b.Lines[0], nil)
		return b.Lines[0].Severity
	}
	for word, want := range faas.SeverityWords() {
		for how, got := range map[string]faas.Severity{
			"a label":      severity(`{function="f", level="`+word+`"}`, "text"),
			"its metadata": severity(`{function="f"}`, "text", push.LabelAdapter{Name: "level", Value: word}),
			"its JSON":     severity(`{function="f"}`, `{"level":"`+word+`"}`),
			"its logfmt":   severity(`{function="f"}`, `level=`+word+` a=b`),
		} {
			if got != want {
				t.Errorf("%s says %q: %d, want %d", how, word, got, want)
			}
		}
	}
}

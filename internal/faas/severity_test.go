package faas

import "testing"

func TestParseSeverity(t *testing.T) {
	for text, want := range map[string]Severity{
		"": 0, "INFO": SeverityInfo, "Warning": SeverityWarn, "e": SeverityError, "F": SeverityFatal, "x": 0,
		"crit": SeverityError + 1, "CRITICAL": SeverityFatal, "alert": SeverityError + 2, "emerg": SeverityFatal,
		"ERROR+2": SeverityError + 2, "DEBUG-4": SeverityTrace, "INFO+30": 0, "info+": 0, "FATAL+9": SeverityFatal + 3,
		"information": SeverityInfo, "informational": SeverityInfo, "informationally": 0, "hello": 0, "17": 0,
	} {
		if got := ParseSeverity(text); got != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
	for word, want := range SeverityWords() {
		if got := ParseSeverity(word); got != want || want.String() == "unknown" {
			t.Errorf("%q is %d (%s), want %d", word, got, got, want)
		}
	}
}

package faas

import (
	"iter"
	"maps"
	"strconv"
	"strings"
)

// Severity is OpenTelemetry's SeverityNumber: 1 to 24 in six ranges of four, 0
// for a line that does not say.
type Severity uint8

// The first of each range.
const (
	SeverityUnknown Severity = 0
	SeverityTrace   Severity = 1
	SeverityDebug   Severity = 5
	SeverityInfo    Severity = 9
	SeverityWarn    Severity = 13
	SeverityError   Severity = 17
	SeverityFatal   Severity = 21
)

// String is the range's name in lower case, as Loki and Grafana write levels:
// trace, debug, info, warn, error, fatal; unknown for what is none.
func (s Severity) String() string {
	if s < SeverityTrace || s > SeverityFatal+3 {
		return "unknown"
	}
	return [...]string{"trace", "debug", "info", "warn", "error", "fatal"}[(s-1)/4]
}

// severityWords are what levels are called, in lower case: the only such table,
// for what a line says of itself and for what its sender says. Numbers within a
// range follow OpenTelemetry's appendix on syslog and log4j; "critical" is that
// of Python, .NET and Windows, and "crit" is syslog's.
var severityWords = map[string]Severity{
	"trace": SeverityTrace, "trc": SeverityTrace, "trac": SeverityTrace, "verbose": SeverityTrace, "vrb": SeverityTrace,
	"finest": SeverityTrace, "finer": SeverityTrace, "silly": SeverityTrace, "trce": SeverityTrace,
	"debug": SeverityDebug, "dbg": SeverityDebug, "debu": SeverityDebug, "dbug": SeverityDebug, "fine": SeverityDebug, "config": SeverityDebug,
	"info": SeverityInfo, "inf": SeverityInfo, "information": SeverityInfo, "informational": SeverityInfo,
	"notice": SeverityInfo + 1, "success": SeverityInfo + 1,
	"warn": SeverityWarn, "warning": SeverityWarn, "wrn": SeverityWarn,
	"error": SeverityError, "err": SeverityError, "erro": SeverityError, "fail": SeverityError, "severe": SeverityError,
	"crit": SeverityError + 1, "dpanic": SeverityError + 1, "alert": SeverityError + 2,
	"fatal": SeverityFatal, "ftl": SeverityFatal, "fata": SeverityFatal, "critical": SeverityFatal,
	"panic": SeverityFatal, "pani": SeverityFatal, "emerg": SeverityFatal, "emergency": SeverityFatal,
}

// maxSeverityWord is the longest of severityWords.
const maxSeverityWord = len("informational")

// SeverityWords gives all words that name a severity, in lower case.
func SeverityWords() iter.Seq2[string, Severity] { return maps.All(severityWords) }

// ParseSeverity reads what a field or a label of a level has for a text: a word
// in any case, a letter, or a word and what slog adds to it ("ERROR+2").
// SeverityUnknown is for a text that names none.
func ParseSeverity(text string) Severity {
	if len(text) == 1 {
		return SeverityOfLetter(text[0])
	}
	if s := severityOfWord(text); s != SeverityUnknown {
		return s
	}
	at := strings.IndexAny(text[:min(len(text), maxSeverityWord)], "+-")
	if at < 0 {
		return SeverityUnknown
	}
	s := severityOfWord(text[:at])
	n, err := strconv.Atoi(text[at:])
	if s == SeverityUnknown || err != nil || n < -24 || n > 24 {
		return SeverityUnknown
	}
	return Severity(min(max(int(s)+n, 1), int(SeverityFatal)+3))
}

func severityOfWord(word string) Severity {
	var lower [maxSeverityWord]byte
	if len(word) > len(lower) {
		return SeverityUnknown
	}
	for i := range len(word) {
		c := word[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		lower[i] = c
	}
	return severityWords[string(lower[:len(word)])]
}

// SeverityOfLetter is the severity of a level of one letter, as glog writes it.
func SeverityOfLetter(c byte) Severity {
	switch c | 0x20 {
	case 't', 'v':
		return SeverityTrace
	case 'd':
		return SeverityDebug
	case 'i':
		return SeverityInfo
	case 'w':
		return SeverityWarn
	case 'e':
		return SeverityError
	case 'f', 'c':
		return SeverityFatal
	}
	return SeverityUnknown
}

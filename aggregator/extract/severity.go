package extract

import (
	"strconv"
	"strings"

	"github.com/coldscope/coldscope/internal/faas"
)

// levelWords are the names of levels, in lower case. Numbers within a range
// follow OpenTelemetry's appendix on syslog and log4j.
var levelWords = map[string]faas.Severity{
	"trace": faas.SeverityTrace, "trc": faas.SeverityTrace, "trac": faas.SeverityTrace, "verbose": faas.SeverityTrace, "vrb": faas.SeverityTrace,
	"finest": faas.SeverityTrace, "finer": faas.SeverityTrace, "silly": faas.SeverityTrace, "trce": faas.SeverityTrace,
	"debug": faas.SeverityDebug, "dbg": faas.SeverityDebug, "debu": faas.SeverityDebug, "dbug": faas.SeverityDebug, "fine": faas.SeverityDebug, "config": faas.SeverityDebug,
	"info": faas.SeverityInfo, "inf": faas.SeverityInfo, "information": faas.SeverityInfo, "informational": faas.SeverityInfo,
	"notice": faas.SeverityInfo + 1, "success": faas.SeverityInfo + 1,
	"warn": faas.SeverityWarn, "warning": faas.SeverityWarn, "wrn": faas.SeverityWarn,
	"error": faas.SeverityError, "err": faas.SeverityError, "erro": faas.SeverityError, "fail": faas.SeverityError, "severe": faas.SeverityError,
	"crit": faas.SeverityError + 1, "dpanic": faas.SeverityError + 1, "alert": faas.SeverityError + 2,
	"fatal": faas.SeverityFatal, "ftl": faas.SeverityFatal, "fata": faas.SeverityFatal, "critical": faas.SeverityFatal,
	"panic": faas.SeverityFatal, "pani": faas.SeverityFatal, "emerg": faas.SeverityFatal, "emergency": faas.SeverityFatal,
}

// maxLevelBytes is the longest of levelWords.
const maxLevelBytes = len("informational")

// levels is levelWords for a search without hashing.
var levels = func() *nameTable {
	t := new(nameTable)
	for word, s := range levelWords {
		t.add(word, role(s)) // at most 24
	}
	return t
}()

// levelWord is the severity that word names in any case, unknown if none.
func levelWord(word string) faas.Severity {
	if len(word) < 3 || len(word) > maxLevelBytes {
		return faas.SeverityUnknown
	}
	return faas.Severity(levels.role(word))
}

// letterLevel is the severity of a level of one letter.
func letterLevel(c byte) faas.Severity {
	switch c | 0x20 {
	case 't', 'v':
		return faas.SeverityTrace
	case 'd':
		return faas.SeverityDebug
	case 'i':
		return faas.SeverityInfo
	case 'w':
		return faas.SeverityWarn
	case 'e':
		return faas.SeverityError
	case 'f', 'c':
		return faas.SeverityFatal
	}
	return faas.SeverityUnknown
}

// levelText reads what a level field has for a text: a word, a letter, or a
// word and what slog adds to it ("ERROR+2").
func levelText(text string) faas.Severity {
	if len(text) == 1 {
		return letterLevel(text[0])
	}
	if s := levelWord(text); s != 0 {
		return s
	}
	at := strings.IndexAny(text[:min(len(text), maxLevelBytes)], "+-")
	if at < 0 {
		return faas.SeverityUnknown
	}
	s := levelWord(text[:at])
	n, err := strconv.Atoi(text[at:])
	if s == 0 || err != nil || n < -24 || n > 24 {
		return faas.SeverityUnknown
	}
	return faas.Severity(min(max(int(s)+n, 1), int(faas.SeverityFatal)+3))
}

// syslogSeverities are by syslog's number.
var syslogSeverities = [8]faas.Severity{
	faas.SeverityFatal, faas.SeverityError + 2, faas.SeverityError + 1, faas.SeverityError,
	faas.SeverityWarn, faas.SeverityInfo + 1, faas.SeverityInfo, faas.SeverityDebug,
}

// levelNumber reads a level that is a number. Names of fields tell what it
// counts: GELF's and syslog's 0 to 7, bunyan's and pino's 10 to 60, Monolog's
// 100 to 600; Google Cloud's severity 100 to 800; Python's levelno; and
// OpenTelemetry's severity_number.
func levelNumber(key, text string) faas.Severity {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 800 {
		return faas.SeverityUnknown
	}
	switch lowered := strings.ToLower(key); {
	case strings.HasSuffix(lowered, "number"):
		if n <= int(faas.SeverityFatal)+3 {
			return faas.Severity(n)
		}
	case lowered == "levelno":
		if n >= 10 && n <= 50 {
			return faas.SeverityDebug + faas.Severity(n/10-1)*4
		}
	case n < len(syslogSeverities):
		return syslogSeverities[n]
	case n >= 10 && n < 70:
		return faas.SeverityTrace + faas.Severity(n/10-1)*4
	case n >= 100 && lowered == "severity":
		return [...]faas.Severity{
			faas.SeverityDebug, faas.SeverityInfo, faas.SeverityInfo + 1, faas.SeverityWarn,
			faas.SeverityError, faas.SeverityError + 1, faas.SeverityError + 2, faas.SeverityFatal,
		}[n/100-1]
	case n == 250:
		return faas.SeverityInfo + 1
	case n >= 550:
		return faas.SeverityFatal
	case n >= 100:
		return [...]faas.Severity{
			faas.SeverityDebug, faas.SeverityInfo, faas.SeverityWarn, faas.SeverityError, faas.SeverityFatal,
		}[n/100-1]
	}
	return faas.SeverityUnknown
}

// statusSeverity is that of an HTTP status, unknown for what is none.
func statusSeverity(text string) faas.Severity {
	if len(text) != 3 || !isDigit(text[1]) || !isDigit(text[2]) {
		return faas.SeverityUnknown
	}
	switch {
	case text[0] == '5':
		return faas.SeverityError
	case text[0] >= '1' && text[0] <= '4':
		return faas.SeverityInfo
	}
	return faas.SeverityUnknown
}

package extract

import (
	"strconv"
	"strings"

	"github.com/coldscope/coldscope/internal/faas"
)

// levels are the names of levels, for a search without hashing.
var levels = func() *nameTable {
	t := new(nameTable)
	for word, s := range faas.SeverityWords() {
		t.add(word, role(s)) // at most 24
	}
	return t
}()

// levelWord is the severity that word names in any case, unknown if none.
func levelWord(word string) faas.Severity {
	if len(word) < 3 {
		return faas.SeverityUnknown
	}
	return faas.Severity(levels.role(word))
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

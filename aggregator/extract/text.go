package extract

import (
	"strings"

	"github.com/coldscope/coldscope/internal/faas"
)

// headBytes is how much of a text's first line may be its header.
const headBytes = 128

// textSeverity is the severity of a line that is neither JSON nor logfmt:
// from its header, else an access log's status, else named, which is what a
// "level=" anywhere says, else from the exception that it begins with.
func textSeverity(s string, named faas.Severity) faas.Severity {
	if severity := prefixSeverity(s); severity != 0 {
		return severity
	}
	if s != "" && (s[0] == '\t' || s[0] == ' ') && strings.HasPrefix(strings.TrimLeft(s[:min(len(s), headBytes)], " \t"), "at ") {
		return 0 // a frame of a stack, of many, whatever it calls
	}
	severity, sure := headSeverity(s[:min(len(s), headBytes)])
	if sure {
		return severity
	}
	if status := accessSeverity(s); status != 0 {
		return status
	}
	if named != 0 {
		return named
	}
	return severity
}

// prefixSeverity reads glog's and klog's "E0102 15:04:05.", with the year or
// without, and syslog's "<3>".
func prefixSeverity(s string) faas.Severity {
	if len(s) < 3 {
		return 0
	}
	switch s[0] {
	case 'I', 'W', 'E', 'F':
		n := skip(s, 1, '0', '9')
		if (n == 5 || n == 9) && len(s) > n+9 && s[n] == ' ' && s[n+3] == ':' && s[n+6] == ':' && isDigit(s[n+1]) {
			return faas.SeverityOfLetter(s[0])
		}
	case '<':
		n := skip(s, 1, '0', '9')
		if n > 1 && n < 5 && n < len(s) && s[n] == '>' {
			priority := 0
			for _, c := range []byte(s[1:n]) {
				priority = priority*10 + int(c-'0')
			}
			if priority < 192 {
				return syslogSeverities[priority%8]
			}
		}
	}
	return 0
}

// headSeverity looks for a level among the words before the first quotation
// mark and the line's end: in capitals, in brackets, or first and with a colon
// behind it. It is sure of these; what begins like an error is a guess.
func headSeverity(s string) (severity faas.Severity, sure bool) {
	first, negated := true, false // no word came yet; the last one was a no
	for i := 0; i < len(s); {
		for i < len(s) && classes[s[i]]&(letter|stop) == 0 {
			i++
		}
		if i == len(s) || classes[s[i]] == stop {
			break
		}
		end := i + 1
		for end < len(s) && classes[s[end]] == letter {
			end++
		}
		if i > 0 && classes[s[i-1]] == digit { // what that begins is no level: 05Z, 3PM
			i = end
			continue
		}
		word := s[i:end]
		if l := levelWord(word); l != 0 && !negated && standsAsLevel(s, i, end, first) {
			return l, true
		}
		if severity == 0 && !negated {
			severity = guess(word, s[end:], first)
		}
		negated = negates(word)
		first = first && beforeFirst(word, s[end:])
		i = end
	}
	return severity, false
}

// Classes of bytes in a header.
const (
	letter = 1 << iota
	digit  // or _
	stop
)

var classes = func() (is [256]uint8) {
	for c := range is {
		switch b := byte(c); {
		case isLetter(b):
			is[c] = letter
		case isDigit(b), b == '_':
			is[c] = digit
		case b == '"', b == '\n':
			is[c] = stop
		}
	}
	return is
}()

// beforeFirst reports whether word, with rest behind it, leaves the next word
// the first: as part of a date, a package's name, or PHP's own.
func beforeFirst(word, rest string) bool {
	if len(word) == 1 || word == "PHP" {
		return true
	}
	return len(rest) > 1 && (rest[0] == '.' && isLetter(rest[1]) || (rest[0] == '/' || rest[0] == '-') && isDigit(rest[1]))
}

// negates reports whether word takes back a level that follows it.
func negates(word string) bool {
	switch len(word) {
	case 2:
		return equalFold(word, "no")
	case 3:
		return equalFold(word, "any")
	case 4:
		return equalFold(word, "zero")
	case 7:
		return equalFold(word, "without")
	}
	return false
}

// standsAsLevel reports whether the level's name s[i:end] is meant for one.
func standsAsLevel(s string, i, end int, first bool) bool {
	before, after := byte(' '), byte(' ')
	if i > 0 {
		before = s[i-1]
	}
	if end < len(s) {
		after = s[end]
	}
	if skip(s, i, 'A', 'Z') == end {
		switch {
		case strings.IndexByte("/-=$@%&?#", before) >= 0, strings.IndexByte("_-=.0123456789", after) >= 0:
			return false
		}
		return before != '.' || after == ':' // Laravel's local.ERROR:
	}
	switch levelOnly := equalFold(s[i:end], "config") || equalFold(s[i:end], "fine") || equalFold(s[i:end], "success"); {
	case levelOnly:
		return false // a word like any other
	case first && after == ':' && (before == ' ' || before == '\t' || before == ']'):
		return true
	}
	for before == ' ' && i > 1 {
		i--
		before = s[i-1]
	}
	for after == ' ' && end+1 < len(s) {
		end++
		after = s[end]
	}
	switch string([]byte{before, after}) {
	case "[]", ":]", "()", "<>", "||", "\t\t":
		return true
	}
	return false
}

// guess is the severity of a line whose head has word, with rest behind it,
// and no level: of an exception, a panic, a traceback.
func guess(word, rest string, first bool) faas.Severity {
	switch {
	case first && equalFold(word, "fatal"):
		return faas.SeverityFatal
	case first && (word == "Traceback" || word == "Exception"), word == "panicked":
		return faas.SeverityError
	case rest != "" && rest[0] != ':':
		return faas.SeverityUnknown
	case len(word) > len("Error") && (strings.HasSuffix(word, "Error") || strings.HasSuffix(word, "Exception")):
		return faas.SeverityError
	}
	return faas.SeverityUnknown
}

// accessSeverity reads the status behind a request line in quotation marks, as
// Apache, nginx, Envoy and their like write it, and that of Gin.
func accessSeverity(s string) faas.Severity {
	if rest, ok := strings.CutPrefix(s, "[GIN] "); ok {
		if at := strings.IndexByte(rest, '|'); at >= 0 && at+5 < len(rest) {
			return statusSeverity(rest[at+2 : at+5])
		}
	}
	from := strings.IndexByte(s[:min(len(s), 2*headBytes)], '"') + 1
	if from == 0 {
		return 0
	}
	n := strings.IndexByte(s[from:], '"')
	if n < 0 {
		return 0
	}
	request, rest := s[from:from+n], s[from+n+1:]
	protocol := strings.LastIndexByte(request, ' ') + 1
	if !strings.HasPrefix(request[protocol:], "HTTP/") || len(rest) < 4 || rest[0] != ' ' || len(rest) > 4 && rest[4] != ' ' {
		return 0
	}
	return statusSeverity(rest[1:4])
}

package extract

import (
	"math/bits"
	"regexp"
	"strconv"
	"strings"

	"github.com/coldscope/coldscope/internal/faas"
)

// Bounds of what is taken for a request ID.
const (
	minID  = 8
	maxID  = 128
	maxIDs = 4 // of a line
)

// finder finds what follows the names that it knows, in any text.
type finder struct {
	byLast   [256][]name // by the name's last byte, in either case
	ends     [256]bool   // bytes before a colon at which it pays to look closer
	patterns []*regexp.Regexp
}

// name is what may stand before a colon or an equals sign.
type name struct {
	text string // lower case; each of _-. and space stands for one of them, or none
	kind kind
	tail uint32 // tailOf(text)
}

// tailOf is the last three bytes of s, separators aside, in lower case: most
// names that are not looked for are known by them. Zero if it has not so many.
func tailOf(s string) uint32 {
	var tail uint32
	for i := len(s) - 1; i >= 0; i-- {
		if c := s[i]; !isSeparator(c) {
			if tail = tail<<8 | uint32(lowerByte(c)); tail >= 1<<16 {
				return tail
			}
		}
	}
	return 0
}

type kind uint8

const (
	requestID kind = iota
	traceID
	spanID
	traceparent
	amazonRoot
	level
)

// ownNames are those of tracing libraries and headers, and of levels, which
// count where nothing else tells.
var ownNames = []name{
	{text: "trace_id", kind: traceID},
	{text: "trace", kind: traceID},
	{text: "@tr", kind: traceID},
	{text: "span_id", kind: spanID},
	{text: "@sp", kind: spanID},
	{text: "traceparent", kind: traceparent},
	{text: "root", kind: amazonRoot},
	{text: "level", kind: level},
	{text: "lvl", kind: level},
	{text: "severity", kind: level},
}

// unboundedBytes is from which length on a name may be the end of any other
// (myrequestid); a shorter one begins where a word does (grid is no rid).
const unboundedBytes = len("request_id")

func newFinder(keys []string, patterns []*regexp.Regexp) finder {
	var names []name
	for _, k := range keys {
		names = append(names, name{text: strings.ToLower(k), kind: requestID})
	}
	f := finder{patterns: patterns}
	for _, n := range append(names, ownNames...) {
		n.tail = tailOf(n.text)
		for c := range f.byLast {
			if lowerByte(byte(c)) == n.text[len(n.text)-1] {
				f.byLast[c] = append(f.byLast[c], n)
			}
		}
	}
	for c, names := range f.byLast {
		f.ends[c] = len(names) > 0 || isQuote(byte(c))
	}
	return f
}

// find looks for IDs in s, whatever it is. Where s has a character that no body
// keeps it gives its place and stops, else it gives -1: both are looked for in
// one pass.
func (x *Extractor) find(s string, f *found) int {
	if at := firstC1(s); at >= 0 {
		return at
	}
	i := 0
	for ; i+8 <= len(s); i += 8 {
		v := load(s, i)
		for m := below(v, ' '); m != 0; m &= m - 1 {
			if at := i + bits.TrailingZeros64(m)/8; control(s, at) > 0 {
				return at
			}
		}
		for m := either(v, ':', '='); m != 0; m &= m - 1 {
			x.sign(s, i+bits.TrailingZeros64(m)/8, f)
		}
	}
	for ; i < len(s); i++ {
		if control(s, i) > 0 {
			return i
		}
		x.sign(s, i, f)
	}
	x.match(s, f)
	return -1
}

// match looks for the configured patterns.
func (x *Extractor) match(s string, f *found) {
	for _, re := range x.ids.patterns {
		for _, m := range re.FindAllStringSubmatchIndex(s, maxIDs) {
			if m[2] < 0 {
				continue // the group had no part in it
			}
			if id := s[m[2]:m[3]]; id != "" && idEnd(id) == len(id) {
				f.add(id)
			}
		}
	}
}

// sign looks at what may be a colon or an equals sign at p. It is small, and
// most ends here: they stand in times, or behind names that nobody looks for.
func (x *Extractor) sign(s string, p int, f *found) {
	end := p
	if end > 0 && s[end-1] == '"' {
		end--
	}
	if end > 0 && x.ids.ends[s[end-1]] && (s[p] == ':' || s[p] == '=') {
		x.named(s, p, end, f)
	}
}

// named looks at the sign at p, behind a name that may end at end.
func (x *Extractor) named(s string, p, end int, f *found) {
	for end > 0 && isQuote(s[end-1]) {
		end--
	}
	if end == 0 || !x.ids.ends[s[end-1]] {
		return
	}
	tail := tailOf(s[:end])
	for i := range x.ids.byLast[s[end-1]] {
		n := &x.ids.byLast[s[end-1]][i]
		if n.tail != tail && n.tail != 0 {
			continue
		}
		if at := n.begins(s[:end]); at >= 0 {
			from := p + 1
			for from < len(s) && isQuote(s[from]) {
				from++
			}
			x.value(n.kind, s, at, from, f) // a trace's ID may be a request's, too
		}
	}
}

// value takes what begins at from; its name began at at.
func (x *Extractor) value(k kind, s string, at, from int, f *found) {
	v := s[from:]
	switch k {
	case requestID:
		if n := idEnd(v); n > 0 {
			f.add(v[:n])
		}
	case traceID:
		f.setTrace(v, strings.HasSuffix(s[:at], "dd."))
	case spanID:
		if before := strings.TrimRight(s[:at], "_-."); !equalFold(before[max(0, len(before)-len("parent")):], "parent") {
			f.setSpan(v, strings.HasSuffix(s[:at], "dd."))
		}
	case traceparent:
		if len(v) >= 55 && hexEnd(v) == 2 && v[2] == '-' && v[35] == '-' && hexEnd(v[36:]) == 16 && v[52] == '-' && hexEnd(v[3:]) == 32 {
			f.setTrace(v[3:35], false)
			f.setSpan(v[36:52], false)
			if x.traceparent {
				f.add(v[3:35])
			}
		}
	case amazonRoot:
		if id, text := amazonTrace(v); id != "" && f.trace == "" {
			f.trace, f.traceText = id, text
		}
	case level:
		if f.severity == faas.SeverityUnknown && (at == 0 || strings.IndexByte("?&/.-_", s[at-1]) < 0) {
			n := 0
			for n < len(v) && isLetter(v[n]) {
				n++
			}
			f.severity = levelWord(v[:n])
		}
	}
}

// begins gives where n begins if s ends with it, else -1.
func (n *name) begins(s string) int {
	at := len(s)
	i := len(n.text) - 1
	if strings.HasSuffix(s, n.text) { // most are written so
		at, i = at-len(n.text), -1
	}
	for ; i >= 0; i-- {
		c := n.text[i]
		switch {
		case isSeparator(c):
			if at > 0 && isSeparator(s[at-1]) {
				at--
			}
		case at > 0 && lowerByte(s[at-1]) == c:
			at--
		default:
			return -1
		}
	}
	if at == 0 || n.kind == requestID && len(n.text) >= unboundedBytes {
		return at
	}
	before := s[at-1]
	if isDigit(before) || isUpper(before) || isLetter(before) && !isUpper(s[at]) {
		return -1
	}
	return at
}

func isSeparator(c byte) bool { return c == '_' || c == '-' || c == '.' || c == ' ' }
func isQuote(c byte) bool     { return c == '"' || c == '\'' || c == ' ' }

// idEnd gives the length of the request ID that s begins with, 0 if it does not.
func idEnd(s string) int {
	end := 0
	for end < len(s) && end <= maxID && idBytes[s[end]] {
		end++
	}
	if end < minID || end > maxID {
		return 0
	}
	return end
}

// idBytes are those of isIDByte.
var idBytes = func() (is [256]bool) {
	for c := range is {
		is[c] = isIDByte(byte(c))
	}
	return is
}()

func isIDByte(c byte) bool { return isLetter(c) || isDigit(c) || c == '-' || c == '_' }

// hexEnd gives how many hexadecimal digits s begins with.
func hexEnd(s string) int {
	n := 0
	for n < len(s) && (isDigit(s[n]) || s[n]|0x20 >= 'a' && s[n]|0x20 <= 'f') {
		n++
	}
	return n
}

// setTrace takes the trace ID that v begins with: 32 or 16 hexadecimal digits,
// a UUID, X-Ray's 1-xxxxxxxx-xxxxxxxxxxxxxxxxxxxxxxxx, Google Cloud's
// projects/P/traces/ID, or Datadog's number.
func (f *found) setTrace(v string, datadog bool) {
	if f.trace != "" {
		return
	}
	if rest, ok := strings.CutPrefix(v, "projects/"); ok {
		if _, v, ok = strings.Cut(rest[:min(len(rest), 128)], "/traces/"); !ok {
			return
		}
	}
	end := idEnd(v)
	switch text := v[:end]; {
	case datadog && end <= maxDecimal:
		end = skip(v, 0, '0', '9')
		f.trace = decimal(v[:end])
	case (end == 32 || end == 16) && hexEnd(text) == end:
		f.trace = normal(text)
	case end == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-':
		if id := strings.ReplaceAll(text, "-", ""); hexEnd(id) == 32 {
			f.trace = normal(id)
		}
	default:
		f.trace, _ = amazonTrace(text)
	}
	if f.trace != "" {
		f.traceText = v[:end]
	}
}

// setSpan takes the span ID that v begins with: 16 hexadecimal digits, or
// Datadog's number.
func (f *found) setSpan(v string, datadog bool) {
	if f.span != "" {
		return
	}
	end := idEnd(v)
	switch {
	case datadog && end <= maxDecimal:
		end = skip(v, 0, '0', '9')
		f.span = decimal(v[:end])
	case end == 16 && hexEnd(v) == 16:
		f.span = normal(v[:end])
	}
	if f.span != "" {
		f.spanText = v[:end]
	}
}

// maxDecimal is how many digits the longest number of 64 bits has.
const maxDecimal = 20

// normal is id in lower case, empty if it is nothing but zeros, which means
// none.
func normal(id string) string {
	if strings.Trim(id, "0") == "" {
		return ""
	}
	return strings.ToLower(id)
}

// decimal is a number of 64 bits as 16 hexadecimal digits.
func decimal(text string) string {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return ""
	}
	id := strconv.FormatUint(n, 16)
	return strings.Repeat("0", 16-len(id)) + id
}

// amazonTrace reads an X-Ray trace ID.
func amazonTrace(v string) (id, text string) {
	const bytes = len("1-xxxxxxxx-xxxxxxxxxxxxxxxxxxxxxxxx")
	if len(v) < bytes || v[:2] != "1-" || hexEnd(v[2:]) != 8 || v[10] != '-' || hexEnd(v[11:]) != 24 {
		return "", ""
	}
	return normal(v[2:10] + v[11:bytes]), v[:bytes]
}

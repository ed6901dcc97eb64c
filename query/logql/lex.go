package logql

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// kind is what a token is. Its text is how errors call it.
type kind string

const (
	kindEnd      kind = "$end"
	kindIdent    kind = "IDENTIFIER"
	kindString   kind = "STRING"
	kindNumber   kind = "NUMBER"
	kindDuration kind = "DURATION"
	kindBytes    kind = "BYTES"
	kindFlag     kind = "FUNCTION_FLAG"
	kindPunct    kind = "" // called by its own text
)

type token struct {
	Pos
	kind     kind
	text     string // as it is written; of a string what it says
	number   float64
	duration time.Duration
	bytes    uint64
}

// name is how an error calls the token.
func (t *token) name() string {
	if t.kind == kindPunct || t.kind == kindIdent && keywords[t.text] {
		return t.text
	}
	return string(t.kind)
}

// keywords are called by their text in errors.
var keywords = set(
	"by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset", "and", "or", "unless", "unwrap", "ip",
	"json", "logfmt", "regexp", "pattern", "unpack", "line_format", "label_format", "decolorize", "drop", "keep", "label_replace", "vector",
	string(CountOverTime), string(Rate), string(RateCounter), string(BytesOverTime), string(BytesRate), string(SumOverTime), string(AvgOverTime),
	string(MinOverTime), string(MaxOverTime), string(StdvarOverTime), string(StddevOverTime), string(QuantileOverTime), string(FirstOverTime),
	string(LastOverTime), string(AbsentOverTime), string(Sum), string(Avg), string(Count), string(Max), string(Min), string(Stddev), string(Stdvar),
	string(TopK), string(BottomK), string(ApproxTopK), string(Sort), string(SortDesc),
)

func set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}

// punctuation, the longest first where one begins another.
var punctuation = []string{
	"|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=",
	"{", "}", "(", ")", "[", "]", ",", "|", "=", ">", "<", "+", "-", "*", "/", "%", "^",
}

// lexer takes a query apart.
type lexer struct {
	rest string
	Pos
}

// lex is all tokens of a query, the last of them its end.
func lex(query string) ([]token, *ParseError) {
	l := &lexer{rest: query, Pos: Pos{1, 1}}
	var tokens []token
	for {
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		if t.kind == kindEnd {
			return tokens, nil
		}
	}
}

// take moves behind the next n bytes and returns them.
func (l *lexer) take(n int) string {
	s := l.rest[:n]
	l.rest = l.rest[n:]
	for _, r := range s {
		l.Col++
		if r == '\n' {
			l.Line++
			l.Col = 1
		}
	}
	return s
}

// skip passes over blanks and comments.
func (l *lexer) skip() {
	for {
		n := len(l.rest) - len(strings.TrimLeft(l.rest, " \t\r\n"))
		if n < len(l.rest) && l.rest[n] == '#' {
			if end := strings.IndexByte(l.rest[n:], '\n'); end >= 0 {
				n += end
			} else {
				n = len(l.rest)
			}
		}
		if n == 0 {
			return
		}
		l.take(n)
	}
}

func (l *lexer) next() (token, *ParseError) {
	l.skip()
	at := l.Pos
	if l.rest == "" {
		return token{Pos: at, kind: kindEnd}, nil
	}
	switch c := l.rest[0]; {
	case c == '"' || c == '`':
		return l.quoted(c)
	case digit(c) || c == '.' && len(l.rest) > 1 && digit(l.rest[1]):
		return l.number()
	case letter(c):
		return token{Pos: at, kind: kindIdent, text: l.take(identLen(l.rest))}, nil
	case strings.HasPrefix(l.rest, "--") && len(l.rest) > 2 && letter(l.rest[2]):
		n := 2
		for n < len(l.rest) && (letter(l.rest[n]) || l.rest[n] == '-') {
			n++
		}
		return token{Pos: at, kind: kindFlag, text: l.take(n)}, nil
	}
	for _, p := range punctuation {
		if strings.HasPrefix(l.rest, p) {
			return token{Pos: at, kind: kindPunct, text: l.take(len(p))}, nil
		}
	}
	r, _ := utf8.DecodeRuneInString(l.rest)
	return token{}, &ParseError{at, fmt.Sprintf("syntax error: unexpected character %q", r)}
}

// quoted reads a string: "…" with Go's escapes, or `…` as it is.
func (l *lexer) quoted(quote byte) (token, *ParseError) {
	at := l.Pos
	for i := 1; i < len(l.rest); i++ {
		switch c := l.rest[i]; {
		case c == '\\' && quote == '"':
			i++
		case c == '\n' && quote == '"':
			return token{}, &ParseError{at, "literal not terminated"}
		case c == quote:
			s := l.take(i + 1)
			text := s[1:i] // not by Unquote, which takes carriage returns out of `…`
			if quote == '"' {
				var err error
				if text, err = strconv.Unquote(s); err != nil {
					return token{}, &ParseError{at, "invalid escape in string " + s}
				}
			}
			return token{Pos: at, kind: kindString, text: text}, nil
		}
	}
	return token{}, &ParseError{at, "literal not terminated"}
}

// number reads a number, or one with a unit: a duration or a size.
func (l *lexer) number() (token, *ParseError) {
	at := l.Pos
	n := 0
	for n < len(l.rest) {
		c := l.rest[n]
		exponent := (c == '+' || c == '-') && n > 0 && (l.rest[n-1] == 'e' || l.rest[n-1] == 'E') && isDecimal(l.rest[:n-1]) &&
			n+1 < len(l.rest) && digit(l.rest[n+1])
		if !digit(c) && !letter(c) && c != '.' && c < utf8.RuneSelf && !exponent {
			break
		}
		n++
	}
	t := token{Pos: at, text: l.take(n)}
	var err error
	if t.number, err = strconv.ParseFloat(t.text, 64); err == nil {
		t.kind = kindNumber
	} else if t.duration, err = ParseDuration(t.text); err == nil {
		t.kind = kindDuration
	} else if t.bytes, err = ParseBytes(t.text); err == nil {
		t.kind = kindBytes
	} else {
		return t, &ParseError{at, fmt.Sprintf("syntax error: %q is no number, duration or size", t.text)}
	}
	return t, nil
}

func isDecimal(s string) bool { return strings.Trim(s, "0123456789.") == "" }
func digit(c byte) bool       { return '0' <= c && c <= '9' }
func letter(c byte) bool      { return c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z' }

func identLen(s string) int {
	n := 0
	for n < len(s) && (letter(s[n]) || n > 0 && digit(s[n])) {
		n++
	}
	return n
}

// IsLabelName says whether s can be written as the name of a label.
func IsLabelName(s string) bool { return s != "" && identLen(s) == len(s) }

var (
	errDuration = errors.New("not a valid duration")
	errBytes    = errors.New("not a valid size")
)

// ParseDuration reads a duration as LogQL has it: numbers with units from ns to
// y one after the other, as 1h30m or 1.5d. A day has 24 hours, a week 7 days and
// a year 365 days.
func ParseDuration(s string) (time.Duration, error) {
	if s == "" {
		return 0, errDuration
	}
	var sum float64 // exact up to 2^53 ns, 104 days, where no part has a fraction
	var whole int64
	exact := true
	for s != "" {
		n := 0
		for n < len(s) && (digit(s[n]) || s[n] == '.') {
			n++
		}
		value, err := strconv.ParseFloat(s[:n], 64)
		if err != nil {
			return 0, errDuration
		}
		m := n
		for m < len(s) && !digit(s[m]) && s[m] != '.' {
			m++
		}
		unit, ok := durationUnit(s[n:m])
		if !ok {
			return 0, errDuration
		}
		sum += value * float64(unit)
		if i, err := strconv.ParseInt(s[:n], 10, 64); err != nil || i > math.MaxInt64/int64(unit) || whole > math.MaxInt64-i*int64(unit) {
			exact = false
		} else {
			whole += i * int64(unit)
		}
		s = s[m:]
	}
	if exact {
		return time.Duration(whole), nil
	}
	if sum >= math.MaxInt64 {
		return 0, errDuration
	}
	return time.Duration(math.Round(sum)), nil
}

func durationUnit(s string) (time.Duration, bool) {
	if s == "µs" || s == "μs" { // U+00B5 and U+03BC
		return time.Microsecond, true
	}
	for _, u := range durationUnits {
		if u.name == s {
			return u.unit, true
		}
	}
	return 0, false
}

// ParseBytes reads a size: a number with one of the units B, KB, KiB and so on
// up to EB and EiB, in any case of letters, B left out or not. KB are 1000 bytes
// and KiB are 1024. A fraction of a byte is cut off.
func ParseBytes(s string) (uint64, error) {
	n := 0
	for n < len(s) && (digit(s[n]) || s[n] == '.') {
		n++
	}
	unit := uint64(1)
	if name := strings.ToLower(strings.TrimSpace(s[n:])); name != "" && name != "b" {
		name = strings.TrimSuffix(name, "b")
		found := false
		for _, u := range byteUnits {
			if strings.ToLower(strings.TrimSuffix(u.name, "B")) == name {
				unit, found = u.unit, true
			}
		}
		if !found {
			return 0, errBytes
		}
	}
	if i, err := strconv.ParseUint(s[:n], 10, 64); err == nil && i <= math.MaxUint64/unit {
		return i * unit, nil
	}
	f, err := strconv.ParseFloat(s[:n], 64)
	if f *= float64(unit); err != nil || f >= math.MaxUint64 {
		return 0, errBytes
	}
	return uint64(f), nil
}

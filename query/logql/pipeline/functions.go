package pipeline

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// toolbox is what the functions of one template need. It counts how much text
// they read and make for a line: what is made of a line must not be without
// bounds, whatever the query.
type toolbox struct {
	expressions expressions
	zones       map[string]*time.Location
	spent       int
}

var errLong = errors.New("the result is too long")

// spend is errLong if n bytes are too many, or too many with those before.
func (b *toolbox) spend(n int) error {
	if n < 0 || n > maxOutput || b.spent > maxSpent-n {
		return errLong
	}
	b.spent += n
	return nil
}

// one, two and decoded make functions of texts that spend what they read and make.
func (b *toolbox) one(f func(string) string) func(string) (string, error) {
	return func(s string) (string, error) { return b.made(len(s), f(s)) }
}

func (b *toolbox) two(f func(_, _ string) string) func(_, _ string) (string, error) {
	return func(x, s string) (string, error) { return b.made(len(x)+len(s), f(x, s)) }
}

func (b *toolbox) decoded(f func(string) (string, error)) func(string) (string, error) {
	return func(s string) (string, error) {
		out, err := f(s)
		if err != nil {
			return "", err
		}
		return b.made(len(s), out)
	}
}

func (b *toolbox) made(read int, s string) (string, error) {
	if err := b.spend(read/8 + len(s)); err != nil {
		return "", err
	}
	return s, nil
}

// functions are those of Loki's templates, by their documentation, and those of
// text/template that make texts.
func (b *toolbox) functions() template.FuncMap {
	out := template.FuncMap{}
	for _, part := range []template.FuncMap{b.texts(), b.printing(), b.times(), numbers()} {
		maps.Copy(out, part)
	}
	return out
}

func (b *toolbox) texts() template.FuncMap {
	return template.FuncMap{
		"alignLeft":              func(n int, s string) (string, error) { return b.align(n, s, false) },
		"alignRight":             func(n int, s string) (string, error) { return b.align(n, s, true) },
		"b64enc":                 b.one(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }),
		"b64dec":                 b.decoded(b64dec),
		"contains":               func(part, s string) (bool, error) { return strings.Contains(s, part), b.spend(len(s) / 8) },
		"count":                  b.count,
		"default":                orDefault,
		"fromJson":               b.fromJSON,
		"hasPrefix":              func(prefix, s string) bool { return strings.HasPrefix(s, prefix) },
		"hasSuffix":              func(suffix, s string) bool { return strings.HasSuffix(s, suffix) },
		"indent":                 func(n int, s string) (string, error) { return b.indent("", n, s) },
		"nindent":                func(n int, s string) (string, error) { return b.indent("\n", n, s) },
		"lower":                  b.one(strings.ToLower),
		"regexReplaceAll":        b.replaceAll,
		"regexReplaceAllLiteral": b.replaceAllLiteral,
		"repeat":                 b.repeat,
		"replace":                func(old, by, s string) (string, error) { return b.replace(s, old, by, -1) },
		"substr":                 func(start, end int, s string) (string, error) { return b.made(8*len(s), substr(start, end, s)) },
		"title":                  b.one(func(s string) string { return cases.Title(language.Und, cases.NoLower).String(s) }),
		"trim":                   b.one(strings.TrimSpace),
		"trimAll":                b.two(func(chars, s string) string { return strings.Trim(s, chars) }),
		"trimPrefix":             b.two(func(prefix, s string) string { return strings.TrimPrefix(s, prefix) }),
		"trimSuffix":             b.two(func(suffix, s string) string { return strings.TrimSuffix(s, suffix) }),
		"trunc":                  func(n int, s string) (string, error) { return b.made(8*len(s), trunc(n, s)) },
		"upper":                  b.one(strings.ToUpper),
		"urldecode":              b.decoded(url.QueryUnescape),
		"urlencode":              b.one(url.QueryEscape),
		// The same by the names of Go's package strings, which have the text first.
		"ToLower":    b.one(strings.ToLower),
		"ToUpper":    b.one(strings.ToUpper),
		"Replace":    b.replace,
		"Trim":       b.two(strings.Trim),
		"TrimLeft":   b.two(strings.TrimLeft),
		"TrimRight":  b.two(strings.TrimRight),
		"TrimPrefix": b.two(strings.TrimPrefix),
		"TrimSuffix": b.two(strings.TrimSuffix),
		"TrimSpace":  b.one(strings.TrimSpace),
	}
}

func (b *toolbox) times() template.FuncMap {
	return template.FuncMap{
		"date":             func(layout string, v any) (string, error) { return b.made(0, date(layout, v)) },
		"duration":         seconds,
		"duration_seconds": seconds,
		"now":              time.Now,
		"toDate":           func(layout, s string) (time.Time, error) { return time.ParseInLocation(layout, s, time.Local) },
		"toDateInZone":     b.toDateInZone,
		"unixEpoch":        func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) },
		"unixEpochMillis":  func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) },
		"unixEpochNanos":   func(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) },
		"unixToTime":       unixToTime,
	}
}

func (b *toolbox) align(n int, s string, right bool) (string, error) {
	pad := n - utf8.RuneCountInString(s)
	if n < 0 {
		return s, nil
	}
	if err := b.spend(len(s) + max(pad, 0)); err != nil {
		return "", err
	}
	switch {
	case pad >= 0 && right:
		return strings.Repeat(" ", pad) + s, nil
	case pad >= 0:
		return s + strings.Repeat(" ", pad), nil
	case right:
		return string([]rune(s)[-pad:]), nil
	}
	return string([]rune(s)[:n]), nil
}

func b64dec(s string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	return string(b), err
}

// orDefault is the value, or d if there is none or it is empty.
func orDefault(d any, value ...any) any {
	if len(value) == 0 {
		return d
	}
	if ok, _ := template.IsTrue(value[0]); !ok {
		return d
	}
	return value[0]
}

func (b *toolbox) fromJSON(s string) (any, error) {
	if err := b.spend(len(s)); err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		return "", nil //nolint:nilerr // what is no JSON is the empty text, by the documentation
	}
	return v, nil
}

func (b *toolbox) indent(before string, n int, s string) (string, error) {
	if n < 0 || n > maxOutput {
		return "", errLong
	}
	if err := b.spend(len(s) + n*(strings.Count(s, "\n")+1)); err != nil {
		return "", err
	}
	pad := strings.Repeat(" ", n)
	return before + pad + strings.ReplaceAll(s, "\n", "\n"+pad), nil
}

func (b *toolbox) repeat(n int, s string) (string, error) {
	if n < 0 || n > maxOutput {
		return "", errLong
	}
	if err := b.spend(n * len(s)); err != nil {
		return "", err
	}
	return strings.Repeat(s, n), nil
}

func (b *toolbox) replace(s, old, by string, n int) (string, error) {
	if err := b.spend(len(s) + strings.Count(s, old)*len(by)); err != nil {
		return "", err
	}
	return strings.Replace(s, old, by, n), nil
}

// substr is s from the character start to the one before end; a negative start
// is the first, a negative end the last.
func substr(start, end int, s string) string {
	r := []rune(s)
	if end < 0 || end > len(r) {
		end = len(r)
	}
	start = min(max(start, 0), len(r))
	if start > end {
		return ""
	}
	return string(r[start:end])
}

// trunc is the first n characters of s, or with a negative n the last.
func trunc(n int, s string) string {
	r := []rune(s)
	switch {
	case n < 0 && len(r)+n > 0:
		return string(r[len(r)+n:])
	case n >= 0 && len(r) > n:
		return string(r[:n])
	}
	return s
}

func timeOf(ns int64) time.Time { return time.Unix(0, ns).UTC() }

func date(layout string, v any) string {
	switch t := v.(type) {
	case time.Time:
		return t.Format(layout)
	case int64:
		return time.Unix(t, 0).Format(layout)
	case int:
		return time.Unix(int64(t), 0).Format(layout)
	}
	return time.Now().Format(layout)
}

func seconds(s string) (float64, error) {
	d, err := ParseDuration(s)
	return d.Seconds(), err
}

func (b *toolbox) toDateInZone(layout, zone, s string) (time.Time, error) {
	l := b.zones[zone]
	if l == nil {
		var err error
		if l, err = time.LoadLocation(zone); err != nil {
			return time.Time{}, err
		}
		b.zones[zone] = l
	}
	return time.ParseInLocation(layout, s, l)
}

// unixToTime reads a time since 1970 in days, seconds, milliseconds,
// microseconds or nanoseconds, which one its length says.
func unixToTime(s string) (time.Time, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time", s)
	}
	switch len(s) {
	case 5:
		return time.Unix(0, 0).UTC().AddDate(0, 0, int(n)), nil
	case 10:
		return time.Unix(n, 0).UTC(), nil
	case 13:
		return time.UnixMilli(n).UTC(), nil
	case 16:
		return time.UnixMicro(n).UTC(), nil
	case 19:
		return time.Unix(0, n).UTC(), nil
	}
	return time.Time{}, fmt.Errorf("%q is no time", s)
}

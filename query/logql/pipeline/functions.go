package pipeline

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// functions are those of Loki's templates, by their documentation, beside the
// ones that text/template has.
func functions() template.FuncMap {
	e := expressions{}
	return template.FuncMap{
		// Texts.
		"alignLeft":  alignLeft,
		"alignRight": alignRight,
		"b64enc":     func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"b64dec":     b64dec,
		"contains":   func(part, s string) bool { return strings.Contains(s, part) },
		"count":      e.count,
		"default":    orDefault,
		"fromJson":   fromJSON,
		"hasPrefix":  func(prefix, s string) bool { return strings.HasPrefix(s, prefix) },
		"hasSuffix":  func(suffix, s string) bool { return strings.HasSuffix(s, suffix) },
		"indent":     indent,
		"lower":      strings.ToLower,
		"nindent": func(n int, s string) (string, error) {
			s, err := indent(n, s)
			return "\n" + s, err
		},
		"regexReplaceAll":        e.replaceAll,
		"regexReplaceAllLiteral": e.replaceAllLiteral,
		"repeat":                 repeat,
		"replace":                func(old, new, s string) string { return strings.ReplaceAll(s, old, new) },
		"substr":                 substr,
		"title":                  func(s string) string { return cases.Title(language.Und, cases.NoLower).String(s) },
		"trim":                   strings.TrimSpace,
		"trimAll":                func(chars, s string) string { return strings.Trim(s, chars) },
		"trimPrefix":             func(prefix, s string) string { return strings.TrimPrefix(s, prefix) },
		"trimSuffix":             func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
		"trunc":                  trunc,
		"upper":                  strings.ToUpper,
		"urldecode":              url.QueryUnescape,
		"urlencode":              url.QueryEscape,
		// The same by the names of Go's package strings, which have the text first.
		"ToLower":    strings.ToLower,
		"ToUpper":    strings.ToUpper,
		"Replace":    strings.Replace,
		"Trim":       strings.Trim,
		"TrimLeft":   strings.TrimLeft,
		"TrimRight":  strings.TrimRight,
		"TrimPrefix": strings.TrimPrefix,
		"TrimSuffix": strings.TrimSuffix,
		"TrimSpace":  strings.TrimSpace,
		// Times.
		"date":             date,
		"duration":         seconds,
		"duration_seconds": seconds,
		"now":              time.Now,
		"toDate":           func(layout, s string) (time.Time, error) { return time.ParseInLocation(layout, s, time.Local) },
		"toDateInZone":     toDateInZone,
		"unixEpoch":        func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) },
		"unixEpochMillis":  func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) },
		"unixEpochNanos":   func(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) },
		"unixToTime":       unixToTime,
		// Numbers.
		"bytes":   func(s string) (float64, error) { return ParseBytes(s) },
		"int":     func(v any) int { return int(whole(v)) },
		"float64": real64,
		"add":     wholes(func(a, b int64) int64 { return a + b }),
		"sub":     func(a, b any) int64 { return whole(a) - whole(b) },
		"mul":     wholes(func(a, b int64) int64 { return a * b }),
		"div":     func(a, b any) (int64, error) { return divide(whole(a), whole(b), false) },
		"mod":     func(a, b any) (int64, error) { return divide(whole(a), whole(b), true) },
		"max":     wholes(func(a, b int64) int64 { return max(a, b) }),
		"min":     wholes(func(a, b int64) int64 { return min(a, b) }),
		"addf":    reals(func(a, b float64) float64 { return a + b }),
		"subf":    reals(func(a, b float64) float64 { return a - b }),
		"mulf":    reals(func(a, b float64) float64 { return a * b }),
		"divf":    reals(func(a, b float64) float64 { return a / b }),
		"maxf":    reals(math.Max),
		"minf":    reals(math.Min),
		"ceil":    func(v any) float64 { return math.Ceil(real64(v)) },
		"floor":   func(v any) float64 { return math.Floor(real64(v)) },
		"round":   round,
	}
}

var errLong = errors.New("the result is too long")

func alignLeft(n int, s string) (string, error) {
	switch pad := n - utf8.RuneCountInString(s); {
	case n < 0:
		return s, nil
	case pad > maxOutput:
		return "", errLong
	case pad >= 0:
		return s + strings.Repeat(" ", pad), nil
	}
	return string([]rune(s)[:n]), nil
}

func alignRight(n int, s string) (string, error) {
	have := utf8.RuneCountInString(s)
	switch pad := n - have; {
	case n < 0:
		return s, nil
	case pad > maxOutput:
		return "", errLong
	case pad >= 0:
		return strings.Repeat(" ", pad) + s, nil
	}
	return string([]rune(s)[have-n:]), nil
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

func fromJSON(s string) any {
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		return ""
	}
	return v
}

func indent(n int, s string) (string, error) {
	if n < 0 || n*(strings.Count(s, "\n")+1) > maxOutput {
		return "", errLong
	}
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(s, "\n", "\n"+pad), nil
}

func repeat(n int, s string) (string, error) {
	if n < 0 || n > maxOutput || n*len(s) > maxOutput {
		return "", errLong
	}
	return strings.Repeat(s, n), nil
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

func toDateInZone(layout, zone, s string) (time.Time, error) {
	l, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, err
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

// whole is v as a whole number, 0 if it is none.
func whole(v any) int64 {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return r.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return int64(r.Uint())
	case reflect.Float32, reflect.Float64:
		return int64(r.Float())
	case reflect.Bool:
		if r.Bool() {
			return 1
		}
	case reflect.String:
		s := r.String()
		if point := strings.IndexByte(s, '.'); point > 0 && strings.Trim(s[point+1:], "0") == "" {
			s = s[:point]
		}
		n, err := strconv.ParseInt(s, 0, 64)
		if err == nil {
			return n
		}
	default:
	}
	return 0
}

// real64 is v as a number, 0 if it is none.
func real64(v any) float64 {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Float32, reflect.Float64:
		return r.Float()
	case reflect.String:
		f, err := strconv.ParseFloat(r.String(), 64)
		if err != nil {
			return 0
		}
		return f
	default:
		return float64(whole(v))
	}
}

func wholes(op func(a, b int64) int64) func(first any, more ...any) int64 {
	return func(first any, more ...any) int64 {
		out := whole(first)
		for _, v := range more {
			out = op(out, whole(v))
		}
		return out
	}
}

func reals(op func(a, b float64) float64) func(first any, more ...any) float64 {
	return func(first any, more ...any) float64 {
		out := real64(first)
		for _, v := range more {
			out = op(out, real64(v))
		}
		return out
	}
}

func divide(a, b int64, rest bool) (int64, error) {
	switch {
	case b == 0:
		return 0, errors.New("division by zero")
	case rest:
		return a % b, nil
	}
	return a / b, nil
}

// round is v to so many digits; what is on, .5 if it is left out, is the part
// of the last one from which on it is rounded up.
func round(v any, digits int, on ...float64) float64 {
	from := .5
	if len(on) > 0 {
		from = on[0]
	}
	scale := math.Pow(10, float64(digits))
	number, part := math.Modf(real64(v) * scale)
	if part >= from {
		number++
	}
	return number / scale
}

// expressions are those that a template's functions are given, compiled once.
type expressions map[string]*regexp.Regexp

const maxExpressions = 256

func (e expressions) get(expr string) (*regexp.Regexp, error) {
	if re := e[expr]; re != nil {
		return re, nil
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, err
	}
	if len(e) >= maxExpressions {
		clear(e)
	}
	e[expr] = re
	return re, nil
}

func (e expressions) count(expr, s string) (int, error) {
	re, err := e.get(expr)
	if err != nil {
		return 0, err
	}
	return len(re.FindAllStringIndex(s, -1)), nil
}

func (e expressions) replaceAll(expr, s, by string) (string, error) {
	re, err := e.get(expr)
	if err != nil {
		return "", err
	}
	return re.ReplaceAllString(s, by), nil
}

func (e expressions) replaceAllLiteral(expr, s, by string) (string, error) {
	re, err := e.get(expr)
	if err != nil {
		return "", err
	}
	return re.ReplaceAllLiteralString(s, by), nil
}

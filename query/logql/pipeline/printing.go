package pipeline

import (
	"fmt"
	"regexp"
	"strings"
	"text/template"
)

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

func (b *toolbox) count(expr, s string) (int, error) {
	re, err := b.expressions.get(expr)
	if err != nil {
		return 0, err
	}
	if err := b.spend(len(s)); err != nil {
		return 0, err
	}
	return len(re.FindAllStringIndex(s, -1)), nil
}

func (b *toolbox) replaceAll(expr, s, by string) (string, error) {
	re, err := b.replacing(expr, s, by)
	if err != nil {
		return "", err
	}
	return re.ReplaceAllString(s, by), nil
}

func (b *toolbox) replaceAllLiteral(expr, s, by string) (string, error) {
	re, err := b.replacing(expr, s, by)
	if err != nil {
		return "", err
	}
	return re.ReplaceAllLiteralString(s, by), nil
}

// replacing spends what a replacement can make at most: for each match by, in
// which each group stands for a part of s, all of them together for no more
// than s.
func (b *toolbox) replacing(expr, s, by string) (*regexp.Regexp, error) {
	n, err := b.count(expr, s)
	if err != nil {
		return nil, err
	}
	if err := b.spend(len(s)*(1+strings.Count(by, "$")) + n*len(by)); err != nil {
		return nil, err
	}
	return b.expressions.get(expr)
}

// printing are the functions of text/template that make texts of any values.
func (b *toolbox) printing() template.FuncMap {
	return template.FuncMap{
		"print":    func(args ...any) (string, error) { return b.print(fmt.Sprint, args) },
		"println":  func(args ...any) (string, error) { return b.print(fmt.Sprintln, args) },
		"html":     func(args ...any) (string, error) { return b.print(template.HTMLEscaper, args) },
		"js":       func(args ...any) (string, error) { return b.print(template.JSEscaper, args) },
		"urlquery": func(args ...any) (string, error) { return b.print(template.URLQueryEscaper, args) },
		"printf":   b.printf,
	}
}

func (b *toolbox) print(f func(...any) string, args []any) (string, error) {
	n := 0
	for _, a := range args {
		if n += 1 + length(a); n > maxOutput {
			return "", errLong
		}
	}
	return b.made(n, f(args...))
}

// printf spends what its verbs can make at most: each the longest of the
// arguments, at its width or to its precision.
func (b *toolbox) printf(format string, args ...any) (string, error) {
	longest, width := 0, 0
	for _, a := range args {
		longest = max(longest, length(a))
		if n, ok := a.(int); ok {
			width = max(width, n, -n) // of a *
		}
	}
	if !strings.Contains(format, "*") {
		width = 0
	}
	number := 0
	for _, c := range format {
		if c < '0' || c > '9' {
			number = 0
			continue
		}
		number = min(number*10+int(c-'0'), maxOutput)
		width = max(width, number)
	}
	// A verb may print an argument with quotes and escapes, and its type.
	most := len(format) + strings.Count(format, "%")*(4*longest+2*min(width, maxOutput)+64)
	if most > maxOutput*4 {
		return "", errLong
	}
	return b.made(0, fmt.Sprintf(format, args...))
}

// length is how long v is as a text.
func length(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case int, int64, float64, bool, nil:
		return 24
	}
	return len(fmt.Sprint(v))
}

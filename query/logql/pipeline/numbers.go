package pipeline

import (
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"text/template"
)

func numbers() template.FuncMap {
	return template.FuncMap{
		"bytes":   ParseBytes,
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

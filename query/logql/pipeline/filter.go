package pipeline

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/coldscope/coldscope/query/logql"
)

// lineFilter lets lines through that match any of its alternatives, or none of
// them if it is negative.
type lineFilter struct {
	negative bool
	matches  []func(line string) bool
}

func newLineFilter(f *logql.LineFilter) (*lineFilter, error) {
	out := &lineFilter{negative: f.Op.Negative()}
	for _, m := range f.Alternatives {
		match, err := lineMatch(f.Op, m)
		if err != nil {
			return nil, err
		}
		out.matches = append(out.matches, match)
	}
	return out, nil
}

func lineMatch(op logql.LineOp, m *logql.LineMatch) (func(string) bool, error) {
	switch {
	case m.IP:
		ip, err := logql.ParseIPRange(m.Value)
		if err != nil {
			return nil, err
		}
		return address{ip}.in, nil
	case op == logql.LineRegexp || op == logql.LineNotRegexp:
		return regexpMatch(m)
	case op == logql.LinePattern || op == logql.LineNotPattern:
		return func(line string) bool { return matchPattern(m.Pattern, line) }, nil
	}
	return func(line string) bool { return strings.Contains(line, m.Value) }, nil
}

func regexpMatch(m *logql.LineMatch) (func(string) bool, error) {
	// Over the whole line, which may be one of several: a dot is any character.
	re, err := regexp.Compile("(?s)" + m.Value)
	if err != nil {
		return nil, fmt.Errorf("regular expression of a line filter: %w", err)
	}
	if texts := literals(re.String()); texts != nil {
		return func(line string) bool {
			for _, t := range texts {
				if strings.Contains(line, t) {
					return true
				}
			}
			return false
		}, nil
	}
	need := required(re.String())
	return func(line string) bool { return strings.Contains(line, need) && re.MatchString(line) }, nil
}

func (f *lineFilter) apply(w *work) bool { return f.keeps(w.body) }

func (f *lineFilter) keeps(line string) bool {
	for _, match := range f.matches {
		if match(line) {
			return !f.negative
		}
	}
	return f.negative
}

// labelFilter is a stage that lets lines through whose labels pass a condition.
type labelFilter struct{ pass condition }

func (f labelFilter) apply(w *work) bool { return f.pass(w) }

type condition func(w *work) bool

func newCondition(f logql.LabelFilter) (condition, error) {
	switch f := f.(type) {
	case *logql.StringFilter:
		return func(w *work) bool { return f.Matches(w.get(f.Name)) }, nil
	case *logql.NumberFilter:
		return numeric(f.Name, f.Op, f.Value, ParseNumber), nil
	case *logql.DurationFilter:
		return numeric(f.Name, f.Op, float64(f.Value), func(s string) (float64, error) {
			d, err := ParseDuration(s)
			return float64(d), err
		}), nil
	case *logql.BytesFilter:
		return numeric(f.Name, f.Op, float64(f.Value), ParseBytes), nil
	case *logql.IPFilter:
		return newIPCondition(f)
	case *logql.AndFilter:
		return both(f.Left, f.Right, func(l, r condition) condition {
			return func(w *work) bool { return l(w) && r(w) }
		})
	case *logql.OrFilter:
		return both(f.Left, f.Right, func(l, r condition) condition {
			return func(w *work) bool { return l(w) || r(w) }
		})
	}
	return nil, fmt.Errorf("label filter %s is not known", f)
}

func both(left, right logql.LabelFilter, join func(l, r condition) condition) (condition, error) {
	l, err := newCondition(left)
	if err != nil {
		return nil, err
	}
	r, err := newCondition(right)
	if err != nil {
		return nil, err
	}
	return join(l, r), nil
}

// numeric compares a label as a number. A line without the label does not
// pass; one whose label is no number does, with an error, unless it has one
// already: the first is told. It does not see errors, only a filter by text does.
func numeric(name string, op logql.CompareOp, want float64, parse func(string) (float64, error)) condition {
	return func(w *work) bool {
		i := w.find(name)
		if i < 0 || w.entries[i].category == gone {
			return false
		}
		v, err := parse(w.entries[i].value)
		if err != nil {
			if w.err == "" {
				w.fail(ErrFilter, err.Error())
			}
			return true
		}
		return compare(op, v, want)
	}
}

func compare(op logql.CompareOp, v, want float64) bool {
	switch op {
	case logql.CompareEqual:
		return v == want
	case logql.CompareNotEqual:
		return v != want
	case logql.CompareGreater:
		return v > want
	case logql.CompareGreaterOrEqual:
		return v >= want
	case logql.CompareLess:
		return v < want
	case logql.CompareLessOrEqual:
		return v <= want
	}
	return false
}

func newIPCondition(f *logql.IPFilter) (condition, error) {
	ip, err := logql.ParseIPRange(f.Value)
	if err != nil {
		return nil, err
	}
	return func(w *work) bool {
		if w.err != "" {
			return true
		}
		text, ok := w.lookup(f.Name)
		return ok && address{ip}.in(text) != f.Not
	}, nil
}

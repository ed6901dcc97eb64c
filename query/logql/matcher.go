package logql

import (
	"fmt"
	"regexp"
	"strconv"
)

// MatchOp is how a label's value is compared with a text.
type MatchOp uint8

// The operators of matchers.
const (
	MatchEqual     MatchOp = iota // =
	MatchNotEqual                 // !=
	MatchRegexp                   // =~
	MatchNotRegexp                // !~
)

var matchOps = [...]string{"=", "!=", "=~", "!~"}

// String is the operator as it is written.
func (o MatchOp) String() string { return matchOps[o] }

// Negative says that o is the negation of the operator before it.
func (o MatchOp) Negative() bool { return o == MatchNotEqual || o == MatchNotRegexp }

// Matcher compares a label's value with Value. A label that is absent has the
// empty value. A regular expression (RE2) has to match the whole value, and its
// dot matches a line break, too.
type Matcher struct {
	Pos
	Name  string
	Op    MatchOp
	Value string

	re *regexp.Regexp // of the two regular operators
}

// NewMatcher returns a matcher, or what is wrong in its regular expression.
func NewMatcher(name string, op MatchOp, value string) (*Matcher, error) {
	m := &Matcher{Name: name, Op: op, Value: value}
	if op == MatchRegexp || op == MatchNotRegexp {
		re, err := regexp.Compile(m.Pattern())
		if err != nil {
			return nil, fmt.Errorf("regular expression of label %s: %w", name, err)
		}
		m.re = re
	}
	return m, nil
}

// Matches says whether a label of that value (empty: absent) passes.
func (m *Matcher) Matches(value string) bool {
	switch m.Op {
	case MatchEqual:
		return value == m.Value
	case MatchNotEqual:
		return value != m.Value
	case MatchRegexp:
		return m.re.MatchString(value)
	case MatchNotRegexp:
		return !m.re.MatchString(value)
	}
	return false
}

// MatchesBytes is Matches without a copy of value.
func (m *Matcher) MatchesBytes(value []byte) bool {
	switch m.Op {
	case MatchRegexp:
		return m.re.Match(value)
	case MatchNotRegexp:
		return !m.re.Match(value)
	default:
		return (string(value) == m.Value) == (m.Op == MatchEqual) // compared in place
	}
}

// Pattern is the RE2 pattern, anchored at both ends, that the two regular
// operators look for.
func (m *Matcher) Pattern() string { return "^(?s:" + m.Value + ")$" }

// String is the matcher as it is written.
func (m *Matcher) String() string { return m.Name + m.Op.String() + strconv.Quote(m.Value) }

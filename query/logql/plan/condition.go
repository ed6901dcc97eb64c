package plan

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/coldscope/coldscope/query/logql"
)

// Query is SQL and its parameters by their names.
type Query struct {
	SQL  string
	Args map[string]any
}

// builder collects the parameters of one query.
type builder struct {
	args  map[string]any
	facts bool // something of the facts was asked for
	raw   bool // a line may count more than once, or as it was before it was corrected
}

func newBuilder(tenant string) *builder { return &builder{args: map[string]any{"tenant": tenant}} }

// param makes v a parameter of a ClickHouse type.
func (b *builder) param(v any, kind string) string {
	name := "p" + strconv.Itoa(len(b.args))
	b.args[name] = v
	return "{" + name + ":" + kind + "}"
}

func (b *builder) text(v string) string { return b.param(v, "String") }
func (b *builder) whole(v int64) string { return b.param(v, "Int64") }

// conditions are what lines have to be: their texts, other columns of them, and
// facts of their requests.
type conditions struct{ texts, lines, facts []string }

// add makes sql a condition, which make has made of b.
func (c *conditions) add(b *builder, make func() string) {
	before := b.facts
	b.facts = false
	sql := make()
	if sql != "" && b.facts {
		c.facts = append(c.facts, sql)
	} else if sql != "" {
		c.lines = append(c.lines, sql)
	}
	b.facts = b.facts || before
}

// plainAlternatives are texts with bars between, which need no expression.
var plainAlternatives = regexp.MustCompile(`^[a-zA-Z0-9_:/@,= -]+(\|[a-zA-Z0-9_:/@,= -]+)*$`)

// keyColumns are the labels that are columns of the sort key, whose index is
// used of the column itself alone.
var keyColumns = map[string]string{"namespace": "namespace", "function": "function", "service_name": "function"}

// matcher is the condition that m matches a label.
func (b *builder) matcher(m *logql.Matcher) string {
	column := b.label(m.Name)
	if name, ok := keyColumns[m.Name]; ok {
		column = name
	}
	return b.match(column, m)
}

// match is the condition that m matches a text.
func (b *builder) match(column string, m *logql.Matcher) string {
	switch m.Op {
	case logql.MatchEqual:
		return column + " = " + b.text(m.Value)
	case logql.MatchNotEqual:
		return column + " != " + b.text(m.Value)
	default:
	}
	not := m.Op == logql.MatchNotRegexp
	if plainAlternatives.MatchString(m.Value) {
		var values []string
		for v := range strings.SplitSeq(m.Value, "|") {
			values = append(values, b.text(v))
		}
		in := " IN ("
		if not {
			in = " NOT IN ("
		}
		return column + in + strings.Join(values, ", ") + ")"
	}
	sql := "match(" + column + ", " + b.text(m.Pattern()) + ")"
	if not {
		return "NOT " + sql
	}
	return sql
}

// likeEscapes make a text mean itself in LIKE.
var likeEscapes = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// lineFilter is the condition that f lets a line through, "" if SQL has none.
func (b *builder) lineFilter(f *logql.LineFilter) string {
	var alternatives []string
	for _, m := range f.Alternatives {
		switch {
		case m.IP:
			return ""
		case f.Op == logql.LineContains || f.Op == logql.LineNotContains:
			alternatives = append(alternatives, b.contains(m.Value))
		case f.Op == logql.LineRegexp || f.Op == logql.LineNotRegexp:
			alternatives = append(alternatives, "match(body, "+b.text("(?s)"+m.Value)+")")
		default:
			alternatives = append(alternatives, "body LIKE "+b.text(like(m.Pattern)))
		}
	}
	sql := "(" + strings.Join(alternatives, " OR ") + ")"
	if f.Op.Negative() {
		return "NOT " + sql
	}
	return sql
}

// like is a pattern in the terms of LIKE.
func like(p logql.Pattern) string {
	var s strings.Builder
	for _, part := range p {
		if part.Capture() {
			s.WriteByte('%')
		} else {
			s.WriteString(likeEscapes.Replace(part.Literal))
		}
	}
	return s.String()
}

var compareSQL = map[logql.CompareOp]string{
	logql.CompareEqual: "=", logql.CompareNotEqual: "!=", logql.CompareGreater: ">", logql.CompareGreaterOrEqual: ">=", logql.CompareLess: "<", logql.CompareLessOrEqual: "<=",
}

// labels says which labels have the values that the store has for them, after
// some stages of a pipeline.
type labels struct {
	all      bool // no label has
	changed  map[string]bool
	failed   bool // __error__ may be set
	detailed bool // __error_details__ may be set
}

// fail says that a stage may fail.
func (l *labels) fail(may bool) { l.failed, l.detailed = l.failed || may, l.detailed || may }

// forgive says that the label of that name is gone.
func (l *labels) forgive(name string) {
	l.failed = l.failed && name != "__error__"
	l.detailed = l.detailed && name != "__error_details__"
}

func (l *labels) pristine(name string) bool {
	switch name {
	case "__error__":
		return !l.failed
	case "__error_details__":
		return !l.detailed
	}
	return !l.all && !l.changed[name]
}

func (l *labels) change(name string) {
	if l.changed == nil {
		l.changed = map[string]bool{}
	}
	l.changed[name] = true
}

// filter is the condition that f lets a line through, "" if SQL has none that
// means exactly that.
func (b *builder) filter(f logql.LabelFilter, l *labels) string {
	switch f := f.(type) {
	case *logql.StringFilter:
		if l.pristine(f.Name) {
			return b.matcher(f.Matcher)
		}
	case *logql.NumberFilter:
		if l.pristine(f.Name) && numeric[f.Name] && !l.failed {
			column := b.label(f.Name)
			return "(" + column + " != '' AND toFloat64OrZero(" + column + ") " + compareSQL[f.Op] + " " + b.param(f.Value, "Float64") + ")"
		}
	case *logql.AndFilter:
		left, right := b.filter(f.Left, l), b.filter(f.Right, l)
		if left != "" && right != "" {
			return "(" + left + " AND " + right + ")"
		}
	case *logql.OrFilter:
		left, right := b.filter(f.Left, l), b.filter(f.Right, l)
		if left != "" && right != "" {
			return "(" + left + " OR " + right + ")"
		}
	}
	return ""
}

// hint is a condition on lines that holds for all that f lets through, "" if
// there is nothing to say. parsed says that what is not the store's label any
// more was taken out of the line's text.
func (b *builder) hint(f logql.LabelFilter, l *labels, parsed bool) string {
	if sql := b.filter(f, l); sql != "" {
		return sql
	}
	switch f := f.(type) {
	case *logql.StringFilter:
		// A value of a text is written in it as it is, or with an escape. What
		// cannot be decoded becomes U+FFFD, or something else if that is there.
		if !parsed || f.Op != logql.MatchEqual || f.Value == "" || strings.ContainsAny(f.Value, "{}[]\ufffd") || strings.HasPrefix(f.Name, "__") {
			return ""
		}
		return "(body LIKE " + b.text("%"+likeEscapes.Replace(f.Value)+"%") + ` OR position(body, '\\') > 0 OR position(body, '\xEF\xBF\xBD') > 0 OR ` + b.matcher(f.Matcher) + ")"
	case *logql.AndFilter:
		left, right := b.hint(f.Left, l, parsed), b.hint(f.Right, l, parsed)
		if left == "" || right == "" {
			return left + right
		}
		return "(" + left + " AND " + right + ")"
	case *logql.OrFilter:
		left, right := b.hint(f.Left, l, parsed), b.hint(f.Right, l, parsed)
		if left != "" && right != "" {
			return "(" + left + " OR " + right + ")"
		}
	}
	return ""
}

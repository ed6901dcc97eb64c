// Package plan turns LogQL into SQL over the store's tables, as far as SQL
// means exactly the same, and says what is left to be done with the lines.
//
// Texts and numbers of a query become parameters of the SQL and are never part
// of it, so that no value of a query changes what it asks for. Every query has
// the tenant as its first condition.
package plan

import (
	"fmt"
	"strings"

	"github.com/coldscope/coldscope/query/logql"
)

// Kind is where a label's value comes from.
type Kind uint8

// The kinds of labels.
const (
	// Stream labels are the same for all lines of a stream.
	Stream Kind = iota
	// Metadata are what is known of a line, apart from its text.
	Metadata
	// Fact labels are metadata, too: what is known of the line's request.
	Fact
)

// Label is a label that the store has for lines by itself.
type Label struct {
	Name string
	Kind Kind
	expr string // of columns of logs, or of the facts; gives a String, '' where there is none
}

// level is the severity's name. Its numbers are OpenTelemetry's.
const level = "arrayElement(['', 'trace', 'debug', 'info', 'warn', 'error', 'fatal'], intDiv(severity + 3, 4) + 1)"

// known are all labels but those of lines' attributes.
var known = []Label{
	{"function", Stream, "toString(function)"},
	{"host", Stream, "toString(host)"},
	{"instance", Stream, "instance"},
	{"namespace", Stream, "toString(namespace)"},
	{"service_name", Stream, "toString(function)"}, // as Grafana's pages for logs want it
	{"stream", Stream, "toString(stream)"},
	{"version", Stream, "toString(version)"},

	{"attribution", Metadata, "toString(attribution)"},
	{"detected_level", Metadata, "if(severity BETWEEN 1 AND 24, " + level + ", 'unknown')"},
	{"level", Metadata, "if(severity BETWEEN 1 AND 24, " + level + ", '')"},
	// A phase of a start tells of itself when it is over; what a container
	// prints before its first request is from its init.
	{"phase", Metadata, `multiIf(stream = 'platform', extract(body, '^([a-z]+) took [0-9]'), attribution = 'init', 'init', '')`},
	{"request_id", Metadata, "request_id"},
	{"span_id", Metadata, "span_id"},
	{"trace_id", Metadata, "trace_id"},

	{"cold", Fact, near("fact_cold")},
	{"cold_wait_ms", Fact, near("fact_cold_wait_ms")},
	{"duration_ms", Fact, near("fact_duration_ms")},
	{"http_status", Fact, near("fact_http_status")},
	{"status", Fact, near("fact_status")},
	{"trigger", Fact, near("fact_trigger")},
}

// near is a fact of the request of a line, ” where that began too long before
// the line or after it.
func near(fact string) string {
	return fmt.Sprintf("if(fact_started BETWEEN toUnixTimestamp64Nano(ts) - %d AND toUnixTimestamp64Nano(ts) + %d, %s, '')", FactsBefore, FactsAfter, fact)
}

// Phase is the label phase of a line, as its SQL gives it.
func Phase(stream, attribution, body string) string {
	switch {
	case stream == "platform":
		name, rest, _ := strings.Cut(body, " took ")
		if rest == "" || rest[0] < '0' || rest[0] > '9' || strings.ContainsFunc(name, func(r rune) bool { return r < 'a' || r > 'z' }) {
			return ""
		}
		return name
	case attribution == "init":
		return "init"
	}
	return ""
}

// numeric are the labels whose text is a number always, if there is one.
var numeric = map[string]bool{"cold_wait_ms": true, "duration_ms": true, "http_status": true}

var byName = func() map[string]*Label {
	m := map[string]*Label{}
	for i := range known {
		m[known[i].Name] = &known[i]
	}
	return m
}()

// Labels are the labels that lines have besides those of their attributes, in
// the order of their kinds and names.
func Labels() []Label { return known }

// Lookup is the label of that name, nil if it is none of Labels.
func Lookup(name string) *Label { return byName[name] }

// AttributeLabel is the label that an attribute of a line becomes: characters
// that names of labels do not have become _, and what has the name of another
// label gets _extracted behind it. "" means that it becomes none.
func AttributeLabel(key string) string {
	var b strings.Builder
	for i, r := range key {
		switch {
		case r == '_', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
			b.WriteRune(r)
		case '0' <= r && r <= '9':
			if i == 0 {
				b.WriteByte('_')
			}
			b.WriteRune(r)
		default:
			b.WriteByte('_')
		}
	}
	name := b.String()
	switch {
	case name == "" || strings.HasPrefix(name, "__"):
		return "" // names of that kind are the language's own
	case byName[name] != nil:
		return name + extracted
	}
	return name
}

const extracted = "_extracted"

// keyPattern is a regular expression for the keys of attributes that become the
// label of that name, as far as AttributeLabel leaves them that name.
func keyPattern(name string) string {
	begin := "^"
	if len(name) > 1 && name[0] == '_' && '0' <= name[1] && name[1] <= '9' {
		begin, name = "^[^a-zA-Z0-9]?", name[1:] // a key may begin with the digit
	}
	return begin + strings.ReplaceAll(name, "_", "[^a-zA-Z0-9]") + "$"
}

// label is the SQL of a label's value, ” where a line does not have it.
func (b *builder) label(name string) string {
	if l := byName[name]; l != nil {
		b.facts = b.facts || l.Kind == Fact
		return l.expr
	}
	if strings.HasPrefix(name, "__") {
		return "''"
	}
	// The first one with a value counts.
	return "arrayFirst((v, k) -> v != '' AND " + b.isKey(name) + ", mapValues(attributes), mapKeys(attributes))"
}

// isKey is the SQL that the attribute with the key k becomes the label of that name.
func (b *builder) isKey(name string) string {
	if of := strings.TrimSuffix(name, extracted); byName[of] != nil {
		return "match(k, " + b.text(keyPattern(name)+"|"+keyPattern(of)) + ")"
	}
	if !strings.Contains(name, "_") {
		return "k = " + b.text(name)
	}
	return "match(k, " + b.text(keyPattern(name)) + ")"
}

// hasLabel is a condition on lines that holds for all that have a label of that
// name among their attributes, "" where it is none of these. Without the
// attributes' values it costs a fraction of the label.
func (b *builder) hasLabel(name string) string {
	if byName[name] != nil || strings.HasPrefix(name, "__") {
		return ""
	}
	return "arrayExists(k -> " + b.isKey(name) + ", mapKeys(attributes))"
}

// Names are the labels that an expression names: in selectors, filters, groups,
// stages that choose labels, and in templates.
func Names(e logql.Expr) map[string]bool {
	n := names{}
	n.expr(e)
	return n
}

type names map[string]bool

func (n names) add(list ...string) {
	for _, name := range list {
		n[name] = true
	}
}

func (n names) expr(e logql.Expr) {
	switch e := e.(type) {
	case *logql.LogExpr:
		n.log(e)
	case *logql.RangeAggregation:
		n.log(e.Range.Log)
		if u := e.Range.Unwrap; u != nil {
			n.add(u.Label)
			for _, f := range u.Filters {
				n.filter(f)
			}
		}
		n.grouping(e.Grouping)
	case *logql.VectorAggregation:
		n.expr(e.Expr)
		n.grouping(e.Grouping)
	case *logql.BinaryExpr:
		n.expr(e.Left)
		n.expr(e.Right)
		if e.Matching != nil {
			n.add(e.Matching.Labels...)
			n.add(e.Matching.Include...)
		}
	case *logql.LabelReplace:
		n.expr(e.Expr)
		n.add(e.Src)
	}
}

func (n names) grouping(g *logql.Grouping) {
	if g != nil && !g.Without { // what is left out need not be there
		n.add(g.Labels...)
	}
}

func (n names) log(e *logql.LogExpr) {
	for _, m := range e.Matchers {
		n.add(m.Name)
	}
	for _, s := range e.Pipeline {
		n.stage(s)
	}
}

func (n names) stage(s logql.Stage) {
	switch s := s.(type) {
	case *logql.LabelFilterStage:
		n.filter(s.Filter)
	case *logql.LineFormat:
		n.template(s.Template)
	case *logql.LabelFormat:
		for _, l := range s.Labels {
			n.add(l.From)
			n.template(l.Template)
		}
	case *logql.KeepLabels:
		for _, c := range s.Labels {
			n.add(c.Name)
		}
	}
}

// template adds the known labels that a template may use.
func (n names) template(text string) {
	for _, l := range known {
		if strings.Contains(text, l.Name) {
			n.add(l.Name)
		}
	}
}

func (n names) filter(f logql.LabelFilter) {
	switch f := f.(type) {
	case *logql.StringFilter:
		n.add(f.Name)
	case *logql.NumberFilter:
		n.add(f.Name)
	case *logql.DurationFilter:
		n.add(f.Name)
	case *logql.BytesFilter:
		n.add(f.Name)
	case *logql.IPFilter:
		n.add(f.Name)
	case *logql.AndFilter:
		n.filter(f.Left)
		n.filter(f.Right)
	case *logql.OrFilter:
		n.filter(f.Left)
		n.filter(f.Right)
	}
}

// NamesFacts says whether an expression names facts of requests.
func NamesFacts(e logql.Expr) bool {
	for name := range Names(e) {
		if l := byName[name]; l != nil && l.Kind == Fact {
			return true
		}
	}
	return false
}

// Wanted are the labels of lines that an expression's result depends on, apart
// from those that its stages make; nil if all do.
func Wanted(e logql.Expr) map[string]bool {
	if !bounded(e) {
		return nil
	}
	return Names(e)
}

// bounded says that every part of e that reads lines names the labels of its
// result, and that no template may use others.
func bounded(e logql.Expr) bool {
	switch e := e.(type) {
	case *logql.RangeAggregation:
		return boundedRange(e)
	case *logql.VectorAggregation:
		if inner, _, ok := grouped(e); ok {
			return plainStages(inner.Range.Log.Pipeline)
		}
		return bounded(e.Expr)
	case *logql.BinaryExpr:
		return bounded(e.Left) && bounded(e.Right)
	case *logql.LabelReplace:
		return bounded(e.Expr)
	case *logql.Vector, *logql.Number:
		return true
	}
	return false
}

func boundedRange(e *logql.RangeAggregation) bool {
	if e.Op == logql.AbsentOverTime {
		return plainStages(e.Range.Log.Pipeline)
	}
	_, _, ok := grouped(e)
	return ok && plainStages(e.Range.Log.Pipeline)
}

func plainStages(stages []logql.Stage) bool {
	for _, s := range stages {
		switch s := s.(type) {
		case *logql.LineFormat:
			return false
		case *logql.LabelFormat:
			for _, l := range s.Labels {
				if l.Template != "" {
					return false
				}
			}
		}
	}
	return true
}

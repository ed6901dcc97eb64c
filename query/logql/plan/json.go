package plan

import (
	"strings"

	"github.com/coldscope/coldscope/query/logql"
)

// jsonView is what SQL sees of lines that the json parser may have gone through.
// It does not see all that the parser does, but knows where: such lines are bad,
// and if there is one the lines have to be evaluated one by one.
type jsonView struct {
	b       *builder
	parsed  bool     // there is the parser
	valid   bool     // lines with an error are left out
	errors  bool     // lines with an error are lines like others
	filters []string // that lines have to pass; they count before, where they are bad
	bad     []string
	dropped map[string]bool
	seen    map[string]bool // labels whose doubts are in bad
}

// jsonObject says that the engine's parser and ours agree that the line is an object.
const jsonObject = "(isValidJSON(body) AND JSONType(body) = 'Object')"

// view looks at stages that are left: drops, the json parser, and what SQL can
// say of its labels behind it.
func (b *builder) view(stages []logql.Stage) (*jsonView, bool) {
	v := &jsonView{b: b, dropped: map[string]bool{}, seen: map[string]bool{}}
	for _, s := range stages {
		switch s := s.(type) {
		case *logql.JSONParser:
			if v.parsed || len(s.Fields) > 0 || len(v.dropped) > 0 {
				return nil, false
			}
			v.parsed = true
		case *logql.DropLabels:
			for _, c := range s.Labels {
				v.dropped[c.Name] = true
				v.errors = v.errors || c.Name == "__error__" && c.Matcher == nil && v.parsed
			}
		case *logql.LabelFilterStage:
			if f, ok := s.Filter.(*logql.StringFilter); ok && f.Name == "__error__" && f.Op == logql.MatchEqual && f.Value == "" {
				v.valid = v.valid || !v.errors
				continue
			}
			sql, ok := v.filter(s.Filter)
			if !ok {
				return nil, false
			}
			v.filters = append(v.filters, sql)
		default:
			return nil, false
		}
	}
	return v, true
}

// finish makes filters and doubts of how lines with errors are taken.
func (v *jsonView) finish() (passes, bad string) {
	if !v.parsed {
		return and1(v.filters), "(" + strings.Join(v.bad, " OR ") + ")"
	}
	// Keys that the engine compares otherwise: with escapes, or with what our
	// parser takes off their ends.
	v.bad = append(v.bad, `match(body, '\\\\[^"]*"\\s*:|"[^!-~][^"]*"\\s*:|[^!-~]"\\s*:')`)
	if v.valid || v.errors {
		v.bad = append(v.bad, "(match(body, '^\\\\s*\\\\{') AND NOT "+jsonObject+")")
	} else {
		v.bad = append(v.bad, "NOT "+jsonObject)
	}
	if v.valid {
		v.filters = append(v.filters, jsonObject)
	}
	return and1(v.filters), "(" + strings.Join(v.bad, " OR ") + ")"
}

// and1 is all of the conditions, of which there may be none.
func and1(conditions []string) string {
	if len(conditions) == 0 {
		return "1"
	}
	return strings.Join(conditions, " AND ")
}

// simple says that a label of that name is made of the object's own member of
// the name, and of no other.
func simple(name string) bool {
	l := byName[name]
	return !strings.Contains(name, "_") && (l == nil || l.Kind != Stream)
}

// doubt adds a condition, once for a label.
func (v *jsonView) doubt(what, name, sql string) {
	if !v.seen[what+name] {
		v.seen[what+name] = true
		v.bad = append(v.bad, sql)
	}
}

// member is the SQL of the member's name, its type and its text as it is written.
func (v *jsonView) member(name string) (kind, raw string) {
	key := v.b.text(name)
	v.doubt("twice ", name, "countSubstrings(body, "+v.b.text(`"`+name+`"`)+") > 1")
	return "toString(JSONType(body, " + key + "))", "JSONExtractRaw(body, " + key + ")"
}

// text is the SQL of a label's text: that which the line has without the parser,
// or else the one that the parser finds.
func (v *jsonView) text(name string) (string, bool) {
	if v.dropped[name] {
		return "", false
	}
	own := v.b.label(name)
	if !v.parsed {
		return own, true
	}
	if l := byName[name]; l != nil && l.Kind == Stream {
		v.doubt("stream ", name, "("+own+" = '' AND position(body, "+v.b.text(`"`+name+`"`)+") > 0)")
		return own, true
	}
	if !simple(name) || v.isFact(name) {
		return "", false
	}
	kind, raw := v.member(name)
	// An empty text is a label, too, which SQL cannot tell from none.
	v.doubt("text ", name, "("+own+" = '' AND ("+kind+" = 'Double' OR "+kind+" = 'String' AND (position("+raw+`, '\\') > 0 OR `+raw+` = '""')))`)
	return "multiIf(" + own + " != '', " + own + ", " + kind + " = 'String', JSONExtractString(body, " + v.b.text(name) + "), " + kind + " IN ('Int64', 'UInt64', 'Bool'), " + raw + ", '')", true
}

func (v *jsonView) isFact(name string) bool { l := byName[name]; return l != nil && l.Kind == Fact }

// filter is the SQL of a condition on labels behind the parser.
func (v *jsonView) filter(f logql.LabelFilter) (string, bool) {
	switch f := f.(type) {
	case *logql.StringFilter:
		column, ok := v.text(f.Name)
		if !ok {
			return "", false
		}
		return v.b.match(column, f.Matcher), true
	case *logql.AndFilter:
		return v.both(f.Left, f.Right, " AND ")
	case *logql.OrFilter:
		return v.both(f.Left, f.Right, " OR ")
	}
	return "", false
}

func (v *jsonView) both(left, right logql.LabelFilter, join string) (string, bool) {
	l, ok := v.filter(left)
	r, ok2 := v.filter(right)
	return "(" + l + join + r + ")", ok && ok2
}

// plainNumber are texts that are numbers to everybody.
const plainNumber = `'^-?[0-9]{1,15}(\\.[0-9]{1,15})?$'`

// number is the SQL of the number that a label is, and that there is one.
func (v *jsonView) number(name string) (value, there string, ok bool) {
	if v.dropped[name] || v.isFact(name) || v.parsed && (!simple(name) || byName[name] != nil) {
		return "", "", false
	}
	own := v.b.label(name)
	v.doubt("own ", name, "("+own+" != '' AND NOT match("+own+", "+plainNumber+"))")
	if !v.parsed {
		return "toFloat64OrZero(" + own + ")", own + " != ''", true
	}
	kind, raw := v.member(name)
	isNumber := kind + " IN ('Int64', 'UInt64', 'Double')"
	// A text that may be a number or an error.
	v.doubt("number ", name, "("+own+" = '' AND "+kind+" IN ('String', 'Bool'))")
	return "toFloat64OrZero(if(" + own + " != '', " + own + ", " + raw + "))", "(" + own + " != '' OR " + isNumber + ")", true
}

// jsonRange is the values of e behind a json parser, or of labels that lines
// say themselves, as aggregate functions of lines that pass: value, how many, and how many lines are bad. by are the
// labels of the groups. What lines have to have for it is added to c.
func (b *builder) jsonRange(e *logql.RangeAggregation, stages []logql.Stage, by []string, c *conditions) (value, lines, bad string, groups []string, ok bool) {
	v, ok := b.view(stages)
	if !ok || !v.parsed && e.Range.Unwrap == nil {
		return "", "", "", nil, false
	}
	for _, name := range by {
		column, ok := v.text(name)
		if !ok {
			return "", "", "", nil, false
		}
		groups = append(groups, column)
	}
	number := "1"
	switch u := e.Range.Unwrap; {
	case u != nil:
		var there string
		if number, there, ok = v.number(u.Label); !ok || u.Conversion != logql.ConvertNumber {
			return "", "", "", nil, false
		}
		for _, f := range u.Filters {
			if f, ok := f.(*logql.StringFilter); !ok || f.Name != "__error__" || f.Op != logql.MatchEqual || f.Value != "" {
				return "", "", "", nil, false
			}
			if !v.errors { // lines that are no objects have no number
				v.valid = true
			}
		}
		v.filters = append(v.filters, there)
		if !v.parsed {
			c.add(b, func() string { return b.hasLabel(u.Label) })
		}
	case e.Op == logql.BytesOverTime || e.Op == logql.BytesRate:
		number = "length(body)"
	}
	passes, bad := v.finish()
	if value, ok = aggregate(e, number, passes); !ok {
		return "", "", "", nil, false
	}
	return value, "countIf(" + passes + ")", "countIf(" + bad + ")", groups, true
}

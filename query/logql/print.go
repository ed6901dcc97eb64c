package logql

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// String is the selector and the stages.
func (e *LogExpr) String() string {
	var b strings.Builder
	b.WriteByte('{')
	for i, m := range e.Matchers {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(m.String())
	}
	b.WriteByte('}')
	for _, s := range e.Pipeline {
		b.WriteByte(' ')
		b.WriteString(s.String())
	}
	return b.String()
}

func (s *LineFilter) String() string {
	alternatives := make([]string, len(s.Alternatives))
	for i, m := range s.Alternatives {
		alternatives[i] = strconv.Quote(m.Value)
		if m.IP {
			alternatives[i] = "ip(" + alternatives[i] + ")"
		}
	}
	return s.Op.String() + " " + strings.Join(alternatives, " or ")
}

func (s *JSONParser) String() string { return "| json" + fields(s.Fields) }

func (s *LogfmtParser) String() string {
	out := "| logfmt"
	if s.Strict {
		out += " --strict"
	}
	if s.KeepEmpty {
		out += " --keep-empty"
	}
	return out + fields(s.Fields)
}

func fields(list []*Extraction) string {
	var b strings.Builder
	for i, f := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + f.Name)
		if f.Expr != f.Name {
			b.WriteString("=" + strconv.Quote(f.Expr))
		}
	}
	return b.String()
}

func (s *RegexpParser) String() string     { return "| regexp " + strconv.Quote(s.Value) }
func (s *PatternParser) String() string    { return "| pattern " + strconv.Quote(s.Value) }
func (s *UnpackParser) String() string     { return "| unpack" }
func (s *LabelFilterStage) String() string { return "| " + s.Filter.String() }
func (s *LineFormat) String() string       { return "| line_format " + strconv.Quote(s.Template) }
func (s *Decolorize) String() string       { return "| decolorize" }
func (s *DropLabels) String() string       { return "| drop" + choices(s.Labels) }
func (s *KeepLabels) String() string       { return "| keep" + choices(s.Labels) }

func choices(list []*LabelChoice) string {
	var b strings.Builder
	for i, c := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte(' ')
		if c.Matcher != nil {
			b.WriteString(c.Matcher.String())
		} else {
			b.WriteString(c.Name)
		}
	}
	return b.String()
}

func (s *LabelFormat) String() string {
	var b strings.Builder
	b.WriteString("| label_format ")
	for i, l := range s.Labels {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(l.Name + "=")
		if l.From != "" {
			b.WriteString(l.From)
		} else {
			b.WriteString(strconv.Quote(l.Template))
		}
	}
	return b.String()
}

func (f *NumberFilter) String() string {
	return f.Name + " " + f.Op.String() + " " + number(f.Value)
}

func (f *DurationFilter) String() string {
	return f.Name + " " + f.Op.String() + " " + formatDuration(f.Value)
}

func (f *BytesFilter) String() string {
	return f.Name + " " + f.Op.String() + " " + formatBytes(f.Value)
}

func (f *IPFilter) String() string {
	op := "="
	if f.Not {
		op = "!="
	}
	return f.Name + op + "ip(" + strconv.Quote(f.Value) + ")"
}

func (f *AndFilter) String() string { return operand(f.Left, false) + " and " + operand(f.Right, true) }

func (f *OrFilter) String() string {
	right := f.Right.String()
	if _, nested := f.Right.(*OrFilter); nested {
		right = "(" + right + ")"
	}
	return f.Left.String() + " or " + right
}

// operand is a side of an and, which binds more than an or.
func operand(f LabelFilter, right bool) string {
	_, or := f.(*OrFilter)
	_, and := f.(*AndFilter)
	if or || and && right {
		return "(" + f.String() + ")"
	}
	return f.String()
}

func (e *RangeAggregation) String() string {
	var b strings.Builder
	b.WriteString(string(e.Op) + "(")
	if e.Op == QuantileOverTime {
		b.WriteString(number(e.Param) + ", ")
	}
	b.WriteString(e.Range.String() + ")")
	if e.Grouping != nil {
		b.WriteString(" " + e.Grouping.String())
	}
	return b.String()
}

// String is the range with all that belongs to it.
func (r *LogRange) String() string {
	var b strings.Builder
	b.WriteString(r.Log.String())
	if r.Unwrap != nil {
		b.WriteString(" " + r.Unwrap.String())
	}
	b.WriteString(" [" + formatDuration(r.Range) + "]")
	if r.Offset != 0 {
		b.WriteString(" offset " + formatDuration(r.Offset))
	}
	return b.String()
}

// String is the stage and the filters behind it.
func (u *Unwrap) String() string {
	var b strings.Builder
	b.WriteString("| unwrap ")
	if u.Conversion == ConvertNumber {
		b.WriteString(u.Label)
	} else {
		b.WriteString(string(u.Conversion) + "(" + u.Label + ")")
	}
	for _, f := range u.Filters {
		b.WriteString(" | " + f.String())
	}
	return b.String()
}

// String is the grouping with its keyword.
func (g *Grouping) String() string {
	word := "by"
	if g.Without {
		word = "without"
	}
	return word + " (" + strings.Join(g.Labels, ", ") + ")"
}

func (e *VectorAggregation) String() string {
	var b strings.Builder
	b.WriteString(string(e.Op))
	if e.Grouping != nil {
		b.WriteString(" " + e.Grouping.String() + " ")
	}
	b.WriteByte('(')
	if e.Op.hasParam() {
		b.WriteString(strconv.Itoa(e.Param) + ", ")
	}
	b.WriteString(e.Expr.String() + ")")
	return b.String()
}

func (e *BinaryExpr) String() string {
	var b strings.Builder
	b.WriteString(e.side(e.Left, e.Op == OpPow))
	b.WriteString(" " + string(e.Op) + " ")
	if e.Bool {
		b.WriteString("bool ")
	}
	if m := e.Matching; m != nil {
		b.WriteString(m.String() + " ")
	}
	b.WriteString(e.side(e.Right, e.Op != OpPow))
	return b.String()
}

// side is an operand, in parentheses where it would be read otherwise without;
// far says that it is not the one that equal operators associate with.
func (e *BinaryExpr) side(x MetricExpr, far bool) string {
	s := x.String()
	if b, ok := x.(*BinaryExpr); ok {
		if p, own := b.Op.precedence(), e.Op.precedence(); p < own || p == own && far {
			return "(" + s + ")"
		}
	}
	return s
}

// String is the modifier of an operator.
func (m *Matching) String() string {
	var b strings.Builder
	b.WriteString("ignoring")
	if m.On {
		b.Reset()
		b.WriteString("on")
	}
	b.WriteString(" (" + strings.Join(m.Labels, ", ") + ")")
	if m.Group == OneToOne {
		return b.String()
	}
	if m.Group == ManyToOne {
		b.WriteString(" group_left")
	} else {
		b.WriteString(" group_right")
	}
	return b.String() + " (" + strings.Join(m.Include, ", ") + ")"
}

func (e *LabelReplace) String() string {
	return fmt.Sprintf("label_replace(%s, %q, %q, %q, %q)", e.Expr, e.Dst, e.Replacement, e.Src, e.Regexp)
}

func (e *Vector) String() string { return "vector(" + number(e.Value) + ")" }
func (e *Number) String() string { return number(e.Value) }

func number(v float64) string {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	if abs := math.Abs(v); abs >= 1e21 || abs != 0 && abs < 1e-6 {
		return strconv.FormatFloat(v, 'e', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// The units of durations and sizes, largest first.
var (
	durationUnits = []struct {
		name string
		unit time.Duration
	}{
		{"y", 365 * 24 * time.Hour},
		{"w", 7 * 24 * time.Hour},
		{"d", 24 * time.Hour},
		{"h", time.Hour},
		{"m", time.Minute},
		{"s", time.Second},
		{"ms", time.Millisecond},
		{"us", time.Microsecond},
		{"ns", time.Nanosecond},
	}
	byteUnits = []struct {
		name string
		unit uint64
	}{
		{"EiB", 1 << 60},
		{"EB", 1e18},
		{"PiB", 1 << 50},
		{"PB", 1e15},
		{"TiB", 1 << 40},
		{"TB", 1e12},
		{"GiB", 1 << 30},
		{"GB", 1e9},
		{"MiB", 1 << 20},
		{"MB", 1e6},
		{"KiB", 1 << 10},
		{"KB", 1e3},
	}
)

func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	left := uint64(d)
	if d < 0 {
		b.WriteByte('-')
		left = -left // of the least one, too
	}
	for _, u := range durationUnits {
		if unit := uint64(u.unit); left >= unit && u.unit <= 24*time.Hour { // days add up to weeks of their own
			b.WriteString(strconv.FormatUint(left/unit, 10) + u.name)
			left %= unit
		}
	}
	return b.String()
}

func formatBytes(n uint64) string {
	for _, u := range byteUnits {
		if n > 0 && n%u.unit == 0 {
			return strconv.FormatUint(n/u.unit, 10) + u.name
		}
	}
	return strconv.FormatUint(n, 10) + "B"
}

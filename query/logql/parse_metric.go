package logql

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

var (
	rangeOps = []RangeOp{
		CountOverTime, Rate, RateCounter, BytesOverTime, BytesRate, SumOverTime, AvgOverTime, MinOverTime, MaxOverTime,
		StdvarOverTime, StddevOverTime, QuantileOverTime, FirstOverTime, LastOverTime, AbsentOverTime,
	}
	vectorOps = []VectorOp{Sum, Avg, Count, Max, Min, Stddev, Stdvar, TopK, BottomK, ApproxTopK, Sort, SortDesc}
	binaryOps = []BinaryOp{
		OpOr, OpAnd, OpUnless, OpEqual, OpNotEqual, OpGreater, OpGreaterOrEqual, OpLess, OpLessOrEqual, OpAdd, OpSub, OpMul, OpDiv, OpMod, OpPow,
	}
)

// expr reads an expression whose operators bind at least as much as least.
func (p *parser) expr(least int) Expr {
	left := p.operand()
	for {
		t := p.peek()
		op := BinaryOp(t.text)
		if t.kind != kindPunct && t.kind != kindIdent || !slices.Contains(binaryOps, op) || op.precedence() < least {
			return left
		}
		metric, ok := left.(MetricExpr)
		if !ok {
			p.unexpected()
		}
		left = p.binary(metric)
	}
}

// metric reads an expression that has to give numbers.
func (p *parser) metric(least int) MetricExpr {
	at := p.peek().Pos
	e := p.expr(least)
	m, ok := e.(MetricExpr)
	if !ok {
		if !p.is(")") { // there the query goes on where a range should be
			p.unexpected()
		}
		p.fail(at, "syntax error: a log query is no metric query: "+e.String())
	}
	return m
}

// binary reads an operator, its modifiers and its right side.
func (p *parser) binary(left MetricExpr) MetricExpr {
	p.nest()
	t := p.next()
	e := &BinaryExpr{Pos: left.Position(), Op: BinaryOp(t.text), Left: left}
	if p.is("bool") {
		if !e.Op.Comparison() {
			p.fail(p.peek().Pos, "bool modifier can only be used on comparison operators")
		}
		p.next()
		e.Bool = true
	}
	if p.is("on", "ignoring") {
		e.Matching = p.matchingOf(e.Op)
	}
	least := e.Op.precedence() + 1
	if e.Op == OpPow {
		least--
	}
	e.Right = p.metric(least)
	for i, side := range []MetricExpr{e.Left, e.Right} {
		_, literal := side.(*Number)
		name := [...]string{"left", "right"}[i]
		switch {
		case literal && e.Op.Set():
			p.fail(t.Pos, fmt.Sprintf("unexpected literal for %s leg of logical/set binary operation (%s): %s", name, e.Op, side))
		case literal && e.Matching != nil:
			p.fail(t.Pos, fmt.Sprintf("vector matching only allowed between vectors: the %s side of %s is %s", name, e.Op, side))
		}
	}
	return e
}

// matchingOf reads on (…) group_left (…) and what is like it.
func (p *parser) matchingOf(op BinaryOp) *Matching {
	word := p.next()
	m := &Matching{Pos: word.Pos, On: word.text == "on", Labels: p.names()}
	if !p.is("group_left", "group_right") {
		return m
	}
	group := p.next()
	if op.Set() {
		p.fail(group.Pos, "no grouping allowed for set operations")
	}
	m.Group = ManyToOne
	if group.text == "group_right" {
		m.Group = OneToMany
	}
	m.Include = []string{}
	if p.is("(") && !p.aheadIsExpr() {
		m.Include = p.names()
	}
	for _, name := range m.Include {
		if m.On && slices.Contains(m.Labels, name) {
			p.fail(group.Pos, fmt.Sprintf("label %q must not occur in ON and GROUP clause at once", name))
		}
	}
	return m
}

// aheadIsExpr says whether what follows in parentheses is an expression, not a
// list of labels.
func (p *parser) aheadIsExpr() bool {
	t := p.ahead()
	return !t.is(")") && (t.kind != kindIdent || len(p.tokens) > 2 && !p.tokens[2].is(",", ")"))
}

func (p *parser) operand() Expr {
	t := p.peek()
	switch {
	case t.is("{"):
		e := p.selector()
		e.Pipeline = p.pipeline()
		return e
	case t.is("("):
		p.nest()
		p.next()
		e := p.expr(0)
		p.expect(")")
		return e
	case t.is("-", "+") || t.kind == kindNumber:
		return &Number{t.Pos, p.number()}
	case t.is("vector"):
		p.next()
		p.expect("(")
		v := &Vector{t.Pos, p.number()}
		p.expect(")")
		return v
	case t.is("label_replace"):
		return p.labelReplace()
	case t.kind == kindIdent && slices.Contains(rangeOps, RangeOp(t.text)):
		return p.rangeAggregation()
	case t.kind == kindIdent && slices.Contains(vectorOps, VectorOp(t.text)):
		return p.vectorAggregation()
	}
	p.unexpected()
	return nil
}

// number reads a number with its sign.
func (p *parser) number() float64 {
	negative := p.is("-")
	if p.is("-", "+") {
		p.next()
	}
	v := p.need(kindNumber).number
	if negative {
		return -v
	}
	return v
}

func (p *parser) labelReplace() *LabelReplace {
	p.nest()
	e := &LabelReplace{Pos: p.next().Pos}
	p.expect("(")
	e.Expr = p.metric(0)
	for _, into := range []*string{&e.Dst, &e.Replacement, &e.Src, &e.Regexp} {
		p.expect(",")
		at := p.peek().Pos
		*into = p.need(kindString).text
		if into == &e.Regexp {
			if _, err := regexp.Compile("^(?s:" + e.Regexp + ")$"); err != nil {
				p.fail(at, "invalid regex in label_replace: "+err.Error())
			}
		}
		if into == &e.Dst && !IsLabelName(e.Dst) {
			p.fail(at, fmt.Sprintf("invalid destination label name in label_replace: %q", e.Dst))
		}
	}
	p.expect(")")
	return e
}

// grouping reads by (…) or without (…) if it follows.
func (p *parser) grouping() *Grouping {
	if !p.is("by", "without") {
		return nil
	}
	word := p.next()
	return &Grouping{word.Pos, word.text == "without", p.names()}
}

func (p *parser) vectorAggregation() *VectorAggregation {
	p.nest()
	word := p.next()
	e := &VectorAggregation{Pos: word.Pos, Op: VectorOp(word.text), Grouping: p.grouping()}
	p.expect("(")
	if p.peek().kind == kindNumber && p.ahead().is(",") {
		k := p.next()
		p.next()
		var err error
		if e.Param, err = strconv.Atoi(k.text); err != nil || e.Param <= 0 {
			p.fail(k.Pos, fmt.Sprintf("invalid parameter (must be greater than 0) %s(%s", e.Op, k.text))
		}
		if !e.Op.hasParam() {
			p.fail(k.Pos, fmt.Sprintf("unsupported parameter for operation %s(%s,", e.Op, k.text))
		}
	} else if e.Op.hasParam() {
		p.fail(word.Pos, fmt.Sprintf("parameter required for operation %s", e.Op))
	}
	e.Expr = p.metric(0)
	p.expect(")")
	if e.Grouping == nil {
		e.Grouping = p.grouping()
	}
	if e.Grouping != nil && (e.Op == Sort || e.Op == SortDesc || e.Op == ApproxTopK) {
		p.fail(e.Grouping.Pos, fmt.Sprintf("grouping not allowed for %s aggregation", e.Op))
	}
	return e
}

func (p *parser) rangeAggregation() *RangeAggregation {
	p.nest()
	word := p.next()
	e := &RangeAggregation{Pos: word.Pos, Op: RangeOp(word.text)}
	p.expect("(")
	if p.is("-", "+") || p.peek().kind == kindNumber {
		at := p.peek().Pos
		e.Param = p.number()
		p.expect(",")
		if e.Op != QuantileOverTime {
			p.fail(at, fmt.Sprintf("parameter %s not supported for operation %s", number(e.Param), e.Op))
		}
	} else if e.Op == QuantileOverTime {
		p.fail(word.Pos, fmt.Sprintf("parameter required for operation %s", e.Op))
	}
	e.Range = p.logRange()
	if e.Range.Range == 0 {
		p.unexpected("RANGE")
	}
	p.expect(")")
	e.Grouping = p.grouping()
	p.checkRange(e)
	return e
}

// checkRange holds a range aggregation to what its operation needs.
func (p *parser) checkRange(e *RangeAggregation) {
	switch e.Op {
	case CountOverTime, BytesOverTime, BytesRate:
		if e.Range.Unwrap != nil {
			p.fail(Pos{}, fmt.Sprintf("invalid aggregation %s with unwrap", e.Op))
		}
	case Rate, AbsentOverTime:
	default:
		if e.Range.Unwrap == nil {
			p.fail(Pos{}, fmt.Sprintf("invalid aggregation %s without unwrap", e.Op))
		}
	}
	switch e.Op {
	case AvgOverTime, MinOverTime, MaxOverTime, StdvarOverTime, StddevOverTime, QuantileOverTime, FirstOverTime, LastOverTime:
	default:
		if e.Grouping != nil {
			p.fail(Pos{}, fmt.Sprintf("grouping not allowed for %s aggregation", e.Op))
		}
	}
}

// logRange reads the lines of a range aggregation. The range itself may follow
// the selector, a stage or parentheses around them; it is 0 where none does.
func (p *parser) logRange() *LogRange {
	r := &LogRange{Pos: p.peek().Pos}
	switch {
	case p.is("("):
		p.nest()
		p.next()
		r = p.logRange()
		p.expect(")")
	case p.is("{"):
		r.Log = p.selector()
	default:
		p.unexpected("{", "(")
	}
	for {
		switch {
		case p.is("["):
			if r.Range != 0 {
				p.unexpected()
			}
			p.window(r)
		case p.is("|") && p.ahead().is("unwrap"):
			if r.Unwrap != nil {
				p.next()
				p.unexpected()
			}
			r.Unwrap = p.unwrap()
		case p.atStage():
			at := p.peek().Pos
			stage := p.stage()
			filter, ok := stage.(*LabelFilterStage)
			switch {
			case r.Unwrap == nil:
				r.Log.Pipeline = append(r.Log.Pipeline, stage)
			case ok:
				r.Unwrap.Filters = append(r.Unwrap.Filters, filter.Filter)
			default:
				p.fail(at, "syntax error: only label filters may follow unwrap")
			}
		default:
			return r
		}
	}
}

// window reads [5m] and the offset behind it.
func (p *parser) window(r *LogRange) {
	p.expect("[")
	d := p.need(kindDuration)
	if d.duration <= 0 {
		p.fail(d.Pos, "a range has to be longer than "+d.text)
	}
	r.Range = d.duration
	p.expect("]")
	if p.accept("offset") {
		r.Offset = p.durationOf()
	}
}

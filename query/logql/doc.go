// Package logql reads LogQL, the query language of Grafana Loki, and prints
// it again: [Parse] gives a tree of [Expr], whose String is canonical. It was
// written from the language's documentation and contains no code of Loki's.
//
// An expression is a [*LogExpr], which gives lines, or a [MetricExpr], which
// gives numbers. The tree says what a query means and does no more: what it
// means for stored lines is the business of the packages plan and eval.
//
// Trees are not changed after they have been parsed and may be read by any
// number of goroutines.
package logql

import "iter"

// Pos is where a node begins in the text of its query. Line and Col count from
// 1, Col in characters. The zero Pos is that of a node that was made, not parsed.
type Pos struct{ Line, Col int }

// Position is p itself: every node of a tree has it by embedding its Pos.
func (p Pos) Position() Pos { return p }

// Expr is a whole query: a *LogExpr or a MetricExpr.
type Expr interface {
	// String is the expression in its canonical form, which Parse reads to the
	// same tree.
	String() string
	// Position is where the expression begins.
	Position() Pos
	isExpr()
}

// MetricExpr is a query for numbers: *RangeAggregation, *VectorAggregation,
// *BinaryExpr, *LabelReplace, *Vector or *Number.
type MetricExpr interface {
	Expr
	isMetric()
}

// LogExpr is a query for lines: those of the streams that match all of
// Matchers, passed through the stages of Pipeline in their order.
type LogExpr struct {
	Pos
	Matchers []*Matcher
	Pipeline []Stage
}

func (*LogExpr) isExpr() {}

// Logs are all queries for lines that e is made of.
func Logs(e Expr) iter.Seq[*LogExpr] {
	return func(yield func(*LogExpr) bool) { logs(e, yield) }
}

func logs(e Expr, yield func(*LogExpr) bool) bool {
	switch e := e.(type) {
	case *LogExpr:
		return yield(e)
	case *RangeAggregation:
		return yield(e.Range.Log)
	case *VectorAggregation:
		return logs(e.Expr, yield)
	case *BinaryExpr:
		return logs(e.Left, yield) && logs(e.Right, yield)
	case *LabelReplace:
		return logs(e.Expr, yield)
	}
	return true
}

package logql

import "time"

// RangeOp is a function of the lines within a range of time.
type RangeOp string

// The range aggregations.
const (
	CountOverTime    RangeOp = "count_over_time"
	Rate             RangeOp = "rate" // of lines; with unwrap the sum of the values per second
	RateCounter      RangeOp = "rate_counter"
	BytesOverTime    RangeOp = "bytes_over_time"
	BytesRate        RangeOp = "bytes_rate"
	SumOverTime      RangeOp = "sum_over_time"
	AvgOverTime      RangeOp = "avg_over_time"
	MinOverTime      RangeOp = "min_over_time"
	MaxOverTime      RangeOp = "max_over_time"
	StdvarOverTime   RangeOp = "stdvar_over_time"
	StddevOverTime   RangeOp = "stddev_over_time"
	QuantileOverTime RangeOp = "quantile_over_time"
	FirstOverTime    RangeOp = "first_over_time"
	LastOverTime     RangeOp = "last_over_time"
	AbsentOverTime   RangeOp = "absent_over_time"
)

// RangeAggregation is a function of lines, per set of labels, of what is in the
// window (t-Range, t] of each time t that is asked for.
type RangeAggregation struct {
	Pos
	Op RangeOp
	// Param is the quantile of QuantileOverTime, of no other.
	Param float64
	Range *LogRange
	// Grouping says by which labels the values are brought together, nil if by
	// all of them.
	Grouping *Grouping
}

// LogRange is the lines of a query within a span of time before each moment.
type LogRange struct {
	Pos
	Log *LogExpr
	// Unwrap makes values of the lines, nil where lines or bytes are counted.
	Unwrap *Unwrap
	Range  time.Duration // more than 0
	Offset time.Duration // the window is that much earlier, or later if it is negative
}

// Conversion is how a label's text becomes a number.
type Conversion string

// The conversions of unwrap. Both durations give seconds.
const (
	ConvertNumber          Conversion = ""
	ConvertBytes           Conversion = "bytes"
	ConvertDuration        Conversion = "duration"
	ConvertDurationSeconds Conversion = "duration_seconds"
)

// Unwrap takes a line's value out of a label. Filters are passed after that, so
// that they see what became of it (__error__).
type Unwrap struct {
	Pos
	Label      string
	Conversion Conversion
	Filters    []LabelFilter
}

// Grouping names the labels that a result keeps, or, with Without, those that
// it does not keep.
type Grouping struct {
	Pos
	Without bool
	Labels  []string
}

// VectorOp is a function of several series at one time.
type VectorOp string

// The vector aggregations.
const (
	Sum        VectorOp = "sum"
	Avg        VectorOp = "avg"
	Count      VectorOp = "count"
	Max        VectorOp = "max"
	Min        VectorOp = "min"
	Stddev     VectorOp = "stddev"
	Stdvar     VectorOp = "stdvar"
	TopK       VectorOp = "topk"
	BottomK    VectorOp = "bottomk"
	ApproxTopK VectorOp = "approx_topk"
	Sort       VectorOp = "sort"
	SortDesc   VectorOp = "sort_desc"
)

// VectorAggregation brings the series of each group together.
type VectorAggregation struct {
	Pos
	Op VectorOp
	// Param is the k of TopK, BottomK and ApproxTopK, of no other.
	Param int
	Expr  MetricExpr
	// Grouping is nil where none is written: then all series are one group
	// without labels.
	Grouping *Grouping
}

// BinaryOp is an operator between two metric expressions.
type BinaryOp string

// The binary operators, from those that bind least on.
const (
	OpOr             BinaryOp = "or"
	OpAnd            BinaryOp = "and"
	OpUnless         BinaryOp = "unless"
	OpEqual          BinaryOp = "=="
	OpNotEqual       BinaryOp = "!="
	OpGreater        BinaryOp = ">"
	OpGreaterOrEqual BinaryOp = ">="
	OpLess           BinaryOp = "<"
	OpLessOrEqual    BinaryOp = "<="
	OpAdd            BinaryOp = "+"
	OpSub            BinaryOp = "-"
	OpMul            BinaryOp = "*"
	OpDiv            BinaryOp = "/"
	OpMod            BinaryOp = "%"
	OpPow            BinaryOp = "^"
)

// Set says that o combines sets of series: or, and, unless.
func (o BinaryOp) Set() bool { return o == OpOr || o == OpAnd || o == OpUnless }

// Comparison says that o compares.
func (o BinaryOp) Comparison() bool {
	switch o {
	case OpEqual, OpNotEqual, OpGreater, OpGreaterOrEqual, OpLess, OpLessOrEqual:
		return true
	default:
		return false
	}
}

// precedence is higher for what binds more.
func (o BinaryOp) precedence() int {
	switch {
	case o == OpOr:
		return 1
	case o == OpAnd, o == OpUnless:
		return 2
	case o.Comparison():
		return 3
	case o == OpAdd, o == OpSub:
		return 4
	case o == OpPow:
		return 6
	}
	return 5
}

// BinaryExpr combines two expressions. All operators are left-associative but
// OpPow.
type BinaryExpr struct {
	Pos
	Op          BinaryOp
	Left, Right MetricExpr
	// Bool makes a comparison give 0 or 1 instead of dropping what is not so.
	Bool bool
	// Matching says which series meet which, nil if those of the same labels.
	Matching *Matching
}

// Matching says which series of the one side meet which of the other.
type Matching struct {
	Pos
	// On says that Labels have to be the same; else all others have to be.
	On     bool
	Labels []string
	// Group says which side may have several series for one of the other.
	Group Group
	// Include are labels that the result takes from the side of one.
	Include []string
}

// Group is how many series may meet.
type Group uint8

// What may meet.
const (
	OneToOne  Group = iota
	ManyToOne       // group_left: several of the left
	OneToMany       // group_right: several of the right
)

// LabelReplace sets the label Dst of every series to Replacement, in which $1
// or $name stand for groups of Regexp, where that matches the whole label Src.
type LabelReplace struct {
	Pos
	Expr                          MetricExpr
	Dst, Replacement, Src, Regexp string
}

// Vector is one series without labels, of the same value always.
type Vector struct {
	Pos
	Value float64
}

// Number is a number.
type Number struct {
	Pos
	Value float64
}

func (*RangeAggregation) isExpr()    {}
func (*VectorAggregation) isExpr()   {}
func (*BinaryExpr) isExpr()          {}
func (*LabelReplace) isExpr()        {}
func (*Vector) isExpr()              {}
func (*Number) isExpr()              {}
func (*RangeAggregation) isMetric()  {}
func (*VectorAggregation) isMetric() {}
func (*BinaryExpr) isMetric()        {}
func (*LabelReplace) isMetric()      {}
func (*Vector) isMetric()            {}
func (*Number) isMetric()            {}

func (o VectorOp) hasParam() bool { return o == TopK || o == BottomK || o == ApproxTopK }

// Joins says that op of what inner gives for several series is what inner gives
// for the lines of all of them together: they need not be apart in between.
func (op VectorOp) Joins(inner RangeOp) bool {
	switch inner {
	case CountOverTime, Rate, BytesOverTime, BytesRate, SumOverTime:
		return op == Sum
	case MinOverTime:
		return op == Min
	case MaxOverTime:
		return op == Max
	default:
		return false
	}
}

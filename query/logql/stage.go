package logql

import (
	"regexp"
	"time"
)

// Stage is one step of a pipeline, which gets a line with its labels and gives
// it on, changed or not, or drops it: *LineFilter, *JSONParser, *LogfmtParser,
// *RegexpParser, *PatternParser, *UnpackParser, *LabelFilterStage, *LineFormat,
// *LabelFormat, *Decolorize, *DropLabels or *KeepLabels.
type Stage interface {
	// String is the stage with its leading operator, as "| json".
	String() string
	Position() Pos
	isStage()
}

// LineOp is how a line is compared.
type LineOp uint8

// The operators of line filters.
const (
	LineContains    LineOp = iota // |=
	LineNotContains               // !=
	LineRegexp                    // |~
	LineNotRegexp                 // !~
	LinePattern                   // |>
	LineNotPattern                // !>
)

var lineOps = [...]string{"|=", "!=", "|~", "!~", "|>", "!>"}

// String is the operator as it is written.
func (o LineOp) String() string { return lineOps[o] }

// Negative says that o is the negation of the operator before it.
func (o LineOp) Negative() bool { return o&1 == 1 }

// LineFilter lets lines through that match any of Alternatives, or, with a
// negative operator, none of them.
type LineFilter struct {
	Pos
	Op           LineOp
	Alternatives []*LineMatch // one or more
}

// LineMatch is what a line is compared with: a text that it contains, a regular
// expression that matches somewhere in it, a pattern or an address.
type LineMatch struct {
	Pos
	// Value is the text as the query gives it. An empty one is in every line.
	Value string
	// IP says that Value is an address, a range of addresses or a CIDR prefix,
	// and that the line has to contain an address of it. Only LineContains and
	// LineNotContains have it.
	IP bool
	// Regexp is Value compiled, of the two regular operators alone. Its dot
	// matches a line break, too.
	Regexp *regexp.Regexp
	// Pattern is Value taken apart, of the two pattern operators alone. Its
	// captures have no names.
	Pattern Pattern
}

// JSONParser takes labels out of a line that is a JSON object: all of it,
// nested names joined by _, or those of Fields alone.
type JSONParser struct {
	Pos
	Fields []*Extraction
}

// LogfmtParser takes labels out of a line of key=value pairs: all of them, or
// those of Fields alone.
type LogfmtParser struct {
	Pos
	// Strict makes an error of what is not a pair, which is passed over else.
	Strict bool
	// KeepEmpty makes labels of keys without a value, too.
	KeepEmpty bool
	Fields    []*Extraction
}

// Extraction makes the label Name from what Expr points at. Written without
// Expr it is the name's own.
type Extraction struct {
	Pos
	Name string
	Expr string
	// Path is Expr taken apart. That of logfmt is one key.
	Path []PathElem
}

// PathElem is one step into a JSON value.
type PathElem struct {
	Key   string
	Index int  // of an array, from 0
	IsKey bool // Key counts, not Index
}

// RegexpParser takes labels out of a line by the named groups of an expression.
type RegexpParser struct {
	Pos
	Value  string
	Regexp *regexp.Regexp
}

// PatternParser takes labels out of a line by a pattern of texts and <names>.
type PatternParser struct {
	Pos
	Value   string
	Pattern Pattern
}

// UnpackParser takes apart what the pack stage of an agent has put together: a
// JSON object of labels, whose _entry is the line.
type UnpackParser struct{ Pos }

// LabelFilterStage lets lines through whose labels pass Filter.
type LabelFilterStage struct {
	Pos
	Filter LabelFilter
}

// LabelFilter is a condition on labels: *StringFilter, *NumberFilter,
// *DurationFilter, *BytesFilter, *IPFilter, *AndFilter or *OrFilter.
type LabelFilter interface {
	String() string
	Position() Pos
	isLabelFilter()
}

// StringFilter compares a label's text.
type StringFilter struct{ *Matcher }

// CompareOp is how two numbers are compared.
type CompareOp uint8

// The operators of comparisons.
const (
	CompareEqual          CompareOp = iota // ==
	CompareNotEqual                        // !=
	CompareGreater                         // >
	CompareGreaterOrEqual                  // >=
	CompareLess                            // <
	CompareLessOrEqual                     // <=
)

var compareOps = [...]string{"==", "!=", ">", ">=", "<", "<="}

// String is the operator as it is written.
func (o CompareOp) String() string { return compareOps[o] }

// NumberFilter compares a label that is a number.
type NumberFilter struct {
	Pos
	Name  string
	Op    CompareOp
	Value float64
}

// DurationFilter compares a label that is a duration.
type DurationFilter struct {
	Pos
	Name  string
	Op    CompareOp
	Value time.Duration
}

// BytesFilter compares a label that is a size, in bytes.
type BytesFilter struct {
	Pos
	Name  string
	Op    CompareOp
	Value uint64
}

// IPFilter looks whether a label is an address within Value: an address, a
// range ("a-b") or a CIDR prefix.
type IPFilter struct {
	Pos
	Name  string
	Not   bool // != instead of =
	Value string
}

// AndFilter passes what passes both.
type AndFilter struct {
	Pos
	Left, Right LabelFilter
}

// OrFilter passes what passes either.
type OrFilter struct {
	Pos
	Left, Right LabelFilter
}

// LineFormat makes the line from a template (text/template).
type LineFormat struct {
	Pos
	Template string
}

// LabelFormat makes labels, each from a template or by giving another its name.
type LabelFormat struct {
	Pos
	Labels []*LabelAssignment
}

// LabelAssignment makes the label Name: it is From renamed, or, if that is
// empty, what Template gives.
type LabelAssignment struct {
	Pos
	Name, From, Template string
}

// Decolorize takes ANSI escape sequences out of the line.
type Decolorize struct{ Pos }

// DropLabels takes labels away.
type DropLabels struct {
	Pos
	Labels []*LabelChoice
}

// KeepLabels takes all other labels away.
type KeepLabels struct {
	Pos
	Labels []*LabelChoice
}

// LabelChoice is a label by its name, or by its name and value if Matcher is
// not nil.
type LabelChoice struct {
	Pos
	Name    string
	Matcher *Matcher
}

func (*LineFilter) isStage()       {}
func (*JSONParser) isStage()       {}
func (*LogfmtParser) isStage()     {}
func (*RegexpParser) isStage()     {}
func (*PatternParser) isStage()    {}
func (*UnpackParser) isStage()     {}
func (*LabelFilterStage) isStage() {}
func (*LineFormat) isStage()       {}
func (*LabelFormat) isStage()      {}
func (*Decolorize) isStage()       {}
func (*DropLabels) isStage()       {}
func (*KeepLabels) isStage()       {}

func (*StringFilter) isLabelFilter()   {}
func (*NumberFilter) isLabelFilter()   {}
func (*DurationFilter) isLabelFilter() {}
func (*BytesFilter) isLabelFilter()    {}
func (*IPFilter) isLabelFilter()       {}
func (*AndFilter) isLabelFilter()      {}
func (*OrFilter) isLabelFilter()       {}

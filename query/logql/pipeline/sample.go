package pipeline

import (
	"fmt"
	"slices"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
)

// Value is what is counted of a line.
type Value uint8

// What can be counted: the line, its bytes, or what its label to unwrap says.
const (
	Lines Value = iota
	Bytes
	Unwrapped
)

// SampleOptions say what the numbers of lines are.
type SampleOptions struct {
	Stages []logql.Stage
	Value  Value
	Unwrap *logql.Unwrap // of Unwrapped
	// Grouping says which labels a number's series has, nil for all: those of
	// the stream, of the metadata, and those that were parsed.
	Grouping *logql.Grouping
}

// Sampler makes numbers of lines. It is for one goroutine.
type Sampler struct {
	p       *Pipeline
	value   Value
	label   string
	convert func(string) (float64, error)
	after   []condition
	by      []string // in order
	without []string
	all     bool // a series has all labels but without
	errors  bool // lines with an error are numbers, too
}

// NewSampler compiles stages and what follows them; sets of labels that they
// make are t's.
func NewSampler(o SampleOptions, t *labels.Table) (*Sampler, error) {
	s := &Sampler{value: o.Value, all: true, errors: wantsErrors(o)}
	if g := o.Grouping; g != nil && !g.Without {
		s.all = false
		s.by = slices.Clone(g.Labels)
		slices.Sort(s.by)
		s.by = slices.Compact(s.by)
	} else if g != nil {
		s.without = slices.Clone(g.Labels)
	}
	var want names
	if !s.all {
		want = names{}
		for _, n := range s.by {
			want[n] = true
		}
	}
	if o.Value == Unwrapped {
		if err := s.unwrap(o.Unwrap, want); err != nil {
			return nil, err
		}
	}
	p, err := compile(o.Stages, t, want)
	if err != nil {
		return nil, err
	}
	s.p = p
	return s, nil
}

func (s *Sampler) unwrap(u *logql.Unwrap, want names) error {
	s.label = u.Label
	if s.all {
		s.without = append(s.without, u.Label)
	} else {
		want[u.Label] = true
	}
	switch u.Conversion {
	case logql.ConvertNumber:
		s.convert = ParseNumber
	case logql.ConvertBytes:
		s.convert = ParseBytes
	case logql.ConvertDuration, logql.ConvertDurationSeconds:
		s.convert = seconds
	default:
		return fmt.Errorf("unwrap: unknown conversion %q", u.Conversion)
	}
	for _, f := range u.Filters {
		c, err := newCondition(f)
		if err != nil {
			return err
		}
		s.after = append(s.after, c)
		if want != nil {
			for _, n := range filterLabels(f, nil) {
				want[n] = true
			}
		}
	}
	return nil
}

// Sample is the number of a line and the labels of its series, if it has one.
// A line that a stage had an error with ends it with a *PipelineError, unless
// the query asks for errors.
func (s *Sampler) Sample(l Line) (v float64, series *labels.Set, ok bool, err error) {
	if !s.p.run(l) {
		return 0, nil, false, nil
	}
	w := s.p.w
	switch s.value {
	case Lines:
		v = 1
	case Bytes:
		v = float64(len(w.body))
	case Unwrapped:
		if v, ok = s.unwrapped(w); !ok {
			return 0, nil, false, nil
		}
	}
	if w.err != "" && !s.errors {
		return 0, nil, false, &PipelineError{Kind: w.err, Details: w.details, Series: w.all(s.without).String()}
	}
	if s.all {
		return v, w.all(s.without), true, nil
	}
	return v, w.only(s.by), true, nil
}

func (s *Sampler) unwrapped(w *work) (float64, bool) {
	text := w.get(s.label)
	if text == "" {
		return 0, false
	}
	v, err := s.convert(text)
	if err != nil {
		v = 0
		w.fail(ErrSample, err.Error())
	}
	for _, pass := range s.after {
		if !pass(w) {
			return 0, false
		}
	}
	return v, true
}

// wantsErrors says that a query is about errors: it groups by __error__.
func wantsErrors(o SampleOptions) bool {
	g := o.Grouping
	return g != nil && !g.Without && slices.Contains(g.Labels, ErrorLabel)
}

// PipelineError says that a query for numbers met a line that a stage had an
// error with. The caller can change the query, so it is a client's error.
type PipelineError struct {
	// Kind is the value of __error__, Details that of __error_details__.
	Kind, Details string
	Series        string
}

// Error is the text that Loki gives, so that whoever knows that one knows what to do.
func (e *PipelineError) Error() string {
	return fmt.Sprintf("pipeline error: '%s' for series: '%s'.\n"+
		"Use a label filter to intentionally skip this error. (e.g | __error__!=\"%s\").\n"+
		"To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n"+
		"The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n", e.Kind, e.Series, e.Kind)
}

// Package pipeline evaluates the stages of LogQL on one line at a time: filters,
// parsers, formats, and the unwrapping of values. It was written from the
// language's documentation and contains no code of Loki's.
package pipeline

import (
	"fmt"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
)

// Line is what a pipeline is given. Of one run the same set of labels should be
// the same pointer: what is derived from it is remembered by that.
type Line struct {
	Time     int64 // nanoseconds since 1970
	Body     string
	Stream   *labels.Set // nil: none
	Metadata *labels.Set // nil: none
}

// Entry is what becomes of a line that passes all stages. The sets are of the
// pipeline's table, or those of the line if no stage changed them; no two have
// a name in common. Errors are labels of Parsed.
type Entry struct {
	Body                     string
	Stream, Metadata, Parsed *labels.Set
}

type stage interface {
	// apply changes w and says whether the line is kept.
	apply(w *work) bool
}

// Pipeline is a compiled list of stages. It is for one goroutine.
type Pipeline struct {
	w      *work
	early  []*lineFilter // the first stages, as far as they need no labels
	stages []stage
}

// New compiles stages; sets of labels that they make are t's. What is wrong
// with a stage, such as its template or its range of addresses, is the error.
func New(stages []logql.Stage, t *labels.Table) (*Pipeline, error) {
	return compile(stages, t, nil)
}

func compile(stages []logql.Stage, t *labels.Table, want names) (*Pipeline, error) {
	p := &Pipeline{w: newWork(t), stages: make([]stage, len(stages))}
	// From the last one on, for what a stage needs are labels that those
	// before it have to make.
	for i := len(stages) - 1; i >= 0; i-- {
		s, err := newStage(stages[i], want)
		if err != nil {
			return nil, fmt.Errorf("stage %s: %w", stages[i], err)
		}
		p.stages[i] = s
		want = needs(want, stages[i], s)
	}
	for len(p.stages) > 0 {
		f, ok := p.stages[0].(*lineFilter)
		if !ok {
			break
		}
		p.early, p.stages = append(p.early, f), p.stages[1:]
	}
	return p, nil
}

func newStage(s logql.Stage, want names) (stage, error) {
	switch s := s.(type) {
	case *logql.LineFilter:
		return newLineFilter(s)
	case *logql.JSONParser:
		if len(s.Fields) > 0 {
			return newJSONPaths(s.Fields, want), nil
		}
		return &jsonStage{want: want}, nil
	case *logql.LogfmtParser:
		return newLogfmt(s, want), nil
	case *logql.RegexpParser:
		return newRegexp(s.Regexp, want), nil
	case *logql.PatternParser:
		return &patternStage{pattern: s.Pattern, want: want}, nil
	case *logql.UnpackParser:
		return &unpackStage{want: want}, nil
	case *logql.LabelFilterStage:
		c, err := newCondition(s.Filter)
		return labelFilter{c}, err
	case *logql.LineFormat:
		f, err := newFormat(s.Template)
		return lineFormat{f}, err
	case *logql.LabelFormat:
		return newLabelFormat(s)
	case *logql.Decolorize:
		return decolorize{}, nil
	case *logql.DropLabels:
		return dropStage(s.Labels), nil
	case *logql.KeepLabels:
		return keepStage(s.Labels), nil
	}
	return nil, fmt.Errorf("unknown stage %T", s)
}

func newLabelFormat(s *logql.LabelFormat) (labelFormat, error) {
	var out labelFormat
	for _, l := range s.Labels {
		a := assignment{name: l.Name, from: l.From}
		if l.From == "" {
			f, err := newFormat(l.Template)
			if err != nil {
				return nil, err
			}
			a.format = f
		}
		out = append(out, a)
	}
	return out, nil
}

// Process puts a line through the stages; kept is false if one of them dropped it.
func (p *Pipeline) Process(l Line) (e Entry, kept bool) {
	if !p.run(l) {
		return Entry{}, false
	}
	e.Body = p.w.body
	e.Stream, e.Metadata, e.Parsed = p.w.sets()
	return e, true
}

func (p *Pipeline) run(l Line) bool {
	for _, f := range p.early {
		if !f.keeps(l.Body) {
			return false
		}
	}
	p.w.begin(l)
	for _, s := range p.stages {
		if !s.apply(p.w) {
			return false
		}
	}
	return true
}

// needs are the labels that have to be there before a stage, if those of want
// are needed behind it.
func needs(want names, s logql.Stage, compiled stage) names {
	if want == nil {
		return nil
	}
	var more []string
	switch s := s.(type) {
	case *logql.LabelFilterStage:
		more = filterLabels(s.Filter, nil)
	case *logql.LineFormat:
		f := compiled.(lineFormat)
		if f.all {
			return nil
		}
		more = f.fields
	case *logql.LabelFormat:
		for _, a := range compiled.(labelFormat) {
			switch {
			case a.format == nil:
				more = append(more, a.from)
			case a.format.all:
				return nil
			default:
				more = append(more, a.format.fields...)
			}
		}
	case *logql.JSONParser:
		more = fieldLabels(s.Fields)
	case *logql.LogfmtParser:
		more = fieldLabels(s.Fields)
	case *logql.DropLabels:
		more = choiceLabels(s.Labels)
	case *logql.KeepLabels:
		more = choiceLabels(s.Labels)
	}
	if len(more) == 0 {
		return want
	}
	out := names{}
	for n := range want {
		out[n] = true
	}
	for _, n := range more {
		out[n] = true
	}
	return out
}

// fieldLabels are labels whose being there decides what a parser's field that
// is not in the line becomes.
func fieldLabels(fields []*logql.Extraction) []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.Name)
	}
	return out
}

func choiceLabels(choices []*logql.LabelChoice) []string {
	var out []string
	for _, c := range choices {
		out = append(out, c.Name)
	}
	return out
}

// filterLabels appends the names of the labels that f reads.
func filterLabels(f logql.LabelFilter, out []string) []string {
	switch f := f.(type) {
	case *logql.StringFilter:
		return append(out, f.Name)
	case *logql.NumberFilter:
		return append(out, f.Name)
	case *logql.DurationFilter:
		return append(out, f.Name)
	case *logql.BytesFilter:
		return append(out, f.Name)
	case *logql.IPFilter:
		return append(out, f.Name)
	case *logql.AndFilter:
		return filterLabels(f.Right, filterLabels(f.Left, out))
	case *logql.OrFilter:
		return filterLabels(f.Right, filterLabels(f.Left, out))
	}
	return out
}

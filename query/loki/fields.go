package loki

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/eval"
	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/pipeline"
)

const (
	defaultFields   = 1000
	maxFieldLines   = 2000
	maxFieldSamples = 1000 // values of a field
)

// field is a label that lines have, or get by a parser.
type field struct {
	values  map[string]bool
	parsers map[string]bool // none for what is known without
	kind    string          // "" if nothing is known yet
}

func (f *field) add(value, parser string) {
	if parser != "" {
		f.parsers[parser] = true
	}
	if len(f.values) < maxFieldSamples {
		f.values[value] = true
	}
	if kind := kindOf(value); f.kind == "" {
		f.kind = kind
	} else if f.kind != kind {
		if numbers := map[string]bool{"int": true, "float": true}; numbers[f.kind] && numbers[kind] {
			f.kind = "float"
		} else {
			f.kind = "string"
		}
	}
}

// kindOf is what a value may be, in Loki's words.
func kindOf(v string) string {
	if _, err := strconv.ParseInt(v, 10, 64); err == nil {
		return "int"
	}
	if _, err := strconv.ParseFloat(v, 64); err == nil {
		return "float"
	}
	if v == "true" || v == "false" {
		return "boolean"
	}
	if _, err := time.ParseDuration(v); err == nil {
		return "duration"
	}
	if n, err := logql.ParseBytes(v); err == nil && n > 0 {
		return "bytes"
	}
	return "string"
}

// fields looks at the newest lines of the request's query for the labels that
// they have, and those that parsers find.
func (a *API) fields(r *http.Request) (map[string]*field, error) {
	e, err := parsedLog(r)
	if err != nil {
		return nil, err
	}
	span, err := a.span(r)
	if err != nil {
		return nil, err
	}
	n, err := whole(r, "line_limit", 100, maxFieldLines)
	if err != nil {
		return nil, err
	}
	table := labels.NewTable()
	parsers := map[string]*pipeline.Pipeline{}
	for name, stage := range map[string]logql.Stage{"json": &logql.JSONParser{}, "logfmt": &logql.LogfmtParser{}} {
		if parsers[name], err = pipeline.New([]logql.Stage{stage}, table); err != nil {
			return nil, err
		}
	}
	found := map[string]*field{}
	add := func(set *labels.Set, parser string) {
		for _, l := range set.Labels() {
			if l.Value == "" || l.Name == pipeline.ErrorLabel || l.Name == pipeline.DetailsLabel {
				continue
			}
			f := found[l.Name]
			if f == nil {
				f = &field{values: map[string]bool{}, parsers: map[string]bool{}}
				found[l.Name] = f
			}
			f.add(l.Value, parser)
		}
	}
	err = a.query(r, e).Logs(r.Context(), eval.LogQuery{Span: span, Backward: true, Limit: n}, func(l eval.LogEntry) error {
		add(l.Metadata, "")
		add(l.Parsed, "")
		for _, name := range []string{"json", "logfmt"} {
			parsed, ok := parsers[name].Process(pipeline.Line{Time: l.Time, Body: l.Body, Stream: l.Stream, Metadata: l.Metadata})
			if ok && parsed.Parsed.Get(pipeline.ErrorLabel) == "" && parsed.Parsed.Len() > 0 {
				add(parsed.Parsed, name)
				break // what is JSON is no logfmt
			}
		}
		return nil
	})
	return found, err
}

func (a *API) detectedFields(r *http.Request) (any, error) {
	limit, err := fieldLimit(r)
	if err != nil {
		return nil, err
	}
	found, err := a.fields(r)
	if err != nil {
		return nil, err
	}
	type detected struct {
		Label       string   `json:"label"`
		Type        string   `json:"type"`
		Cardinality int      `json:"cardinality"`
		Parsers     []string `json:"parsers"`
	}
	fields := []detected{}
	for _, name := range sortedKeys(found) {
		if f := found[name]; len(fields) < limit {
			fields = append(fields, detected{name, f.kind, len(f.values), sortedKeys(f.parsers)})
		}
	}
	return map[string]any{"fields": fields, "limit": limit}, nil
}

func fieldLimit(r *http.Request) (int, error) {
	n, err := whole(r, "limit", defaultFields, defaultFields)
	if err != nil {
		return 0, err
	}
	return whole(r, "field_limit", n, defaultFields)
}

func (a *API) fieldValues(r *http.Request) (any, error) {
	limit, err := fieldLimit(r)
	if err != nil {
		return nil, err
	}
	found, err := a.fields(r)
	if err != nil {
		return nil, err
	}
	values := []string{}
	if f := found[r.PathValue("name")]; f != nil {
		values = sortedKeys(f.values)
		values = slices.Clip(values[:min(len(values), limit)])
	}
	return map[string]any{"values": values, "limit": limit}, nil
}

package loki

import (
	"net/http"
	"slices"
	"strings"

	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/plan"
)

// listed are the labels that are listed: those of streams, and the level.
// Selectors may name all others, too.
var listed = func() []string {
	names := append(slices.Clone(plan.StreamLabels), "level")
	slices.Sort(names)
	return names
}()

// selections are the lines that the request is about: those of each selector of
// the parameters named, or all.
func (a *API) selections(r *http.Request, names ...string) ([]plan.Selection, error) {
	span, err := a.span(r)
	if err != nil {
		return nil, err
	}
	selectors := list(r, names...)
	if len(selectors) == 0 {
		selectors = []string{"{}"}
	}
	all := make([]plan.Selection, len(selectors))
	for i, s := range selectors {
		matchers, err := selectorOf(s)
		if err != nil {
			return nil, err
		}
		all[i] = plan.Selection{Tenant: wire.Tenant(r), Matchers: matchers, Since: span.Start, Until: span.End}
	}
	return all, nil
}

// selectorOf reads a selector, or takes that of a query for lines.
func selectorOf(s string) ([]*logql.Matcher, error) {
	matchers, err := logql.ParseMatchers(s)
	if err == nil {
		return matchers, nil
	}
	log, err2 := logql.ParseLog(s)
	if err2 != nil {
		return nil, err
	}
	return log.Matchers, nil
}

func (a *API) labels(r *http.Request) (any, error) {
	all, err := a.selections(r, "query")
	if err != nil {
		return nil, err
	}
	found, err := a.engine.Catalog(all[0]).Labels(r.Context(), listed)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(found))
	for i, l := range found {
		names[i] = l.Name
	}
	return data{"success", names}, nil
}

func (a *API) labelValues(r *http.Request) (any, error) {
	name := r.PathValue("name")
	if !logql.IsLabelName(name) {
		return nil, bad("invalid label name: %q", name)
	}
	all, err := a.selections(r, "query")
	if err != nil {
		return nil, err
	}
	values, err := a.engine.Catalog(all[0]).Values(r.Context(), name)
	if err != nil {
		return nil, err
	}
	return data{"success", values}, nil
}

func (a *API) series(r *http.Request) (any, error) {
	all, err := a.selections(r, "match", "match[]")
	if err != nil {
		return nil, err
	}
	seen := map[string]*labels.Set{}
	for _, s := range all {
		streams, err := a.engine.Catalog(s).Streams(r.Context())
		if err != nil {
			return nil, err
		}
		for _, set := range streams {
			seen[set.String()] = set
		}
	}
	series := make([]map[string]string, 0, len(seen))
	for _, key := range sortedKeys(seen) {
		series = append(series, seen[key].Map())
	}
	return data{"success", series}, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (a *API) detectedLabels(r *http.Request) (any, error) {
	all, err := a.selections(r, "query")
	if err != nil {
		return nil, err
	}
	found, err := a.engine.Catalog(all[0]).Labels(r.Context(), listed)
	if err != nil {
		return nil, err
	}
	type detected struct {
		Label       string `json:"label"`
		Cardinality uint64 `json:"cardinality"`
	}
	answer := make([]detected, len(found))
	for i, l := range found {
		answer[i] = detected{l.Name, l.Values}
	}
	return map[string]any{"detectedLabels": answer}, nil
}

func (a *API) indexStats(r *http.Request) (any, error) {
	all, err := a.selections(r, "query")
	if err != nil {
		return nil, err
	}
	size, err := a.engine.Catalog(all[0]).Size(r.Context())
	if err != nil {
		return nil, err
	}
	return map[string]uint64{"streams": size.Streams, "chunks": size.Streams, "entries": size.Lines, "bytes": size.Bytes}, nil
}

// names reads a list with commas between.
func namesOf(s string) ([]string, error) {
	var names []string
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !logql.IsLabelName(name) {
			return nil, bad("invalid label name: %q", name)
		}
		names = append(names, name)
	}
	return names, nil
}

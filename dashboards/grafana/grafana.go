// Package grafana is the dashboard of cold starts for Grafana's ClickHouse
// data source: its queries as SQL files, its panels as Go, and from both the
// JSON that is committed in dashboards/ and provisioned from there.
//
//	go generate ./dashboards/grafana    # after a change
package grafana

//go:generate go test -run ^TestDashboardIsCommitted$ . -update

import (
	"embed"
	"fmt"
	"strings"

	"github.com/coldscope/coldscope/internal/faas"
)

//go:embed sql/*.sql
var sqlFiles embed.FS

// Format is how the data source gives a query's rows to Grafana.
type Format int

// The formats, numbered as the data source numbers them.
const (
	TimeSeries Format = 0 // first a time, then values; text columns become labels
	Table      Format = 1
)

// Query is one query of the dashboard, with its macros and variables.
type Query struct {
	Name   string // unique in the dashboard
	Format Format
	SQL    string // as it stands in the JSON
}

// Queries gives every query of the dashboard: the variables' first, then the
// panels', from top to bottom.
func Queries() ([]Query, error) {
	b := builder{}
	b.dashboard()
	return b.queries, b.err
}

// builder gathers the queries while the dashboard is put together. Its first
// error stays.
type builder struct {
	queries []Query
	err     error
	nextID  int
	nextY   int
}

// sql reads a query and fills its placeholders; pairs are further ones, name
// and text in turn.
func (b *builder) sql(name string, format Format, file string, pairs ...string) string {
	text, err := b.read(file, pairs)
	if err != nil && b.err == nil {
		b.err = fmt.Errorf("query %s: %w", name, err)
	}
	b.queries = append(b.queries, Query{name, format, text})
	return text
}

func (b *builder) read(file string, pairs []string) (string, error) {
	raw, err := sqlFiles.ReadFile("sql/" + file + ".sql")
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(raw))
	if strings.Contains(text, "{{intervals}}") {
		intervals, err := b.read("intervals", nil)
		if err != nil {
			return "", err
		}
		text = strings.ReplaceAll(text, "{{intervals}}", indent(intervals, text))
	}
	text = strings.NewReplacer(append([]string{"{{names}}", phaseNames()}, pairs...)...).Replace(text)
	if _, rest, ok := strings.Cut(text, "{{"); ok {
		return "", fmt.Errorf("placeholder {{%.20s is not filled", rest)
	}
	return text, nil
}

// indent gives inner the depth that its placeholder has in outer.
func indent(inner, outer string) string {
	before, _, _ := strings.Cut(outer, "{{intervals}}")
	depth := before[strings.LastIndexByte(before, '\n')+1:]
	return strings.ReplaceAll(inner, "\n", "\n"+depth)
}

// phaseNames lists what a start's time is shared among. The rest comes first,
// since every phase covers it, and unpack before pull, since a layer that is
// still to come holds up its unpacking; else it is the order of a start.
func phaseNames() string {
	names := []string{"'other'"}
	for _, p := range faas.Phases {
		switch p {
		case faas.PhasePull:
			names = append(names, quoted(faas.PhaseUnpack), quoted(faas.PhasePull))
		case faas.PhaseUnpack:
		default:
			names = append(names, quoted(p))
		}
	}
	return strings.Join(names, ", ")
}

func quoted(p faas.Phase) string { return "'" + string(p) + "'" }

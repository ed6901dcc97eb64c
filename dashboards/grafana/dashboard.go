package grafana

import (
	"bytes"
	"encoding/json"
	"fmt"
)

const (
	pluginType    = "grafana-clickhouse-datasource"
	pluginVersion = "4.20.0"
	// UID names the dashboard in Grafana's links.
	UID = "coldscope-cold-starts"
)

// Dashboard gives the JSON that Grafana imports or provisions.
func Dashboard() ([]byte, error) {
	b := builder{}
	d := b.dashboard()
	if b.err != nil {
		return nil, b.err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // the SQL stays readable
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return nil, fmt.Errorf("encode dashboard: %w", err)
	}
	return buf.Bytes(), nil
}

// source is the data source that the variable of that name stands for.
func source() datasource { return datasource{pluginType, "${datasource}"} }

func (b *builder) dashboard() dashboard {
	return dashboard{
		UID: UID, Title: "Cold starts",
		Description:   "How often requests wait for a new instance of their function, how long, and which phase of the start takes the time.",
		Tags:          []string{"coldscope"},
		SchemaVersion: 39, Editable: true, GraphTooltip: 1, Refresh: "1m",
		Time:       timeRange{"now-6h", "now"},
		Templating: templating{b.variables()},
		Panels:     b.panels(),
	}
}

func (b *builder) variables() []templateVar {
	all := &selection{[]string{"All"}, []string{All}}
	ds := source()
	choose := func(name, label string, multi bool, current *selection) templateVar {
		file := "variable_" + name + "s"
		return templateVar{
			Name: name, Label: label, Type: "query", Datasource: &ds,
			Query:   variableQuery{"sql", b.sql(file, Table, file), "variable"},
			Current: current, Multi: multi, IncludeAll: multi, Refresh: 2, Sort: 1,
		}
	}
	const console = "http://127.0.0.1:9480"
	return []templateVar{
		{Name: "datasource", Label: "Store", Type: "datasource", Query: pluginType, Refresh: 1},
		choose("tenant", "Tenant", false, &selection{"default", "default"}),
		choose("namespace", "Namespace", true, all),
		choose("function", "Function", true, all),
		{
			Name: "console", Label: "Console", Description: "Where the links to requests lead", Type: "textbox",
			Query: console, Current: &selection{console, console},
		},
	}
}

func (b *builder) panels() []panel {
	var ps []panel
	row := func(height int, of ...panel) {
		x := 0
		for _, p := range of {
			p.GridPos.X, p.GridPos.Y, p.GridPos.H = x, b.nextY, height
			x += p.GridPos.W
			ps = append(ps, p)
		}
		b.nextY += height
	}
	row(4, b.starts())
	row(9,
		b.lines(12, "Start percentiles", "From the demand for an instance to its readiness.", "s", b.series("start_percentiles", "start_percentiles")),
		b.shares(),
	)
	row(8, b.phasePercentile(0.5), b.phasePercentile(0.9), b.phasePercentile(0.99))
	row(9, b.coldRatio(), b.functions())
	row(8, b.pulledBytes(), b.bandwidth())
	row(10, b.sharesTotal(), b.slowest())
	return ps
}

func (b *builder) panel(kind string, width int, title, description string, t target) panel {
	b.nextID++
	return panel{
		ID: b.nextID, Type: kind, Title: title, Description: description,
		GridPos: gridPos{W: width}, Datasource: source(), Targets: []target{t},
		FieldConfig: fieldConfig{Defaults: fieldDefaults{Custom: map[string]any{}}, Overrides: []fieldOverride{}},
		Options:     map[string]any{},
	}
}

func (b *builder) series(name, file string, pairs ...string) target {
	return target{"A", source(), pluginVersion, "sql", "timeseries", TimeSeries, b.sql(name, TimeSeries, file, pairs...)}
}

func (b *builder) table(name string) target {
	return target{"A", source(), pluginVersion, "sql", "table", Table, b.sql(name, Table, name)}
}

func (b *builder) lines(width int, title, description, unit string, t target) panel {
	p := b.panel("timeseries", width, title, description, t)
	zero := 0.0
	p.FieldConfig.Defaults.Unit, p.FieldConfig.Defaults.Min = unit, &zero
	p.FieldConfig.Defaults.Custom = map[string]any{"lineWidth": 2, "showPoints": "auto", "spanNulls": true}
	p.Options = map[string]any{
		"legend":  map[string]any{"displayMode": "table", "placement": "right", "showLegend": true, "calcs": []string{"lastNotNull", "max"}},
		"tooltip": map[string]any{"mode": "multi", "sort": "desc"},
	}
	return p
}

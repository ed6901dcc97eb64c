package grafana

import "strconv"

// byName gives one field of a query's rows its own look.
func byName(field string, properties ...property) fieldOverride {
	return fieldOverride{matcher{"byName", field}, properties}
}

func unit(u string) property     { return property{"unit", u} }
func named(name string) property { return property{"displayName", name} }

// stacked turns lines into bars on top of each other, which suits parts of a whole.
func stacked(p panel) panel {
	p.FieldConfig.Defaults.Custom = map[string]any{
		"drawStyle": "bars", "fillOpacity": 80, "lineWidth": 0, "showPoints": "never", "stacking": map[string]any{"mode": "normal", "group": "A"},
	}
	return p
}

func (b *builder) starts() panel {
	p := b.panel("stat", 24, "Starts", "Instances that became ready, and how long their start took.", b.table("starts"))
	p.FieldConfig.Defaults.Unit = "s"
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, byName("starts", unit("short")))
	p.Options = map[string]any{
		"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
		"colorMode":     "none", "graphMode": "none", "textMode": "value_and_name",
	}
	return p
}

func (b *builder) phasePercentile(quantile float64) panel {
	percent := strconv.FormatFloat(quantile*100, 'f', -1, 64)
	p := b.lines(8, "Phases, p"+percent,
		"The time that "+percent+" % of the starts stay below in each phase. Phases may overlap.", "s",
		b.series("phase_p"+percent, "phase_percentile", "{{quantile}}", strconv.FormatFloat(quantile, 'f', -1, 64)))
	p.FieldConfig.Defaults.DisplayName = "${__field.labels.phase}"
	return p
}

func (b *builder) shares() panel {
	p := stacked(b.lines(12, "Where the time goes", "Mean seconds of a start that each phase is charged with. The bars add up to the mean start.", "s",
		b.series("shares_over_time", "shares_over_time")))
	p.FieldConfig.Defaults.DisplayName = "${__field.labels.phase}"
	return p
}

func (b *builder) sharesTotal() panel {
	p := b.panel("bargauge", 6, "Time by phase", "Seconds that all starts together spent in each phase; the bars add up to the whole.", b.table("shares"))
	p.FieldConfig.Defaults.Unit = "s"
	p.Options = map[string]any{
		"reduceOptions": map[string]any{"calcs": []string{}, "fields": "/^seconds$/", "values": true},
		"orientation":   "horizontal", "displayMode": "basic", "valueMode": "color",
	}
	return p
}

func (b *builder) coldRatio() panel {
	p := b.lines(12, "Cold ratio", "Share of a function's requests that waited for an instance to start.", "percentunit", b.series("cold_ratio", "cold_ratio"))
	p.FieldConfig.Defaults.DisplayName = "${__field.labels.name}"
	one := 1.0
	p.FieldConfig.Defaults.Max = &one
	return p
}

func (b *builder) functions() panel {
	p := b.panel("table", 12, "Functions by cold ratio", "How many requests were cold, and how long those waited for the start.", b.table("functions"))
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides,
		byName("cold_requests", named("cold")),
		byName("cold_ratio", named("cold ratio"), unit("percentunit"), property{"custom.cellOptions", map[string]string{"type": "gauge", "mode": "basic"}}, property{"min", 0}, property{"max", 1}),
		byName("wait_p50", named("wait p50"), unit("s")),
		byName("wait_p99", named("wait p99"), unit("s")),
	)
	return p
}

func (b *builder) pulledBytes() panel {
	p := stacked(b.lines(12, "Bytes pulled", "Compressed bytes of the layers that were not in the host's cache.", "bytes", b.series("pulled_bytes", "pulled_bytes")))
	p.FieldConfig.Defaults.DisplayName = "${__field.labels.name}"
	return p
}

func (b *builder) bandwidth() panel {
	return b.lines(12, "Pull bandwidth", "Bytes a second of each start's downloads: half of the starts had less than p50, a tenth less than p10.", "Bps",
		b.series("pull_bandwidth", "pull_bandwidth"))
}

func (b *builder) slowest() panel {
	p := b.panel("table", 18, "Slowest starts", "A request ID leads to the request's page in the console; a provisioned start has none.", b.table("slowest"))
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides,
		byName("request_id", named("request"), property{"links", []map[string]any{{
			"title": "Open in the console", "url": "${console}/requests/${__value.raw:percentencode}", "targetBlank": true,
		}}}),
		byName("seconds", named("start"), unit("s")),
		byName("longest_phase", named("longest phase")),
		byName("longest_seconds", named("for"), unit("s")),
		byName("image_bytes", named("image size"), unit("bytes")),
	)
	return p
}

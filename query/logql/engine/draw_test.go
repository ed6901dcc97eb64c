package engine_test

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"
)

// drawQuery makes a query of LogQL about what fillRandom stores.
func drawQuery(r *rapid.T) string {
	if rapid.Bool().Draw(r, "log") {
		return drawLog(r)
	}
	return drawMetric(r, 2)
}

func pick(r *rapid.T, what string, list ...string) string {
	return rapid.SampledFrom(list).Draw(r, what)
}

var knownLabels = []string{
	"function", "namespace", "service_name", "version", "instance", "host", "stream", "level", "detected_level", "attribution", "phase", "request_id", "trace_id",
	"cold", "status", "http_status", "duration_ms", "cold_wait_ms", "trigger", "user", "http_path", "status_extracted", "level_extracted", "_0x", "took", "n", "nothing",
}

func drawMatcher(r *rapid.T) string {
	name := pick(r, "label", knownLabels...)
	switch pick(r, "op", "=", "!=", "=~", "!~") {
	case "=":
		return fmt.Sprintf("%s=%q", name, pick(r, "value", drawValues...))
	case "!=":
		return fmt.Sprintf("%s!=%q", name, pick(r, "value", drawValues...))
	case "=~":
		return fmt.Sprintf("%s=~%q", name, pick(r, "regexp", drawPatterns...))
	}
	return fmt.Sprintf("%s!~%q", name, pick(r, "regexp", drawPatterns...))
}

var (
	drawValues   = []string{"", "f", "n", "v1", "i1", "stdout", "platform", "error", "warn", "window", "init", "pull", "r1", "true", "ok", "5", "200", "a", "b", "x_y", `back\slash`, "Ünï", "'", "100%", "%"}
	drawPatterns = []string{"", ".*", ".+", "f|g", "n|m", "v.", "std.*", "(?i)ERROR|ok", "r[0-9]", "h.i|f", "[^a]", "Ü.*", "a|", "true"}
)

func drawSelector(r *rapid.T) string {
	matchers := []string{pick(r, "first", `stream=~".+"`, `function=~".+"`, `function="f"`, `namespace="n"`, `cold="true"`, `function=~"f|g"`, `request_id=~"r.+"`, `level!=""`)}
	for range rapid.IntRange(0, 2).Draw(r, "matchers") {
		matchers = append(matchers, drawMatcher(r))
	}
	return "{" + strings.Join(matchers, ", ") + "}"
}

func drawLog(r *rapid.T) string {
	s := drawSelector(r)
	for range rapid.IntRange(0, 4).Draw(r, "stages") {
		stage := drawStage(r)
		if last := s[strings.LastIndex(s, "|")+1:]; stage[0] == '!' && (strings.HasPrefix(last, " drop") || strings.HasPrefix(last, " keep")) {
			continue // drop a != "b" is about the label
		}
		s += " " + stage
	}
	return s
}

func drawStage(r *rapid.T) string {
	switch rapid.IntRange(0, 15).Draw(r, "stage") {
	case 0, 1:
		texts := fmt.Sprintf("%q", pick(r, "text", drawValues...))
		if rapid.Bool().Draw(r, "or") {
			texts += fmt.Sprintf(" or %q", pick(r, "text", drawValues...))
		}
		return pick(r, "op", "|= ", "!= ") + texts
	case 2:
		return pick(r, "op", "|~ ", "!~ ") + fmt.Sprintf("%q", pick(r, "regexp", drawPatterns...))
	case 3:
		return pick(r, "op", "|> ", "!> ") + fmt.Sprintf("%q", pick(r, "pattern", "<_>took <_>", "pull <_>", "<_>error", "panic:<_>at<_>", "a error", "<_>%<_>", `<_>\<_>`))
	case 4, 5:
		return "| " + drawFilter(r)
	case 6, 7:
		return pick(r, "json", "| json", `| json user, http_path="http.path"`, `| json code="http.code", k="list[1].k"`)
	case 8, 9:
		return pick(r, "logfmt", "| logfmt", "| logfmt --strict", "| logfmt --keep-empty", `| logfmt user, t="took"`)
	case 10:
		return pick(r, "capture", `| pattern "<phase> took <took>"`, `| regexp "(?P<method>[A-Z]+) /(?P<user>\\S*)"`, "| unpack")
	case 11:
		return pick(r, "error", `| __error__=""`, `| __error__!=""`, "| drop __error__, __error_details__", "| drop __error__")
	case 12:
		return "| " + pick(r, "choice", "drop", "keep") + " " + pick(r, "label", knownLabels...) + ", " + pick(r, "choice", "user", `level="error"`, `stream=~"std.*"`, "n")
	case 13:
		return pick(r, "format", "| line_format `{{.user}} {{.level}} {{.cold}}`", "| decolorize", "| line_format `{{ .nothing | upper }}`")
	case 14:
		return "| label_format " + pick(r, "to", "user", "level", "other", "function") + "=" + pick(r, "from", "stream", "level", "user", "`{{.level}}-{{.status}}`", "nothing")
	}
	return "|= " + pick(r, "ip", `ip("10.0.0.0/16")`, `ip("10.0.1.7")`)
}

func drawFilter(r *rapid.T) string {
	one := func() string {
		switch rapid.IntRange(0, 5).Draw(r, "filter") {
		case 0:
			return pick(r, "number", "n", "f", "duration_ms", "cold_wait_ms", "http_status", "status", "took") + pick(r, "compare", " > ", " >= ", " < ", " <= ", " == ", " != ") + pick(r, "than", "0", "5", "200", "1", "50.5")
		case 1:
			return pick(r, "label", "took", "duration_ms", "user") + pick(r, "compare", " > ", " <= ") + pick(r, "than", "1s", "500ms", "2KB")
		}
		return drawMatcher(r)
	}
	switch rapid.IntRange(0, 3).Draw(r, "joined") {
	case 0:
		return one() + " and " + one()
	case 1:
		return one() + " or " + one()
	case 2:
		return "(" + one() + " or " + one() + ") and " + one()
	}
	return one()
}

func drawRange(r *rapid.T, grouped bool) string {
	window := pick(r, "range", "[1s]", "[7s]", "[1m]", "[5m]", "[61500ms]", "[1m] offset 30s", "[90s] offset -1m")
	op := pick(r, "range op", "count_over_time", "rate", "bytes_over_time", "bytes_rate", "sum_over_time", "avg_over_time", "min_over_time", "max_over_time",
		"stddev_over_time", "stdvar_over_time", "quantile_over_time", "first_over_time", "last_over_time", "absent_over_time")
	switch op {
	case "count_over_time", "rate", "bytes_over_time", "bytes_rate", "absent_over_time":
		return op + "(" + drawLog(r) + " " + window + ")"
	}
	unwrap := " | unwrap " + pick(r, "unwrap", "duration_ms", "cold_wait_ms", "http_status", "duration_ms", "n", "duration(took)", "bytes(user)", "nothing", "f", "user", "took", "status_extracted", "http_path", "_0x")
	if rapid.Bool().Draw(r, "errors") {
		unwrap += ` | __error__=""`
	}
	param, by := "", ""
	if op == "quantile_over_time" {
		param = pick(r, "quantile", "0, ", "0.5, ", "0.99, ", "1, ", "-1, ", "2, ")
	}
	if grouped && op != "sum_over_time" {
		by = drawGrouping(r)
	}
	return op + "(" + param + drawLog(r) + unwrap + " " + window + ")" + by
}

func drawGrouping(r *rapid.T) string {
	names := make([]string, rapid.IntRange(0, 3).Draw(r, "groups"))
	for i := range names {
		names[i] = pick(r, "group", knownLabels...)
	}
	return pick(r, "grouping", " by ", " by ", " by ", " without ") + "(" + strings.Join(names, ", ") + ")"
}

func drawMetric(r *rapid.T, depth int) string {
	switch rapid.IntRange(0, 7).Draw(r, "metric") {
	case 0:
		return drawRange(r, true)
	case 1, 2, 3:
		return pick(r, "vector op", "sum", "sum", "sum", "min", "max", "avg", "count") + drawGrouping(r) + " (" + drawRange(r, false) + ")"
	case 4:
		return "sum(" + drawRange(r, false) + ")"
	case 5:
		if depth > 0 {
			return "(" + drawMetric(r, depth-1) + ")" + pick(r, "binary", " + ", " / ", " > ", " or ", " and ") + "(" + drawMetric(r, depth-1) + ")"
		}
	case 6:
		if depth > 0 {
			return "topk(2, " + drawMetric(r, depth-1) + ")"
		}
	}
	return "sum by (function, level) (" + drawRange(r, false) + ")"
}

package grafana

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// All is a variable's value when everything is selected.
const All = "$__all"

var (
	macro    = regexp.MustCompile(`\$__(fromTime|toTime|timeFilter|timeInterval|interval_s)\b(\()?`)
	variable = regexp.MustCompile(`\$\{(\w+)(?::(\w+))?\}`)
)

// Expand does with a query what Grafana and its ClickHouse data source do
// before they send it: first the conditions that fall away when a variable
// stands for everything, then the variables, then the macros. vars holds each
// variable's values, All among them or none at all for everything.
func Expand(query string, from, to time.Time, vars map[string][]string) (string, error) {
	query, err := expandConditions(query, vars)
	if err != nil {
		return "", err
	}
	for _, m := range variable.FindAllStringSubmatch(query, -1) {
		if _, ok := vars[m[1]]; !ok {
			return "", fmt.Errorf("expand query: variable %s has no value", m[1])
		}
		if m[2] != "singlequote" {
			return "", fmt.Errorf("expand query: variable %s is not quoted: write ${%s:singlequote}", m[1], m[1])
		}
	}
	query = variable.ReplaceAllStringFunc(query, func(m string) string {
		return quote(vars[variable.FindStringSubmatch(m)[1]])
	})
	return expandMacros(query, from, to)
}

// quote is Grafana's format singlequote.
func quote(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = "'" + strings.ReplaceAll(v, "'", `\'`) + "'"
	}
	return strings.Join(quoted, ",")
}

// expandConditions replaces $__conditionalAll(condition, $variable).
func expandConditions(query string, vars map[string][]string) (string, error) {
	const name = "$__conditionalAll("
	for {
		before, rest, ok := strings.Cut(query, name)
		if !ok {
			return query, nil
		}
		inner, after, ok := cutParenthesis(rest)
		comma := strings.LastIndexByte(inner, ',')
		if !ok || comma < 0 {
			return "", fmt.Errorf("expand query: %s%.40s: want a condition and a variable", name, rest)
		}
		condition, v := inner[:comma], strings.TrimPrefix(strings.TrimSpace(inner[comma+1:]), "$")
		if values := vars[v]; len(values) == 0 || slices.Contains(values, All) {
			condition = "1=1"
		}
		query = before + condition + after
	}
}

// cutParenthesis cuts s after the parenthesis that closes the one before it.
func cutParenthesis(s string) (inner, after string, ok bool) {
	depth := 1
	for i, c := range s {
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return s[:i], s[i+1:], true
			}
		}
	}
	return "", "", false
}

func expandMacros(query string, from, to time.Time) (string, error) {
	// Grafana asks for about a point a pixel.
	step := max(int(to.Sub(from).Seconds()/1000), 1)
	for {
		at := macro.FindStringSubmatchIndex(query)
		if at == nil {
			break
		}
		name, arg, after := query[at[2]:at[3]], "", query[at[1]:]
		if at[4] >= 0 {
			var ok bool
			if arg, after, ok = cutParenthesis(after); !ok {
				return "", fmt.Errorf("expand query: $__%s( is not closed", name)
			}
		}
		var text string
		switch name {
		case "fromTime":
			text = seconds(from)
		case "toTime":
			text = seconds(to)
		case "timeFilter":
			text = fmt.Sprintf("%s >= %s AND %s <= %s", arg, seconds(from), arg, seconds(to))
		case "timeInterval":
			text = fmt.Sprintf("toStartOfInterval(toDateTime(%s), INTERVAL %d second)", arg, step)
		case "interval_s":
			text = strconv.Itoa(step)
		}
		query = query[:at[0]] + text + after
	}
	if _, rest, ok := strings.Cut(query, "$"); ok {
		return "", fmt.Errorf("expand query: do not know $%.30s", rest)
	}
	return query, nil
}

func seconds(t time.Time) string { return fmt.Sprintf("toDateTime(%d)", t.Unix()) }

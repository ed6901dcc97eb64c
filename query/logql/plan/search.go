package plan

import (
	"regexp"
	"slices"
	"strings"

	"github.com/coldscope/coldscope/internal/schema"
)

// A line may be stored several times, the newest revision of it counting: it may
// have been given another request. FINAL folds its rows, and is dear where it has
// to fold what nobody asked for. So what is the same in all rows of a line is asked
// in PREWHERE, which is before that, and only the rest behind it.

// which is the conditions of lines: PREWHERE, and WHERE if there is one.
func (b *builder) which(c *conditions, since, until int64) string {
	within := "tenant = {tenant:String}" +
		"\n    AND ts >= fromUnixTimestamp64Nano(" + b.whole(since) + ", 'UTC') AND ts < fromUnixTimestamp64Nano(" + b.whole(until) + ", 'UTC')"
	var keys, before, behind []string
	request := ""
	for _, sql := range c.lines {
		switch match := oneRequest.FindStringSubmatch(sql); {
		case match != nil && b.args[match[1]] != "":
			request = sql
			// Not by the index: with FINAL that would have to look at all that lies
			// between the parts' keys, too.
			behind = append(behind, "identity(request_id) = {"+match[1]+":String}")
		case ofRequest.MatchString(sql):
			behind = append(behind, sql)
		default:
			if ofKey.MatchString(sql) {
				keys = append(keys, sql)
			}
			before = append(before, sql)
		}
	}
	s := "PREWHERE " + within
	if request != "" {
		// The index finds rows with the request, old ones, too, and their keys all the
		// rows of these lines. A function's rows are on one shard.
		s += "\n    AND (namespace, function, ts, file_id, offset) GLOBAL IN (SELECT namespace, function, ts, file_id, offset FROM logs WHERE " +
			within + and(keys) + "\n    AND " + request + ")"
	}
	s += and(before) + and(c.texts)
	if len(behind) > 0 {
		s += "\nWHERE " + strings.TrimPrefix(and(behind), "\n    AND ")
	}
	return s
}

// OfRequest says whether the lines are those of one request, which are found as
// fast in a long time as in a short one.
func (l *Lines) OfRequest() bool {
	b := newBuilder("")
	c, _ := b.log(l.log)
	return slices.ContainsFunc(c.lines, func(sql string) bool {
		match := oneRequest.FindStringSubmatch(sql)
		return match != nil && b.args[match[1]] != ""
	})
}

var (
	oneRequest = regexp.MustCompile(`^request_id = \{(p[0-9]+):String\}$`)
	// ofRequest is of columns that differ between the rows of a line.
	ofRequest = regexp.MustCompile(`\b(request_id|attribution|candidates|packed|body|revision)\b`)
	ofKey     = regexp.MustCompile(`^(namespace|function) (=|!=|IN|NOT IN) [^ ]`)
)

// contains is the condition that a line's text has v in it.
func (b *builder) contains(v string) string { return schema.TextContains(v, b.param) }

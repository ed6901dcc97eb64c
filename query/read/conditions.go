package read

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"text/template"

	"github.com/coldscope/coldscope/internal/schema"
)

// queries are the files of sql/ as templates, with lists of columns that several of
// them read. What goes into a template is
// chosen among the fixed texts of this package: values are parameters, always.
var queries = template.Must(template.New("sql").ParseFS(files, "columns.sql", "sql/*.sql"))

// query gives the SQL of a file whose text depends on what is asked.
func query(name string, choices any) (string, error) {
	var b bytes.Buffer
	if err := queries.ExecuteTemplate(&b, name+".sql", choices); err != nil {
		return "", fmt.Errorf("make query %s: %w", name, err)
	}
	return b.String(), nil
}

// conditions are those of a query's WHERE, with their parameters.
type conditions struct {
	prefix string // of the parameters' names, where a query has two of these
	list   []string
	args   args
}

var placeholder = regexp.MustCompile(`\{:`)

// add adds a condition: SQL with the placeholders {:Type}, one for each value.
func (c *conditions) add(sql string, values ...any) {
	if c.args == nil {
		c.args = args{}
	}
	n := -1
	c.list = append(c.list, placeholder.ReplaceAllStringFunc(sql, func(string) string {
		n++
		name := c.prefix + "c" + strconv.Itoa(len(c.args))
		c.args[name] = values[n]
		return "{" + name + ":"
	}))
}

// equal adds a condition for each column that has a value.
func (c *conditions) equal(columns ...[2]string) {
	for _, column := range columns {
		if column[1] != "" {
			c.add(column[0]+" = {:String}", column[1])
		}
	}
}

// within adds the condition that a time is in a range.
func (c *conditions) within(column string, r Range) {
	since, until := r.nanos()
	if since > firstNS {
		c.add(column+" >= fromUnixTimestamp64Nano({:Int64}, 'UTC')", since)
	}
	if until < lastNS {
		c.add(column+" < fromUnixTimestamp64Nano({:Int64}, 'UTC')", until)
	}
}

// Text is what somebody looks for in a text.
type Text struct {
	Text string
	Fold bool // upper and lower case are the same
	Not  bool // it must not be there
}

// text adds the condition that a line contains t.
func (c *conditions) text(t Text) {
	if t.Fold {
		c.contains("body", t)
		return
	}
	var values []any
	sql := schema.TextContains(t.Text, func(v any, kind string) string {
		values = append(values, v)
		return "{:" + kind + "}"
	})
	if t.Not {
		sql = "NOT (" + sql + ")"
	}
	c.add(sql, values...)
}

// contains adds the condition that column contains t.
func (c *conditions) contains(column string, t Text) {
	find := "position"
	if t.Fold {
		find = "positionCaseInsensitiveUTF8"
		if ascii(t.Text) {
			find = "positionCaseInsensitive"
		}
	}
	is := " > 0"
	if t.Not {
		is = " = 0"
	}
	c.add(find+"("+column+", {:String})"+is, t.Text)
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0
}

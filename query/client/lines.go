package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/query/read"
)

// LineFilter says which lines are meant. Empty fields say nothing.
type LineFilter struct {
	Namespace, Function, Version, Instance, Host string
	Request, Trace                               string
	Streams, Levels, Attributions                []string
	Contains, Excludes                           []string
	IgnoreCase                                   bool
	Regex                                        string
	Fields                                       []string // key=value, key!=value, key~regex, key!~regex, key>number, …, or key
	Since, Until                                 string   // RFC 3339, or a duration before now such as 15m
}

// Values are the filter's parameters of the API.
func (f *LineFilter) Values() url.Values {
	query := url.Values{}
	for name, value := range map[string]string{
		"namespace": f.Namespace, "function": f.Function, "version": f.Version, "instance": f.Instance, "host": f.Host,
		"request": f.Request, "trace": f.Trace, "regex": f.Regex, "since": f.Since, "until": f.Until,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for name, list := range map[string][]string{"stream": f.Streams, "level": f.Levels, "attribution": f.Attributions} {
		if len(list) > 0 {
			query.Set(name, strings.Join(list, ","))
		}
	}
	for name, list := range map[string][]string{"q": f.Contains, "not": f.Excludes, "field": f.Fields} {
		if len(list) > 0 {
			query[name] = list
		}
	}
	if f.IgnoreCase {
		query.Set("ignore_case", "true")
	}
	return query
}

// LinesQuery asks for one piece of a list of lines.
type LinesQuery struct {
	LineFilter
	OldestFirst bool
	Limit       int    // 0 is the service's default
	Cursor      string // NextCursor of the piece before
}

// Lines gets lines in the order of time.
func (c *Client) Lines(ctx context.Context, q LinesQuery) (*read.LineList, error) {
	query := q.Values()
	if q.OldestFirst {
		query.Set("order", "oldest")
	}
	if q.Limit != 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.Cursor != "" {
		query.Set("cursor", q.Cursor)
	}
	list := new(read.LineList)
	if err := c.ask(ctx, http.MethodGet, c.path(query, "lines"), list); err != nil {
		return nil, fmt.Errorf("get lines: %w", err)
	}
	return list, nil
}

// Context gets what was printed around a line of an answer, on its instance.
func (c *Client) Context(ctx context.Context, l *read.FoundLine, before, after int) (*read.LineContext, error) {
	query := url.Values{
		"namespace": {l.Namespace}, "function": {l.Function}, "ts": {l.Time.Format(time.RFC3339Nano)},
		"before": {strconv.Itoa(before)}, "after": {strconv.Itoa(after)},
	}
	found := new(read.LineContext)
	if err := c.ask(ctx, http.MethodGet, c.path(query, "lines", l.FileID, strconv.FormatUint(l.Offset, 10), "context"), found); err != nil {
		return nil, fmt.Errorf("get lines around a line: %w", err)
	}
	return found, nil
}

// Histogram counts lines by steps of time (such as 1m; empty: the service
// chooses) and by what they have in common (such as level; empty: nothing).
func (c *Client) Histogram(ctx context.Context, f LineFilter, step, by string) (*read.Histogram, error) {
	query := f.Values()
	for name, value := range map[string]string{"step": step, "by": by} {
		if value != "" {
			query.Set(name, value)
		}
	}
	h := new(read.Histogram)
	if err := c.ask(ctx, http.MethodGet, c.path(query, "lines", "histogram"), h); err != nil {
		return nil, fmt.Errorf("get histogram of lines: %w", err)
	}
	return h, nil
}

// linesPage is how many lines one request for all of them asks for.
const linesPage = 2000

// EachLine calls give with each line of the filter, the oldest first, until
// give returns an error, which it returns.
func (c *Client) EachLine(ctx context.Context, f LineFilter, give func(*read.FoundLine) error) error {
	for q := (LinesQuery{LineFilter: f, OldestFirst: true, Limit: linesPage}); ; {
		list, err := c.Lines(ctx, q)
		if err != nil {
			return err
		}
		for i := range list.Lines {
			if err := give(&list.Lines[i]); err != nil {
				return err
			}
		}
		if q.Cursor = list.NextCursor; q.Cursor == "" {
			return nil
		}
	}
}

// NewestLines gets the newest lines of the filter, in order of time, and says
// whether there are older ones.
func (c *Client) NewestLines(ctx context.Context, f LineFilter, limit int) (lines []read.FoundLine, more bool, err error) {
	for q := (LinesQuery{LineFilter: f}); ; {
		q.Limit = min(limit-len(lines), linesPage)
		list, err := c.Lines(ctx, q)
		if err != nil {
			return nil, false, err
		}
		lines = append(lines, list.Lines...)
		if q.Cursor = list.NextCursor; q.Cursor == "" || len(lines) >= limit {
			slices.Reverse(lines)
			return lines, q.Cursor != "", nil
		}
	}
}

// path is a URL of the API.
func (c *Client) path(query url.Values, parts ...string) *url.URL {
	u := c.base.JoinPath(append([]string{"api/v1"}, parts...)...)
	u.RawQuery = query.Encode()
	return u
}

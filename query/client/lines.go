package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/internal/wire"
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

func (f *LineFilter) values() url.Values {
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
	query := q.values()
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
	query := f.values()
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

// TailEvent is what a tail gives: a line, or that lines were left out, or that
// the store cannot be asked for the moment.
type TailEvent struct {
	Line    *read.TailedLine
	Skipped bool
	Lines   *uint64 // how many were left out, if that is known
	Problem string
}

// The waits before a tail connects again.
const (
	firstRetry   = 200 * time.Millisecond
	longestRetry = 5 * time.Second
	maxEvent     = 4 << 20 // bytes
)

// Tail calls give with what is written from now on, after the newest lines
// lines that are there already, until ctx ends or give returns an error, which
// it returns. Where the connection is lost, it connects again and goes on where
// it was; what the service refuses is an error.
func (c *Client) Tail(ctx context.Context, f LineFilter, lines int, give func(TailEvent) error) error {
	query := f.values()
	if lines > 0 {
		query.Set("lines", strconv.Itoa(lines))
	}
	t := &tail{client: c, url: c.path(query, "lines", "tail"), give: give, seen: map[string]bool{}}
	wait := firstRetry
	for {
		before := t.last
		err := t.connect(ctx)
		var lost *lostError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.As(err, &lost):
			return err
		case t.last == "" && t.connected == 0:
			return fmt.Errorf("follow lines: %w", err)
		}
		if t.last != before {
			wait = firstRetry
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		wait = min(2*wait, longestRetry)
	}
}

// lostError means that the connection was lost, or that there was none.
type lostError struct{ cause error }

func (e *lostError) Error() string { return e.cause.Error() }
func (e *lostError) Unwrap() error { return e.cause }

// tail is one that goes on over several connections.
type tail struct {
	client    *Client
	url       *url.URL
	give      func(TailEvent) error
	last      string // the last event's id
	connected int
	seen      map[string]bool // lines of the last moments: a new connection gives some again
	order     []string        // of seen
}

func (t *tail) connect(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url.String(), nil)
	if err != nil {
		return err
	}
	if t.client.tenant != "" {
		req.Header.Set(wire.HeaderTenant, t.client.tenant)
	}
	if t.last != "" {
		req.Header.Set("Last-Event-ID", t.last)
	}
	res, err := t.client.http.Do(req)
	if err != nil {
		return &lostError{err}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		err := fmt.Errorf("follow lines: %w", problem(res))
		if res.StatusCode >= http.StatusInternalServerError {
			return &lostError{err}
		}
		return err
	}
	t.connected++
	return t.read(res.Body)
}

// read takes the events of one connection.
func (t *tail) read(from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxEvent)
	var kind, id string
	var data []byte
	for lines.Scan() {
		name, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
		switch string(name) {
		case "id":
			id = string(value)
		case "event":
			kind = string(value)
		case "data":
			data = bytes.Clone(value)
		case "":
			if kind != "" {
				if err := t.event(kind, data); err != nil {
					return err
				}
				if id != "" {
					t.last = id
				}
			}
			kind, id, data = "", "", nil
		}
	}
	if err := lines.Err(); err != nil {
		return &lostError{err}
	}
	return &lostError{io.ErrUnexpectedEOF}
}

func (t *tail) event(kind string, data []byte) error {
	var e TailEvent
	var err error
	switch kind {
	case "line":
		e.Line = new(read.TailedLine)
		if err = json.Unmarshal(data, e.Line); err == nil && t.again(e.Line) {
			return nil
		}
	case "skipped":
		e.Skipped = true
		err = json.Unmarshal(data, &struct{ Lines **uint64 }{&e.Lines})
	case "problem":
		err = json.Unmarshal(data, &struct{ Detail *string }{&e.Problem})
	default: // of a newer service
		return nil
	}
	if err != nil {
		return fmt.Errorf("follow lines: decode event: %w", err)
	}
	return t.give(e)
}

// maxSeen is more than come in the moments that a new connection repeats.
const maxSeen = 20_000

// again says whether the line came before.
func (t *tail) again(l *read.TailedLine) bool {
	key := l.FileID + "/" + strconv.FormatUint(l.Offset, 36) + "/" + l.RequestID
	if t.seen[key] {
		return true
	}
	t.seen[key] = true
	if t.order = append(t.order, key); len(t.order) > maxSeen {
		for _, old := range t.order[:maxSeen/2] {
			delete(t.seen, old)
		}
		t.order = append([]string(nil), t.order[maxSeen/2:]...)
	}
	return false
}

// path is a URL of the API.
func (c *Client) path(query url.Values, parts ...string) *url.URL {
	u := c.base.JoinPath(append([]string{"api/v1"}, parts...)...)
	u.RawQuery = query.Encode()
	return u
}

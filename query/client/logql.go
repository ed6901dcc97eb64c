package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// The kinds of LogQL results, in the words of Loki's HTTP API.
const (
	Streams = "streams" // of lines
	Vector  = "vector"  // a value a series
	Matrix  = "matrix"  // values over time a series
	Scalar  = "scalar"  // one value
)

// Result is what a LogQL query gives. A scalar is a vector of one series
// without labels.
type Result struct {
	Type     string
	Streams  []Stream // of type streams
	Series   []Series // of any other type
	Warnings []string
}

// Stream is lines with the same labels.
type Stream struct {
	Labels  map[string]string
	Entries []Entry
}

// Entry is one line.
type Entry struct {
	Time time.Time
	Line string
}

// Labelled is one line with its stream's labels.
type Labelled struct {
	Entry
	Labels map[string]string
}

// InOrder gives the lines of all streams in order of time.
func InOrder(streams []Stream) []Labelled {
	var lines []Labelled
	for i := range streams {
		for _, e := range streams[i].Entries {
			lines = append(lines, Labelled{e, streams[i].Labels})
		}
	}
	slices.SortStableFunc(lines, func(a, b Labelled) int { return a.Time.Compare(b.Time) })
	return lines
}

// Series is values with the same labels; one, of a vector.
type Series struct {
	Labels map[string]string
	Points []Point
}

// Point is a value at a time.
type Point struct {
	Time  time.Time
	Value float64
}

// RangeQuery asks for a range of time.
type RangeQuery struct {
	Query      string
	Start, End time.Time
	Step       time.Duration // of metrics; 0 is the service's default
	Limit      int           // of lines; 0 is the service's default
	Forward    bool          // the oldest lines first
}

// QueryRange runs a LogQL query over a range of time.
func (c *Client) QueryRange(ctx context.Context, q RangeQuery) (*Result, error) {
	query := values(map[string]string{"query": q.Query, "start": nanos(q.Start), "end": nanos(q.End)})
	if q.Step > 0 {
		query.Set("step", strconv.FormatFloat(q.Step.Seconds(), 'f', -1, 64))
	}
	return c.logql(ctx, "loki/api/v1/query_range", query, q.Limit, q.Forward)
}

// Query runs a LogQL query at one time.
func (c *Client) Query(ctx context.Context, logql string, at time.Time, limit int) (*Result, error) {
	return c.logql(ctx, "loki/api/v1/query", values(map[string]string{"query": logql, "time": nanos(at)}), limit, false)
}

func nanos(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixNano(), 10)
}

func (c *Client) logql(ctx context.Context, path string, query url.Values, limit int, forward bool) (*Result, error) {
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	query.Set("direction", "backward")
	if forward {
		query.Set("direction", "forward")
	}
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	var answer struct {
		Data struct {
			ResultType string
			Result     json.RawMessage
		}
		Warnings []string
	}
	err := c.ask(ctx, http.MethodGet, u, &answer)
	var r *Result
	if err == nil {
		r, err = decodeResult(answer.Data.ResultType, answer.Data.Result)
	}
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	r.Warnings = answer.Warnings
	return r, nil
}

func decodeResult(kind string, raw json.RawMessage) (*Result, error) {
	r := &Result{Type: kind}
	var err error
	switch kind {
	case Streams:
		r.Streams, err = decodeStreams(raw)
	case Vector, Matrix:
		r.Series, err = decodeSeries(raw)
	case Scalar:
		var p point
		err = json.Unmarshal(raw, &p)
		r.Series = []Series{{Points: []Point{Point(p)}}}
	default:
		return nil, fmt.Errorf("decode answer: a result of type %q", kind)
	}
	if err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	return r, nil
}

func decodeStreams(raw json.RawMessage) ([]Stream, error) {
	var streams []struct {
		Stream map[string]string
		Values []entry
	}
	if err := json.Unmarshal(raw, &streams); err != nil {
		return nil, err
	}
	out := make([]Stream, len(streams))
	for i, s := range streams {
		out[i] = Stream{Labels: s.Stream, Entries: make([]Entry, len(s.Values))}
		for n, e := range s.Values {
			out[i].Entries[n] = Entry(e)
		}
	}
	return out, nil
}

func decodeSeries(raw json.RawMessage) ([]Series, error) {
	var series []struct {
		Metric map[string]string
		Value  *point
		Values []point
	}
	if err := json.Unmarshal(raw, &series); err != nil {
		return nil, err
	}
	out := make([]Series, len(series))
	for i, s := range series {
		if s.Value != nil {
			s.Values = append(s.Values, *s.Value)
		}
		out[i] = Series{Labels: s.Metric, Points: make([]Point, len(s.Values))}
		for n, p := range s.Values {
			out[i].Points[n] = Point(p)
		}
	}
	return out, nil
}

// entry is ["nanoseconds", "line"], and what else a server puts behind it.
type entry Entry

// UnmarshalJSON reads an entry.
func (e *entry) UnmarshalJSON(raw []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		return err
	}
	if len(parts) < 2 {
		return errors.New("an entry without a line")
	}
	var ns string
	if err := errors.Join(json.Unmarshal(parts[0], &ns), json.Unmarshal(parts[1], &e.Line)); err != nil {
		return err
	}
	n, err := strconv.ParseInt(ns, 10, 64)
	e.Time = time.Unix(0, n)
	return err
}

// point is [seconds, "value"].
type point Point

// UnmarshalJSON reads a point.
func (p *point) UnmarshalJSON(raw []byte) error {
	var parts [2]json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		return err
	}
	var at float64
	var value string
	if err := errors.Join(json.Unmarshal(parts[0], &at), json.Unmarshal(parts[1], &value)); err != nil {
		return err
	}
	p.Time = time.UnixMilli(int64(math.Round(at * 1000)))
	var err error
	p.Value, err = strconv.ParseFloat(value, 64) // NaN, +Inf and -Inf, too
	return err
}

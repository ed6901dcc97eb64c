package loki

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/eval"
)

// What requests may ask for, as Loki's defaults have it.
const (
	defaultEntries = 100
	maxEntries     = 5000
	maxSeries      = 500
	maxPoints      = 11_000
	defaultSpan    = time.Hour
)

// encodingFlags is the header that says how labels are to be given.
const encodingFlags = "X-Loki-Response-Encoding-Flags"

// categorized says that the client wants the labels of each line apart: by
// where they come from.
func categorized(r *http.Request) bool {
	for _, v := range r.Header.Values(encodingFlags) {
		for flag := range strings.SplitSeq(v, ",") {
			if strings.TrimSpace(flag) == "categorize-labels" {
				return true
			}
		}
	}
	return false
}

// parseTime reads a time: nanoseconds or seconds since 1970, seconds with a
// fraction, or RFC 3339.
func parseTime(s string) (time.Time, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		if len(strings.TrimPrefix(s, "-")) <= 10 {
			return time.Unix(i, 0), nil
		}
		return time.Unix(0, i), nil
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < math.MaxInt64/1e9 {
		whole, fraction := math.Modf(f)
		return time.Unix(int64(whole), int64(math.Round(fraction*1000))*int64(time.Millisecond)), nil
	}
	return time.Parse(time.RFC3339Nano, s)
}

func timeOf(r *http.Request, name string, otherwise time.Time) (time.Time, error) {
	s := r.Form.Get(name)
	if s == "" {
		return otherwise, nil
	}
	t, err := parseTime(s)
	if err != nil || t.Year() < 1678 || t.Year() > 2261 { // what nanoseconds in 64 bits hold
		return t, bad("could not parse '%s' parameter: %q is no time: nanoseconds or seconds since 1970, or RFC 3339", name, s)
	}
	return t, nil
}

// parseSpan reads a duration, or a number of seconds.
func parseSpan(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if f*1e9 >= math.MaxInt64 || f*1e9 <= math.MinInt64 || math.IsNaN(f) {
			return 0, bad("cannot parse %q to a valid duration", s)
		}
		return time.Duration(f * 1e9), nil
	}
	d, err := logql.ParseDuration(s)
	if err != nil {
		return 0, bad("cannot parse %q to a valid duration", s)
	}
	return d, nil
}

// bounds are the request's start and end.
func (a *API) bounds(r *http.Request) (start, end time.Time, err error) {
	now := a.now()
	if end, err = timeOf(r, "end", now); err != nil {
		return start, end, err
	}
	since := defaultSpan
	if s := r.Form.Get("since"); s != "" {
		if since, err = parseSpan(s); err != nil {
			return start, end, err
		}
	}
	until := end
	if until.After(now) {
		until = now // the last hour is that before now, not before some time to come
	}
	if start, err = timeOf(r, "start", until.Add(-since)); err != nil {
		return start, end, err
	}
	if end.Before(start) {
		return start, end, bad("end timestamp must not be before or equal to start time")
	}
	return start, end, nil
}

func (a *API) span(r *http.Request) (eval.Span, error) {
	start, end, err := a.bounds(r)
	return eval.Span{Start: start.UnixNano(), End: end.UnixNano()}, err
}

// whole is a parameter that is a number from 1 to most.
func whole(r *http.Request, name string, otherwise, most int) (int, error) {
	s := r.Form.Get(name)
	if s == "" || s == "0" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, bad("%s %q is no number", name, s)
	}
	if n < 0 {
		return 0, bad("%s must be a positive value", name)
	}
	return min(n, most), nil
}

// logQuery is which lines the request wants.
func (a *API) logQuery(r *http.Request) (q eval.LogQuery, err error) {
	if q.Span, err = a.span(r); err != nil {
		return q, err
	}
	if q.Limit, err = whole(r, "limit", defaultEntries, math.MaxInt); err != nil {
		return q, err
	}
	if q.Limit > maxEntries {
		return q, bad("max entries limit per query exceeded, limit > max_entries_limit_per_query (%d > %d)", q.Limit, maxEntries)
	}
	if text := r.Form.Get("interval"); text != "" {
		interval, err := parseSpan(text)
		if err != nil {
			return q, err
		}
		if interval < 0 {
			return q, bad("interval must be >= 0")
		}
		q.Interval = int64(interval)
	}
	q.Backward, err = backward(r)
	return q, err
}

func backward(r *http.Request) (bool, error) {
	switch d := strings.ToLower(r.Form.Get("direction")); d {
	case "", "backward":
		return true, nil
	case "forward":
		return false, nil
	default:
		return false, bad("invalid direction '%s': it is forward or backward", d)
	}
}

// steps are the moments that the request wants.
func (a *API) steps(r *http.Request) (eval.Steps, error) {
	span, err := a.span(r)
	if err != nil {
		return eval.Steps{}, err
	}
	s := eval.Steps{Start: span.Start, End: span.End, Step: max((span.End-span.Start)/int64(time.Second)/250, 1) * int64(time.Second)}
	if text := r.Form.Get("step"); text != "" {
		step, err := parseSpan(text)
		if err != nil {
			return s, err
		}
		s.Step = int64(step)
	}
	if s.Step <= 0 {
		return s, bad("zero or negative query resolution step widths are not accepted. Try a positive integer")
	}
	if (s.End-s.Start)/s.Step > maxPoints {
		return s, bad("exceeded maximum resolution of 11,000 points per timeseries. Try increasing the value of the step parameter")
	}
	return s, nil
}

// list is a parameter that may be given several times, under any of the names.
func list(r *http.Request, names ...string) []string {
	var all []string
	for _, name := range names {
		all = append(all, r.Form[name]...)
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

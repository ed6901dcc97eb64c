package loki

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/engine"
	"github.com/coldscope/coldscope/query/logql/eval"
	"github.com/coldscope/coldscope/query/logql/labels"
)

// result is the answer to a query.
type result struct {
	ResultType    string   `json:"resultType"`
	Result        any      `json:"result"`
	Stats         stats    `json:"stats"`
	EncodingFlags []string `json:"encodingFlags,omitempty"`
}

func (a *API) instant(r *http.Request) (any, error) {
	e, err := parsed(r)
	if err != nil {
		return nil, err
	}
	if _, ok := e.(*logql.LogExpr); ok {
		return nil, bad("log queries are not supported as an instant query type, please change your query to a range query type")
	}
	at, err := timeOf(r, "time", a.now())
	if err != nil {
		return nil, err
	}
	q := a.query(r, e)
	v, err := q.Instant(r.Context(), at.UnixNano())
	if err != nil {
		return nil, err
	}
	if v.IsScalar {
		return data{"success", result{ResultType: "scalar", Result: sample{at.UnixNano(), v.Scalar}, Stats: statsOf(q, 1)}}, nil
	}
	vector := make([]instantSeries, len(v.Vector))
	for i, s := range v.Vector {
		vector[i] = instantSeries{s.Labels.Map(), sample{at.UnixNano(), s.Value}}
	}
	return data{"success", result{ResultType: "vector", Result: vector, Stats: statsOf(q, len(vector))}}, nil
}

func (a *API) queryRange(r *http.Request) (any, error) {
	e, err := parsed(r)
	if err != nil {
		return nil, err
	}
	if _, ok := e.(*logql.LogExpr); ok {
		return a.logs(r, e)
	}
	s, err := a.steps(r)
	if err != nil {
		return nil, err
	}
	q := a.query(r, e)
	m, err := q.Range(r.Context(), s)
	if err != nil {
		return nil, err
	}
	return data{"success", result{ResultType: "matrix", Result: matrix(m), Stats: statsOf(q, points(m))}}, nil
}

func points(m eval.Matrix) int {
	n := 0
	for _, s := range m {
		n += len(s.Points)
	}
	return n
}

// sample is a value at a time, as [seconds, "value"].
type sample struct {
	time  int64
	value float64
}

// MarshalJSON writes the time in seconds, exact to the millisecond as Loki has
// it, and the value as a text, for there are values that JSON has no numbers for.
func (s sample) MarshalJSON() ([]byte, error) {
	b := append([]byte(nil), '[')
	ms := s.time / int64(time.Millisecond)
	b = strconv.AppendFloat(b, float64(ms)/1000, 'f', -1, 64)
	b = append(b, `,"`...)
	b = append(b, formatValue(s.value)...)
	return append(b, `"]`...), nil
}

func formatValue(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'f', -1, 64) // NaN, too
}

type instantSeries struct {
	Metric map[string]string `json:"metric"`
	Value  sample            `json:"value"`
}

type rangeSeries struct {
	Metric map[string]string `json:"metric"`
	Values []sample          `json:"values"`
}

func matrix(m eval.Matrix) []rangeSeries {
	list := make([]rangeSeries, len(m))
	for i, s := range m {
		values := make([]sample, len(s.Points))
		for k, p := range s.Points {
			values[k] = sample{p.Time, p.Value}
		}
		list[i] = rangeSeries{s.Labels.Map(), values}
	}
	return list
}

// stream is lines of the same labels.
type stream struct {
	Stream map[string]string `json:"stream"`
	Values []entry           `json:"values"`
}

// entry is a line, as ["nanoseconds", "line"], with its labels behind it if
// they are wanted apart.
type entry struct {
	time             int64
	line             string
	apart            bool
	metadata, parsed *labels.Set
}

// MarshalJSON writes the two or three elements.
func (e entry) MarshalJSON() ([]byte, error) {
	list := []any{strconv.FormatInt(e.time, 10), e.line}
	if e.apart {
		own := map[string]map[string]string{}
		if e.metadata.Len() > 0 {
			own["structuredMetadata"] = e.metadata.Map()
		}
		if e.parsed.Len() > 0 {
			own["parsed"] = e.parsed.Map()
		}
		list = append(list, own)
	}
	return json.Marshal(list)
}

func (a *API) logs(r *http.Request, e logql.Expr) (any, error) {
	l, err := a.logQuery(r)
	if err != nil {
		return nil, err
	}
	q := a.query(r, e)
	streams := newStreams(categorized(r))
	if err := q.Logs(r.Context(), l, streams.add); err != nil {
		return nil, err
	}
	answer := result{ResultType: "streams", Result: streams.list, Stats: statsOf(q, streams.n)}
	if streams.apart {
		answer.EncodingFlags = []string{"categorize-labels"}
	}
	return data{"success", answer}, nil
}

// streams collects lines by their labels, in the order in which they come.
type streams struct {
	apart bool
	list  []*stream
	index map[string]*stream
	n     int
}

func newStreams(apart bool) *streams {
	return &streams{apart: apart, list: []*stream{}, index: map[string]*stream{}}
}

func (s *streams) add(e eval.LogEntry) error {
	key := e.Stream.String()
	if !s.apart {
		key += e.Metadata.String() + e.Parsed.String()
	}
	st := s.index[key]
	if st == nil {
		st = &stream{Stream: e.Stream.Map()}
		if !s.apart {
			for _, more := range []*labels.Set{e.Metadata, e.Parsed} {
				for _, l := range more.Labels() {
					st.Stream[l.Name] = l.Value
				}
			}
		}
		s.index[key] = st
		s.list = append(s.list, st)
	}
	st.Values = append(st.Values, entry{e.Time, e.Body, s.apart, e.Metadata, e.Parsed})
	s.n++
	return nil
}

// stats are what a query has cost, in the members that clients show.
type stats struct {
	Summary  summary        `json:"summary"`
	Querier  map[string]any `json:"querier"`
	Ingester map[string]any `json:"ingester"`
	Cache    map[string]any `json:"cache"`
}

type summary struct {
	BytesPerSecond uint64  `json:"bytesProcessedPerSecond"`
	LinesPerSecond uint64  `json:"linesProcessedPerSecond"`
	Bytes          uint64  `json:"totalBytesProcessed"`
	Lines          uint64  `json:"totalLinesProcessed"`
	ExecTime       float64 `json:"execTime"`
	QueueTime      float64 `json:"queueTime"`
	Subqueries     uint64  `json:"subqueries"`
	Returned       int     `json:"totalEntriesReturned"`
	Splits         uint64  `json:"splits"`
	Shards         uint64  `json:"shards"`
	PostFilter     uint64  `json:"totalPostFilterLines"`
	Metadata       uint64  `json:"totalStructuredMetadataBytesProcessed"`
}

func statsOf(q *engine.Query, returned int) stats {
	s := q.Stats()
	seconds := max(s.Time.Seconds(), 1e-9)
	return stats{
		Summary: summary{
			BytesPerSecond: uint64(float64(s.Bytes) / seconds), LinesPerSecond: uint64(float64(s.Rows) / seconds),
			Bytes: s.Bytes, Lines: s.Rows, ExecTime: s.Time.Seconds(), Subqueries: s.Queries, Returned: returned, PostFilter: s.Lines,
		},
		Querier: map[string]any{}, Ingester: map[string]any{}, Cache: map[string]any{},
	}
}

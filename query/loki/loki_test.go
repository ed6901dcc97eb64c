package loki_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/logql/engine"
	"github.com/coldscope/coldscope/query/loki"
	"github.com/coldscope/coldscope/query/read/readtest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// now is a minute after the sample's first request.
func now() time.Time { return readtest.At(60) }

func sample(t *testing.T) *loki.API {
	t.Helper()
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	api := loki.New(engine.New(conn, engine.WithLimits(limit.DefaultQuery())), slog.New(slog.DiscardHandler), now)
	t.Cleanup(api.EndTails)
	return api
}

type params = map[string]string

// ask is a request and its answer.
func ask(t *testing.T, api http.Handler, path string, p params, headers ...string) (int, string) {
	t.Helper()
	form := url.Values{}
	for k, v := range p {
		form.Set(k, v)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, loki.Prefix+path+"?"+form.Encode(), nil)
	if len(form) > 0 && len(path)%2 == 0 { // both ways are used
		r = httptest.NewRequestWithContext(t.Context(), http.MethodPost, loki.Prefix+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// answer is the body of a request that is answered, decoded.
func answer[T any](t *testing.T, api http.Handler, path string, p params, headers ...string) T {
	t.Helper()
	code, body := ask(t, api, path, p, headers...)
	var v T
	if err := json.Unmarshal([]byte(body), &v); code != http.StatusOK || err != nil {
		t.Fatalf("%s %v: %d %v %s", path, p, code, err, body)
	}
	return v
}

type answered[T any] struct {
	Status string
	Data   T
}

type queried struct {
	ResultType    string
	EncodingFlags []string
	Result        []struct {
		Stream, Metric map[string]string
		Values         [][]any
		Value          []any
	}
	Stats struct {
		Summary struct{ TotalLinesProcessed, TotalEntriesReturned int }
	}
}

// TestHealth is how Grafana looks whether a data source works.
func TestHealth(t *testing.T) {
	_, body := ask(t, sample(t), "/query", params{"query": "vector(1)+vector(1)", "time": "4000000000"})
	if !strings.Contains(body, `"resultType":"vector","result":[{"metric":{},"value":[4,"2"]}]`) && !strings.Contains(body, `"value":[4000000000,"2"]`) {
		t.Error(body)
	}
	if got := answer[answered[queried]](t, sample(t), "/query", params{"query": "sum(count_over_time({function=\"inference\"}[1m]))"}); len(got.Data.Result) != 1 || got.Data.Result[0].Value[1] != "15" {
		t.Errorf("%+v", got)
	}
}

func TestLogs(t *testing.T) {
	api := sample(t)
	p := params{"query": `{function="inference"} |= "half_plus_two" | json | drop __error__, __error_details__`, "start": at(0), "end": at(60)}
	apart := answer[answered[queried]](t, api, "/query_range", p, "X-Loki-Response-Encoding-Flags", "categorize-labels").Data
	if apart.ResultType != "streams" || !slices.Equal(apart.EncodingFlags, []string{"categorize-labels"}) || len(apart.Result) != 2 {
		t.Fatalf("%+v", apart)
	}
	first := apart.Result[0]
	if diff := cmp.Diff(map[string]string{
		"function": "inference", "service_name": "inference", "namespace": "default", "version": "v3", "instance": readtest.Instance, "host": "host-a", "stream": "stdout",
	}, first.Stream); diff != "" {
		t.Error(diff)
	}
	newest := []any{nanos(6.225), "predict half_plus_two n=7", map[string]any{"structuredMetadata": map[string]any{
		"attribution": "window", "cold": "true", "cold_wait_ms": "1502", "detected_level": "unknown", "duration_ms": "14", "http_status": "200",
		"request_id": readtest.Waiter, "status": "ok", "trigger": "http",
	}}}
	if diff := cmp.Diff(newest, first.Values[0]); diff != "" {
		t.Error(diff)
	}
	p["direction"] = "forward"
	p["limit"] = "2"
	folded := answer[answered[queried]](t, api, "/query_range", p).Data
	if len(folded.EncodingFlags) != 0 || len(folded.Result) != 2 || folded.Stats.Summary.TotalEntriesReturned != 2 {
		t.Fatalf("%+v", folded)
	}
	for interval, want := range map[string]int{"0": 2, "1ms": 2, "60": 1} {
		p["interval"] = interval
		if got := answer[answered[queried]](t, api, "/query_range", p).Data.Stats.Summary.TotalEntriesReturned; got != want {
			t.Errorf("%d lines with an interval of %s, want %d", got, interval, want)
		}
	}
	if got := folded.Result[1]; got.Stream["request_id"] != readtest.Cold || got.Stream["cold_wait_ms"] != "6002" || len(got.Values[0]) != 2 || got.Values[0][0] != nanos(6.1) {
		t.Errorf("%+v", got)
	}
}

func at(seconds float64) string    { return readtest.At(seconds).Format(time.RFC3339Nano) }
func nanos(seconds float64) string { return strconv.FormatInt(readtest.At(seconds).UnixNano(), 10) }

func TestMetrics(t *testing.T) {
	api := sample(t)
	got := answer[answered[queried]](t, api, "/query_range", params{
		"query": `sum by (stream, level, detected_level) (count_over_time({function="inference"} | drop __error__ [10s]))`, "start": nanos(0), "end": nanos(20), "step": "10000ms",
	}).Data
	if got.ResultType != "matrix" || len(got.Result) != 3 {
		t.Fatalf("%+v", got)
	}
	first := readtest.At(10).UnixMilli()
	platform := got.Result[0]
	if diff := cmp.Diff(map[string]string{"detected_level": "unknown", "stream": "platform"}, platform.Metric); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([][]any{{float64(first) / 1000, "5"}}, platform.Values); diff != "" {
		t.Error(diff)
	}
	// A query whose step nobody has said.
	got = answer[answered[queried]](t, api, "/query_range", params{"query": "vector(1.5)", "start": "1000", "end": "1500"}).Data
	if n := len(got.Result[0].Values); n != 251 || got.Result[0].Values[1][0] != 1002.0 || got.Result[0].Values[0][1] != "1.5" {
		t.Errorf("%d values, %v", n, got.Result[0].Values[:2])
	}
	code, body := ask(t, api, "/query", params{"query": "2 * 3 > bool 5", "time": "5"})
	if !strings.Contains(body, `"resultType":"scalar","result":[5,"1"]`) {
		t.Error(code, body)
	}
}

func TestLabels(t *testing.T) {
	api := sample(t)
	hour := params{"start": nanos(0), "end": nanos(60)}
	with := func(more ...string) params {
		p := params{"start": hour["start"], "end": hour["end"]}
		for i := 0; i < len(more); i += 2 {
			p[more[i]] = more[i+1]
		}
		return p
	}
	names := []string{"function", "host", "instance", "namespace", "service_name", "stream", "version"}
	for _, path := range []string{"/labels", "/label"} {
		if got := answer[answered[[]string]](t, api, path, hour); !slices.Equal(got.Data, names) {
			t.Errorf("%s: %v", path, got)
		}
	}
	for name, want := range map[string][]string{
		"stream": {"platform", "stderr", "stdout"}, "function": {"inference"}, "cold": {"false", "true"}, "phase": {"init", "pull"}, "status": {"error", "ok"}, "nothing": {}, "level": {},
	} {
		if got := answer[answered[[]string]](t, api, "/label/"+name+"/values", with("query", `{function="inference"}`)); !slices.Equal(got.Data, want) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got := answer[answered[[]string]](t, api, "/label/stream/values", with("query", `{status="error"}`)); !slices.Equal(got.Data, []string{"stderr"}) {
		t.Errorf("%v", got)
	}
	series := answer[answered[[]map[string]string]](t, api, "/series", with("match[]", `{stream=~"std.*"}`))
	if len(series.Data) != 2 || series.Data[0]["stream"] != "stderr" || series.Data[0]["instance"] != readtest.Instance {
		t.Errorf("%v", series)
	}
	if got := answer[answered[[]map[string]string]](t, api, "/series", with("match", `{}`)); len(got.Data) != 3 {
		t.Errorf("%v", got)
	}
	if got := answer[map[string]int](t, api, "/index/stats", with("query", `{function="inference"}`)); got["streams"] != 3 || got["entries"] != 15 || got["bytes"] != 787 {
		t.Errorf("%v", got)
	}
	volume := answer[answered[queried]](t, api, "/index/volume", with("query", `{function="inference"}`, "targetLabels", "stream")).Data
	if len(volume.Result) != 3 || volume.Result[0].Metric["stream"] != "stdout" || volume.ResultType != "vector" {
		t.Errorf("%+v", volume)
	}
	volume = answer[answered[queried]](t, api, "/index/volume", with("query", `{}`, "aggregateBy", "labels")).Data
	if len(volume.Result) != 7 || volume.Result[0].Value[1] != "787" {
		t.Errorf("%+v", volume)
	}
	volume = answer[answered[queried]](t, api, "/index/volume_range", with("query", `{function="inference"}`, "step", "60")).Data
	if volume.ResultType != "matrix" || len(volume.Result) != 1 || volume.Result[0].Values[0][1] != "787" || volume.Result[0].Metric["function"] != "inference" {
		t.Errorf("%+v", volume)
	}
	if _, got := ask(t, api, "/detected_labels", hour); !strings.Contains(got, `{"label":"stream","cardinality":3}`) {
		t.Error(got)
	}
}

func TestFields(t *testing.T) {
	api := sample(t)
	fields := answer[struct {
		Fields []struct {
			Label, Type string
			Cardinality int
			Parsers     []string
		}
		Limit int
	}](t, api, "/detected_fields", params{"query": `{function="inference"}`})
	got := map[string]string{}
	for _, f := range fields.Fields {
		got[f.Label] = fmt.Sprintf("%s %d %v", f.Type, f.Cardinality, f.Parsers)
	}
	for name, want := range map[string]string{"n": "int 7 [logfmt]", "cold": "boolean 2 []", "status": "string 2 []", "duration_ms": "float 3 []"} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
	values := answer[struct{ Values []string }](t, api, "/detected_field/n/values", params{"query": `{function="inference"}`}).Values
	if !slices.Equal(values, []string{"1", "2", "3", "5", "6", "7", "8"}) {
		t.Errorf("%v", values)
	}
	patterns := answer[answered[[]struct {
		Pattern string
		Samples [][2]int64
	}]](t, api, "/patterns", params{"query": `{function="inference"}`}).Data
	if !slices.ContainsFunc(patterns, func(p struct {
		Pattern string
		Samples [][2]int64
	},
	) bool {
		return p.Pattern == "predict half_plus_two <_>" && p.Samples[0][1] == 2
	}) {
		t.Errorf("%+v", patterns)
	}
}

func TestErrors(t *testing.T) {
	api := sample(t)
	q := `{function="inference"}`
	for _, c := range []struct {
		path string
		p    params
		code int
		text string
	}{
		{"/query", params{"query": q}, 400, "log queries are not supported as an instant query type, please change your query to a range query type"},
		{"/query", params{"query": "{a"}, 400, "parse error at line 1, col 3: syntax error: unexpected $end, expecting = or =~ or !~ or !="},
		{"/query_range", params{}, 400, "parse error : syntax error: unexpected $end"},
		{"/query_range", params{"query": q, "limit": "10000"}, 400, "max entries limit per query exceeded, limit > max_entries_limit_per_query (10000 > 5000)"},
		{"/query_range", params{"query": q, "limit": "-1"}, 400, "limit must be a positive value"},
		{"/query_range", params{"query": q, "start": "yesterday"}, 400, "could not parse 'start' parameter"},
		{"/query_range", params{"query": q, "start": "20", "end": "10"}, 400, "end timestamp must not be before or equal to start time"},
		{"/query_range", params{"query": q, "direction": "up"}, 400, "invalid direction 'up'"},
		{"/query_range", params{"query": q, "interval": "-1"}, 400, "interval must be >= 0"},
		{"/query_range", params{"query": "vector(1)", "step": "0"}, 400, "zero or negative query resolution step widths"},
		{"/query_range", params{"query": "vector(1)", "start": "0", "end": "100000", "step": "1"}, 400, "exceeded maximum resolution of 11,000 points per timeseries"},
		{"/query_range", params{"query": `count_over_time(` + q + ` | json [1m])`, "start": at(0)}, 400, "pipeline error: 'JSONParserErr' for series"},
		{"/query_range", params{"query": `rate(` + q + `[1m]) / on (function) rate(` + q + `[1m])`, "start": at(0)}, 400, "many"},
		{"/query_range", params{"query": q + " | line_format `{{.x`"}, 400, "parse error"},
		{"/series", params{"match[]": "nonsense"}, 400, "parse error"},
		{"/label/a-b/values", params{}, 400, "invalid label name"},
		{"/nothing", params{}, 404, "no such path"},
		{"/format_query", params{"query": `sum(rate({a="b"}[5m]))`}, 200, `{"status":"success","data":"sum(rate({a=\"b\"} [5m]))"}`},
		{"/status/buildinfo", params{}, 200, `"version":"3.`},
		{"/drilldown-limits", params{}, 200, `"volume_enabled":true`},
		{"/rules", params{}, 200, `{}`},
		{"/ready", params{}, 200, "ready"},
	} {
		code, body := ask(t, api, c.path, c.p)
		if code != c.code || !strings.Contains(body, c.text) {
			t.Errorf("%s %v: %d %s", c.path, c.p, code, body)
		}
	}
}

func TestOtherTenant(t *testing.T) {
	api := sample(t)
	for _, tenant := range []string{"other", "x' OR 1=1 --", `\`} {
		for path, p := range map[string]params{
			"/query_range": {"query": `{stream=~".+"}`, "start": at(-100)}, "/labels": {"start": at(-100)}, "/label/function/values": {"start": at(-100)}, "/series": {"start": at(-100)},
			"/query": {"query": `sum(count_over_time({stream=~".+"}[10m]))`},
		} {
			code, body := ask(t, api, path, p, "X-Scope-OrgID", tenant)
			if code != 200 || !strings.Contains(body, `"result":[]`) && !strings.Contains(body, `"data":[]`) {
				t.Errorf("%s as %q: %d %s", path, tenant, code, body)
			}
		}
	}
}

// TestDocumented runs the examples of the documentation.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/logql.md")
	if err != nil {
		t.Fatal(err)
	}
	_, examples, _ := strings.Cut(string(doc), "```logql\n")
	examples, _, _ = strings.Cut(examples, "```")
	api := sample(t)
	n := 0
	for query := range strings.SplitSeq(examples, "\n\n") {
		n++
		if code, body := ask(t, api, "/query_range", params{"query": query, "start": at(-100), "step": "60"}); code != http.StatusOK {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
	if n < 5 {
		t.Errorf("%d examples", n)
	}
}

// TestTail follows lines that are there, that come, and that come late.
func TestTail(t *testing.T) {
	conn := readtest.DB(t)
	api := loki.New(engine.New(conn, engine.WithLimits(limit.DefaultQuery())), slog.New(slog.DiscardHandler), time.Now)
	t.Cleanup(api.EndTails)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	offset := uint64(0)
	write := func(ago time.Duration, body string) {
		offset++
		readtest.Insert(t, conn, schema.Logs, schema.LogRow{
			Line:        &faas.Line{Ref: faas.Ref{Tenant: "acme", Namespace: "n", Function: "f", Instance: "i"}, Time: time.Now().Add(-ago), Stream: faas.Stdout, Body: body, FileID: 1, Offset: offset},
			Attribution: faas.AttributionNone, Revision: 1,
		})
	}
	write(time.Minute, "old")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	//nolint:bodyclose // it closes what there is to close
	client, _, err := websocket.Dial(ctx, server.URL+loki.TailPath+"?query="+url.QueryEscape(`{function="f"} != "not this"`), &websocket.DialOptions{
		HTTPHeader: http.Header{"X-Scope-Orgid": {"acme"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.CloseNow() }()
	next := func() string {
		t.Helper()
		_, b, err := client.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Streams []struct {
				Stream map[string]string
				Values [][2]string
			}
		}
		if err := json.Unmarshal(b, &f); err != nil || len(f.Streams) != 1 || f.Streams[0].Stream["function"] != "f" {
			t.Fatalf("%s: %v", b, err)
		}
		var bodies []string
		for _, v := range f.Streams[0].Values {
			bodies = append(bodies, v[1])
		}
		return strings.Join(bodies, ",")
	}
	if got := next(); got != "old" {
		t.Error(got)
	}
	write(0, "new")
	if got := next(); got != "new" {
		t.Error(got)
	}
	write(0, "not this one")
	write(5*time.Second, "late")
	if got := next(); got != "late" {
		t.Error(got)
	}
	api.EndTails()
	if _, _, err := client.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Error(err)
	}
	//nolint:bodyclose // it closes what there is to close
	_, refused, err := websocket.Dial(ctx, server.URL+loki.TailPath+"?query="+url.QueryEscape(`{function="f"}`), nil)
	if err == nil || refused.StatusCode != http.StatusServiceUnavailable {
		t.Fatal(err)
	}
	if code, body := ask(t, api, "/tail", params{"query": "vector(1)"}); code != 400 {
		t.Error(code, body)
	}
}

package aggregator

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/coldscope/coldscope/aggregator/correlate"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/telemetry"
)

// served gives metrics, and where they are scraped.
func served(t *testing.T, cfg Config) (*metrics, string) {
	t.Helper()
	tel, err := telemetry.New(t.Context(), "test", "1", io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	m := newMetrics(tel.Registry, &cfg, func() int64 { return 42 })
	server := httptest.NewServer(tel.Handler())
	t.Cleanup(server.Close)
	return m, server.URL
}

// get gives an answer, which is to be of the given type.
func get(t *testing.T, url, accept string) (http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Header, string(text)
}

// asProtobuf is what a Prometheus asks for that takes native histograms.
const asProtobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

func decoded(t *testing.T, url string) map[string]*dto.MetricFamily {
	t.Helper()
	header, body := get(t, url+"/metrics", asProtobuf)
	format := expfmt.ResponseFormat(header)
	if format.FormatType() != expfmt.TypeProtoDelim {
		t.Fatalf("answered %q", header.Get("Content-Type"))
	}
	families := map[string]*dto.MetricFamily{}
	for d := expfmt.NewDecoder(strings.NewReader(body), format); ; {
		f := new(dto.MetricFamily)
		if err := d.Decode(f); errors.Is(err, io.EOF) {
			return families
		} else if err != nil {
			t.Fatal(err)
		}
		families[f.GetName()] = f
	}
}

func started(function, request, trace string) correlate.Output {
	ref := faas.Ref{Tenant: "default", Namespace: "shop", Function: function, Instance: "i"}
	return correlate.Output{Started: []correlate.Start{
		{Ref: ref, Initialization: faas.OnDemand, Duration: 1300 * time.Millisecond, RequestID: request, TraceID: trace},
		{Ref: ref, Initialization: faas.OnDemand, Phase: faas.PhasePull, Duration: 700 * time.Millisecond, RequestID: request, TraceID: trace},
	}}
}

const trace1 = "0af7651916cd43dd8448eb211c80319c"

// TestFunctionsAreBounded: the first ones keep their series, all others share one.
func TestFunctionsAreBounded(t *testing.T) {
	m, url := served(t, DefaultConfig())
	for round := range 2 {
		for n := range 5000 {
			out := started(fmt.Sprint("f", (n+round*2500)%5000), "r", "")
			m.observe(&out)
		}
	}
	families := decoded(t, url)
	for _, name := range []string{"coldscope_cold_start_duration_seconds", "coldscope_cold_start_phase_duration_seconds"} {
		series := families[name].GetMetric()
		var others, all uint64
		for _, s := range series {
			all += s.GetHistogram().GetSampleCount()
			if label(s, "function") == "other" && label(s, "namespace") == "other" {
				others += s.GetHistogram().GetSampleCount()
			}
		}
		if len(series) != 1001 || all != 10_000 || others != 8000 {
			t.Errorf("%s: %d series of %d starts, %d of others", name, len(series), all, others)
		}
	}
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// TestProtobufHasNativeHistograms: beside the classic buckets, with exemplars of both.
func TestProtobufHasNativeHistograms(t *testing.T) {
	m, url := served(t, DefaultConfig())
	out := started("f", "r-1", trace1)
	m.observe(&out)
	families := decoded(t, url)
	for name, seconds := range map[string]float64{"coldscope_cold_start_duration_seconds": 1.3, "coldscope_cold_start_phase_duration_seconds": .7} {
		h := families[name].GetMetric()[0].GetHistogram()
		if len(h.GetPositiveSpan()) == 0 || h.GetSchema() != 3 || len(h.GetBucket()) < len(coldStartBuckets) {
			t.Errorf("%s: schema %d, %v, %d classic buckets", name, h.GetSchema(), h.GetPositiveSpan(), len(h.GetBucket()))
		}
		exemplars := h.GetExemplars()
		for _, b := range h.GetBucket() {
			if b.GetExemplar() != nil {
				exemplars = append(exemplars, b.GetExemplar())
			}
		}
		if len(exemplars) != 2 {
			t.Errorf("%s: exemplars %v", name, exemplars)
		}
		for _, e := range exemplars {
			got := map[string]string{}
			for _, l := range e.GetLabel() {
				got[l.GetName()] = l.GetValue()
			}
			if diff := cmp.Diff(map[string]string{"request_id": "r-1", "trace_id": trace1}, got); diff != "" || e.GetValue() != seconds {
				t.Errorf("%s: %v %s", name, e, diff)
			}
		}
	}
}

// TestOpenMetricsHasExemplars; plain text has none, and is what a scraper gets
// that does not say what it likes.
func TestOpenMetricsHasExemplars(t *testing.T) {
	m, url := served(t, DefaultConfig())
	out := started("f", "r-1", "")
	m.observe(&out)
	const series = `coldscope_cold_start_duration_seconds_bucket{function="f",initialization="on-demand",namespace="shop",le="2.5"} 1`
	for accept, want := range map[string]struct{ media, line, last string }{
		"application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5": {"application/openmetrics-text", series + ` # {request_id="r-1"} 1.3 `, "# EOF\n"},
		"*/*": {"text/plain", series + "\n", ""},
	} {
		header, body := get(t, url+"/metrics", accept)
		media := header.Get("Content-Type")
		if !strings.HasPrefix(media, want.media+";") || !strings.Contains(body, want.line) || !strings.HasSuffix(body, want.last) {
			t.Errorf("%s: %s, without %s", accept, media, want.line)
		}
	}
}

// TestExemplarsFit: an ID is in an exemplar as it is, or not at all.
func TestExemplarsFit(t *testing.T) {
	m, url := served(t, DefaultConfig())
	most := strings.Repeat("ü", 118) // and request_id
	for n, c := range []struct {
		request, trace string
		want           map[string]string
	}{
		{most, trace1, map[string]string{"request_id": most}},
		{most + "ü", trace1, map[string]string{"trace_id": trace1}},
		{"bad \xff", "", nil},
		{"", "", nil},
	} {
		out := started(fmt.Sprint("f", n), c.request, c.trace)
		m.observe(&out) // a wrong exemplar panics
		for _, s := range decoded(t, url)["coldscope_cold_start_duration_seconds"].GetMetric() {
			if label(s, "function") != fmt.Sprint("f", n) {
				continue
			}
			var got map[string]string
			for _, e := range s.GetHistogram().GetExemplars() {
				got = map[string]string{}
				for _, l := range e.GetLabel() {
					got[l.GetName()] = l.GetValue()
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%d: %s", n, diff)
			}
		}
	}
}

// BenchmarkObserve counts a batch of lines.
func BenchmarkObserve(b *testing.B) {
	tel, err := telemetry.New(b.Context(), "test", "1", io.Discard, false)
	if err != nil {
		b.Fatal(err)
	}
	cfg := DefaultConfig()
	m := newMetrics(tel.Registry, &cfg, func() int64 { return 0 })
	k := correlate.New(cfg.Correlate)
	ref := faas.Ref{Tenant: "default", Namespace: "shop", Function: "f", Instance: "i"}
	now := time.Now()
	k.Event(&faas.Event{Time: now, Ref: ref, Data: faas.InvocationStarted{RequestID: "r"}}, now)
	lines := make([]faas.Line, 4000)
	for n := range lines {
		lines[n] = faas.Line{Ref: ref, Time: now.Add(time.Duration(n))}
		if n%2 == 0 {
			lines[n].RequestID = "r"
		}
		k.Line(&lines[n], nil, now)
	}
	out := k.Take()
	b.ReportAllocs()
	for b.Loop() {
		m.observe(&out)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(out.Logs)), "ns/line")
}

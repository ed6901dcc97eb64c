package query

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/query/loki"
	"github.com/coldscope/coldscope/query/read/readtest"
	"github.com/coldscope/coldscope/query/scf"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func do(t *testing.T, h http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w
}

func TestHandler(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	registry := prometheus.NewPedanticRegistry()
	q, err := New(DefaultConfig(), conn, nil, discard(), registry)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux() // as a command mounts it
	mux.Handle("/api/v1/", q.Handler())
	mux.Handle("/loki/api/v1/", q.Handler())
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "console") })

	for path, code := range map[string]int{
		"/api/v1/requests/" + readtest.Cold: 200, "/api/v1/requests/nobody": 404, "/api/v1/requests": 200,
		"/api/v1/coldstarts": 200, "/api/v1/functions": 200, "/api/v1/openapi.json": 200,
		"/loki/api/v1/query?query=vector(1)": 200, "/loki/api/v1/labels": 200, "/loki/api/v1/query?query=%7B": 400, "/loki/api/v1/what": 404,
		"/api/v1/requests?limit=0": 422, "/api/v1/what": 404, "/": 200,
	} {
		if w := do(t, mux, http.MethodGet, path); w.Code != code {
			t.Errorf("GET %s: %d %s", path, w.Code, w.Body)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodDelete} {
		if w := do(t, mux, method, "/api/v1/requests"); w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	var doc struct{ OpenAPI string }
	if err := json.Unmarshal(do(t, mux, http.MethodGet, "/api/v1/openapi.json").Body.Bytes(), &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("OpenAPI %q: %v", doc.OpenAPI, err)
	}
	if n := testutil.CollectAndCount(q.handled); n > 16 {
		t.Errorf("%d series: a path has become a label", n)
	}
	for _, labels := range [][]string{{"GET /api/v1/requests/{id}", "200"}, {"GET /api/v1/requests/{id}", "404"}, {"GET /api/v1/requests", "422"}, {"none", "404"}} {
		if q.handled.DeleteLabelValues(labels...) == false {
			t.Errorf("no series %q", labels)
		}
	}
	if _, err := New(DefaultConfig(), conn, nil, discard(), registry); err == nil {
		t.Error("metrics registered twice")
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
}

// TestLokiTail follows lines through all that a port puts before the API, until
// the service is closed.
func TestLokiTail(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	q, err := New(DefaultConfig(), conn, nil, discard(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(q.Handler())
	defer server.Close()
	defer q.EndTails()
	query := url.Values{"query": {`{function="inference"}`}, "start": {readtest.At(-1).Format(time.RFC3339Nano)}}
	client, _, err := websocket.Dial(t.Context(), server.URL+loki.TailPath+"?"+query.Encode(), nil) //nolint:bodyclose // it closes what there is to close
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.CloseNow() }()
	if _, b, err := client.Read(t.Context()); err != nil || !strings.Contains(string(b), "listening soon n=1") {
		t.Errorf("%s %v", b, err)
	}
	q.EndTails()
	if _, b, err := client.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("%s %v", b, err)
	}
}

// TestTooMany sends away what gets no turn in time.
func TestTooMany(t *testing.T) {
	cfg := DefaultConfig()
	cfg.MaxConcurrent, cfg.MaxConcurrentPerTenant, cfg.MaxWait = 2, 1, time.Millisecond
	q, err := New(cfg, nil, nil, discard(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	take := func(tenant string) func() {
		done, err := q.turns.Take(t.Context(), tenant)
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	ask := func(tenant string, code int, says string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/openapi.json", nil)
		r.Header.Set("X-Scope-OrgID", tenant)
		w := httptest.NewRecorder()
		q.Handler().ServeHTTP(w, r)
		if w.Code != code || !strings.Contains(w.Body.String(), says) || (w.Header().Get("Retry-After") != "") != (code != http.StatusOK) {
			t.Errorf("%s: %d %v %.200s", tenant, w.Code, w.Header(), w.Body)
		}
	}
	alice := take("alice")
	ask("alice", http.StatusTooManyRequests, "1 of the tenant's requests")
	ask("bob", http.StatusOK, "openapi")
	bob := take("bob")
	ask("carol", http.StatusServiceUnavailable, "2 requests are being answered")
	if n := testutil.ToFloat64(q.refused); n != 2 {
		t.Errorf("%v refused", n)
	}
	alice()
	bob()
	ask("alice", http.StatusOK, "openapi")
}

// TestStoreGone answers 503 while the store is away.
func TestStoreGone(t *testing.T) {
	conn := readtest.DB(t)
	q, err := New(DefaultConfig(), conn, nil, discard(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	w := do(t, q.Handler(), http.MethodGet, "/api/v1/functions")
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if strings.Contains(w.Body.String(), "SELECT") {
		t.Error("the answer shows the query")
	}
}

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	_, err := New(Config{MaxWait: -1}, nil, nil, discard(), prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "max_concurrent") || !strings.Contains(err.Error(), "max_wait") {
		t.Errorf("%v", err)
	}
}

// TestSCF: requests to "/" that are signed by a key, or ought to be, are the SCF
// API's; all else there is what was there before.
func TestSCF(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	path := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(path, []byte("keys: [{name: a, secret_id: ID, secret_key: 0123456789abcdef, tenant: acme}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := scf.OpenKeys(path, discard(), registry)
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.MaxConcurrent, cfg.MaxConcurrentPerTenant, cfg.MaxWait = 1, 1, time.Millisecond
	q, err := New(cfg, nil, keys, discard(), registry)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.turns.Take(t.Context(), "acme"); err != nil { // strangers need none
		t.Fatal(err)
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "console") })
	h := q.SCF(page)
	for _, c := range []struct{ method, path, action, want string }{
		{"GET", "/", "", "console"},
		{"GET", "/requests/1", "GetFunctionLogs", "console"},
		{"POST", "/x", "GetFunctionLogs", "console"},
		{"POST", "/", "", "MissingParameter"},
		{"POST", "/", "GetFunctionLogs", "AuthFailure.InvalidAuthorization"},
		{"GET", "/", "ListFunctions", "AuthFailure.InvalidAuthorization"},
		{"POST", "/", "Whatever", "AuthFailure.InvalidAuthorization"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil)
		if c.action != "" {
			r.Header.Set(scf.HeaderAction, c.action)
		}
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.action, w.Code, w.Body)
		}
	}
	for _, labels := range [][]string{{"POST / GetFunctionLogs", "200"}, {"GET / ListFunctions", "200"}, {"POST /", "200"}} {
		if !q.handled.DeleteLabelValues(labels...) {
			t.Errorf("no series %q", labels)
		}
	}
	if n := testutil.CollectAndCount(q.handled); n != 0 {
		t.Errorf("%d series more: a header has become a label", n)
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v %v", problems, err)
	}
	none, err := New(DefaultConfig(), nil, nil, discard(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if w := do(t, none.SCF(page), http.MethodPost, "/"); w.Body.String() != "console" {
		t.Errorf("without keys: %s", w.Body)
	}
}

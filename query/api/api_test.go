package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
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

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/api"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// update says that golden files are to be written instead of compared.
func update() bool { return os.Getenv("COLDSCOPE_UPDATE") != "" }

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if update() {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs; if that is right, run go generate ./query/api or COLDSCOPE_UPDATE=1 go test ./query/api (-want +got):\n%s", path, diff)
	}
}

// TestOpenAPIDocument holds the committed document, from which the console's
// types are made, against the code.
func TestOpenAPIDocument(t *testing.T) {
	doc, err := api.New(nil, slog.New(slog.DiscardHandler), time.Now).OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "openapi.json", doc)
}

// serve gives the base URL of an API over conn at one second after the sample's end.
func serve(t *testing.T, conn driver.Conn) string {
	t.Helper()
	now := func() time.Time { return readtest.At(20) }
	server := httptest.NewServer(api.New(read.New(conn), slog.New(slog.NewTextHandler(t.Output(), nil)), now))
	t.Cleanup(server.Close)
	return server.URL
}

func get(t *testing.T, target, tenant string) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if tenant != "" {
		req.Header.Set("X-Scope-OrgID", tenant)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, body
}

func getInto[T any](t *testing.T, target string) T {
	t.Helper()
	code, _, body := get(t, target, "")
	if code != http.StatusOK {
		t.Fatalf("GET %s: %d %s", target, code, body)
	}
	var v T
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("GET %s: %v", target, err)
	}
	return v
}

func TestAnswers(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	base := serve(t, conn) + api.Prefix
	for name, path := range map[string]string{
		"request_cold":      "/requests/" + readtest.Cold,
		"request_waiter":    "/requests/" + readtest.Waiter,
		"request_failed":    "/requests/" + readtest.Failed,
		"request_running":   "/requests/" + readtest.Running,
		"request_twice":     "/requests/" + readtest.Twice,
		"request_no_start":  "/requests/" + readtest.NoStart,
		"requests":          "/requests",
		"requests_cold":     "/requests?cold=true&function=inference&namespace=default",
		"requests_errors":   "/requests?status=error",
		"requests_running":  "/requests?status=running",
		"requests_since":    "/requests?since=9s&until=2026-05-04T12:00:13Z",
		"coldstarts":        "/coldstarts",
		"coldstarts_demand": "/coldstarts?initialization=on-demand&since=1h&limit=1",
		"coldstarts_none":   "/coldstarts?function=nobody",
		"starts_history":    "/coldstarts/history?step=5m",
		"volume":            "/volume?since=1d&function=inference",
		"starts_by_version": "/coldstarts/distributions?by=version&since=1d",
		"starts_compared":   "/coldstarts/compare?since=1d&a_version=v3&b_version=v2",
		"instances":         "/instances?since=1d",
		"instances_failed":  "/instances?state=failed,starting&sort=start",
		"images":            "/images?since=1d",
		"layers":            "/layers?function=inference&namespace=default",
		"versions":          "/functions/versions?namespace=default&function=inference",
		"lines":             "/lines?function=inference&namespace=default&stream=stderr,stdout&limit=3&q=n",
		"lines_oldest":      "/lines?order=oldest&level=unknown&q=PREDICT&ignore_case=true&not=n=7",
		"line_context":      "/lines/feed0123456789ab/200/context?before=1&after=1&ts=2026-05-04T12:00:06.273456789Z",
		"histogram":         "/lines/histogram?step=5s&by=stream",
		"requests_slowest":  "/requests?sort=duration&limit=2",
		"functions":         "/functions?since=1d",
		"functions_none":    "/functions?until=1d",
	} {
		t.Run(name, func(t *testing.T) {
			code, header, body := get(t, base+path, "")
			if code != http.StatusOK || header.Get("Content-Type") != "application/json" {
				t.Fatalf("%d %s %s", code, header.Get("Content-Type"), body)
			}
			var out bytes.Buffer
			if err := json.Indent(&out, body, "", "  "); err != nil {
				t.Fatal(err)
			}
			golden(t, "testdata/"+name+".json", out.Bytes())
		})
	}
}

func TestBadInput(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	base := serve(t, conn)
	hostile := `x' OR '1'='1` + "\n\t\\'; DROP TABLE logs --\x00{a:b}"
	for name, test := range map[string]struct {
		path, tenant string
		code         int
		says         string
	}{
		"unknown request":       {"/api/v1/requests/nobody", "", 404, `request \"nobody\": not found`},
		"other tenant's":        {"/api/v1/requests/" + readtest.Cold, "other", 404, "not found"},
		"not even for default":  {"/api/v1/requests/foreign-request", "", 404, "not found"},
		"hostile request":       {"/api/v1/requests/" + url.PathEscape(hostile), "", 404, "not found"},
		"request elsewhere":     {"/api/v1/requests/" + readtest.Cold + "?function=nobody", "", 404, "not found"},
		"request not in":        {"/api/v1/requests/" + readtest.Cold + "?function=inference&namespace=nowhere", "", 404, "not found"},
		"hostile function":      {"/api/v1/requests/" + readtest.Cold + "?" + url.Values{"function": {hostile}, "namespace": {hostile}}.Encode(), "", 404, "not found"},
		"long function":         {"/api/v1/requests/x?function=" + strings.Repeat("x", 600), "", 422, "query.function"},
		"hostile slash":         {"/api/v1/requests/" + url.PathEscape("a/../b%2f"), "", 404, "not found"},
		"hostile tenant":        {"/api/v1/requests/" + readtest.Cold, "default' OR '1'='1", 404, "not found"},
		"long request":          {"/api/v1/requests/" + strings.Repeat("x", 600), "", 422, "path.id"},
		"long tenant":           {"/api/v1/requests", strings.Repeat("x", 200), 422, "header.X-Scope-OrgID"},
		"limit 0":               {"/api/v1/requests?limit=0", "", 422, "query.limit"},
		"limit 100000":          {"/api/v1/requests?limit=100000", "", 422, "query.limit"},
		"limit x":               {"/api/v1/requests?limit=x", "", 422, "query.limit"},
		"status":                {"/api/v1/requests?status=fine", "", 422, "query.status"},
		"cold":                  {"/api/v1/requests?cold=1", "", 422, "query.cold"},
		"cursor not base64":     {"/api/v1/requests?cursor=!!", "", 422, "query.cursor"},
		"cursor not ours":       {"/api/v1/requests?cursor=WzEsMiwzXQ", "", 422, "not a cursor"},
		"since":                 {"/api/v1/requests?since=yesterday", "", 422, "query.since"},
		"since negative":        {"/api/v1/requests?since=-5m", "", 422, "query.since"},
		"since year 1":          {"/api/v1/requests?since=0001-01-01T00:00:00Z", "", 422, "1970"},
		"until before since":    {"/api/v1/requests?since=5m&until=10m", "", 422, "later than since"},
		"until on coldstarts":   {"/api/v1/coldstarts?until=tomorrow", "", 422, "query.until"},
		"initialization":        {"/api/v1/coldstarts?initialization=maybe", "", 422, "query.initialization"},
		"regex":                 {"/api/v1/lines?regex=(", "", 422, "query.regex"},
		"field":                 {"/api/v1/lines?field=a%3E%3Dx", "", 422, "no number"},
		"field without a key":   {"/api/v1/lines?field=%3Dx", "", 422, "key is missing"},
		"level":                 {"/api/v1/lines?level=loud", "", 422, "query.level"},
		"stream":                {"/api/v1/lines?stream=stdout,stdin", "", 422, "query.stream"},
		"lines cursor":          {"/api/v1/lines?cursor=WzEsMiwzXQ", "", 422, "query.cursor"},
		"cursor of lines":       {"/api/v1/requests?cursor=" + read.LineCursor{}.String(), "", 422, "query.cursor"},
		"cursor of newest":      {"/api/v1/requests?sort=duration&cursor=WyJ6IiwiciIsImkiXQ", "", 422, "another order"},
		"instances cursor":      {"/api/v1/instances?sort=start&cursor=WyJ6IiwibiIsImYiLCJpIiwiMCJd", "", 422, "query.cursor"},
		"file":                  {"/api/v1/lines/FEED/1/context", "", 422, "path.file_id"},
		"no such line":          {"/api/v1/lines/feed0123456789ab/801/context", "", 404, "not found"},
		"other tenant's line":   {"/api/v1/lines/feed0123456789ab/200/context?ts=2026-05-04T12:00:06.273456789Z", "other", 404, "not found"},
		"histogram step":        {"/api/v1/lines/histogram?step=1ns", "", 422, "query.step"},
		"histogram by":          {"/api/v1/lines/histogram?by=body", "", 422, "query.by"},
		"starts by":             {"/api/v1/coldstarts/distributions?by=moon", "", 422, "query.by"},
		"compared times":        {"/api/v1/coldstarts/compare?a_since=x", "", 422, "query.since"},
		"versions of nothing":   {"/api/v1/functions/versions", "", 422, "query.function"},
		"duration":              {"/api/v1/requests?min_duration=long", "", 422, "query.min_duration"},
		"step":                  {"/api/v1/volume?step=90s", "", 422, "query.step"},
		"unknown parameter":     {"/api/v1/requests?functoin=x", "", 422, "functoin"},
		"unknown operation":     {"/api/v1/nothing", "", 404, "openapi.json"},
		"request without an id": {"/api/v1/requests/", "", 404, "openapi.json"},
	} {
		t.Run(name, func(t *testing.T) {
			code, header, body := get(t, base+test.path, test.tenant)
			var problem struct {
				Title, Detail string
				Status        int
			}
			if err := json.Unmarshal(body, &problem); err != nil {
				t.Fatalf("%d %s: %v", code, body, err)
			}
			if code != test.code || problem.Status != code || problem.Title == "" || !strings.Contains(string(body), test.says) {
				t.Errorf("%d %s\nwant %d and %q", code, body, test.code, test.says)
			}
			if got := header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("content type %q", got)
			}
		})
	}
	for _, filter := range []string{"function", "namespace"} {
		list := getInto[read.InvocationList](t, base+"/api/v1/requests?"+url.Values{filter: {hostile}}.Encode())
		if len(list.Requests) != 0 {
			t.Errorf("a hostile %s found %d requests", filter, len(list.Requests))
		}
	}
}

// TestUntold answers with the lines of a request that nobody has told of.
func TestUntold(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	const id = "Root=1-5e1b4151;x/y z"
	line := func(n float64) schema.LogRow {
		return schema.LogRow{
			Line: &faas.Line{
				Ref: faas.Ref{Tenant: "default", Function: "batch", Version: "7", Instance: "pod-1"}, Host: "host-b",
				Stream: "stderr", Time: readtest.At(n), FileID: 0xbeef, Offset: uint64(n), Body: fmt.Sprint("step ", n),
			},
			Attribution: "explicit", RequestID: id, Revision: 1,
		}
	}
	readtest.Insert(t, conn, schema.Logs, line(1), line(2))
	path := serve(t, conn) + api.Prefix + "/requests/" + url.PathEscape(id)
	for _, query := range []string{"", "?function=batch"} {
		code, _, body := get(t, path+query, "")
		if code != http.StatusOK {
			t.Fatalf("%q: %d %s", query, code, body)
		}
		var out bytes.Buffer
		if err := json.Indent(&out, body, "", "  "); err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/request_untold.json", out.Bytes())
	}
	for query, tenant := range map[string]string{"": "other", "?namespace=default": "", "?function=inference": ""} {
		if code, _, body := get(t, path+query, tenant); code != http.StatusNotFound {
			t.Errorf("%q of tenant %q: %d %s", query, tenant, code, body)
		}
	}
}

// TestPages reads a list in small pieces while rows arrive in front of it and
// inside it: what was there at the beginning comes exactly once, in order.
func TestPages(t *testing.T) {
	conn := readtest.DB(t)
	base := serve(t, conn) + api.Prefix
	invocation := func(i int, at time.Time) schema.InvocationRow {
		return schema.InvocationRow{
			Tenant: "default", Namespace: "n", Function: "f", StartedAt: at,
			RequestID: fmt.Sprintf("r-%03d", i), Instance: fmt.Sprintf("i-%d", i%3),
		}
	}
	var rows []schema.InvocationRow
	for i := range 50 {
		rows = append(rows, invocation(i, readtest.At(float64(i/5)))) // five at each instant
	}
	readtest.Insert(t, conn, schema.Invocations, rows...)
	seen := map[string]int{}
	var last read.Invocation
	cursor, pages := "", 0
	for ; pages == 0 || cursor != ""; pages++ {
		list := getInto[read.InvocationList](t, base+"/requests?limit=7&cursor="+url.QueryEscape(cursor))
		for _, v := range list.Requests {
			seen[v.RequestID]++
			if !last.StartedAt.IsZero() && v.StartedAt.After(last.StartedAt) {
				t.Errorf("%s comes after %s", v.RequestID, last.RequestID)
			}
			last = v
		}
		cursor = list.NextCursor
		readtest.Insert(t, conn, schema.Invocations, invocation(100+pages, readtest.At(100)))
	}
	for _, row := range rows {
		if seen[row.RequestID] != 1 {
			t.Errorf("%s came %d times", row.RequestID, seen[row.RequestID])
		}
	}
	if len(seen) != len(rows) || pages != 8 {
		t.Errorf("%d requests on %d pages", len(seen), pages)
	}
}

// TestManyLines bounds a page by lines and by bytes, and keeps long lines valid.
func TestManyLines(t *testing.T) {
	conn := readtest.DB(t)
	base := serve(t, conn) + api.Prefix
	line := func(request string, n int, body string) schema.LogRow {
		return schema.LogRow{
			Line: &faas.Line{
				Ref:    faas.Ref{Tenant: "default", Namespace: "n", Function: "f", Instance: "i"},
				Stream: "stdout", Time: readtest.At(1).Add(time.Duration(n)), FileID: uint64(len(request)) + uint64(request[0])<<8, Offset: uint64(n), Body: body,
			},
			Attribution: "window", RequestID: request, Revision: 1,
		}
	}
	ended := readtest.At(2)
	var lines []schema.LogRow
	for n := range 5001 {
		lines = append(lines, line("many", n, "short"))
	}
	for n := range 300 {
		lines = append(lines, line("big", n, strings.Repeat("é", 50_000)))
	}
	lines = append(lines, line("cut", 0, "x"+strings.Repeat("é", 50_000)))
	readtest.Insert(t, conn, schema.Logs, lines...)
	for _, id := range []string{"many", "big", "cut"} {
		readtest.Insert(t, conn, schema.Invocations, schema.InvocationRow{
			Tenant: "default", Namespace: "n", Function: "f", StartedAt: readtest.At(1), EndedAt: &ended, RequestID: id, Instance: "i",
		})
	}
	if page := getInto[read.Page](t, base+"/requests/many"); len(page.Lines) != 5000 || !page.LinesTruncated {
		t.Errorf("%d lines, truncated %v", len(page.Lines), page.LinesTruncated)
	}
	if page := getInto[read.Page](t, base+"/requests/big"); len(page.Lines) != 256 || !page.LinesTruncated {
		t.Errorf("%d big lines, truncated %v", len(page.Lines), page.LinesTruncated)
	}
	page := getInto[read.Page](t, base+"/requests/cut")
	if len(page.Lines) != 1 || page.LinesTruncated {
		t.Fatalf("%d lines, truncated %v", len(page.Lines), page.LinesTruncated)
	}
	l := page.Lines[0]
	if strings.ContainsRune(l.Body, '�') || len(l.Body) != 65535 || l.Truncated != 100_001-65535 {
		t.Errorf("%d bytes, %d truncated", len(l.Body), l.Truncated)
	}
}

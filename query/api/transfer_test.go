package api_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/api"
	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// answer is an answer's head.
type answer struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// fetch gets with headers, and leaves the answer as it came.
func fetch(t *testing.T, url string, headers ...string) (answer, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Status, res.Header}, body
}

// TestTransfer: answers are compressed as the client takes them, and what a
// client has it is not sent again.
func TestTransfer(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	url := serve(t, conn) + api.Prefix + "/requests/" + readtest.Cold
	plain, want := fetch(t, url)
	if plain.Header.Get("Content-Encoding") != "" || !json.Valid(want) {
		t.Fatalf("%v %s", plain.Header, want)
	}
	tag := plain.Header.Get("ETag")
	if !strings.HasPrefix(tag, `W/"`) || !strings.Contains(plain.Header.Get("Cache-Control"), "private") || !strings.Contains(strings.Join(plain.Header.Values("Vary"), ","), "X-Scope-OrgID") {
		t.Errorf("%v", plain.Header)
	}
	for encoding, open := range map[string]func(io.Reader) (io.Reader, error){
		"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"zstd": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r, zstd.WithDecoderConcurrency(1)) },
	} {
		res, body := fetch(t, url, "Accept-Encoding", encoding)
		if res.Header.Get("Content-Encoding") != encoding || res.Header.Get("ETag") != tag || len(body) > len(want)/2 {
			t.Errorf("%s: %v, %d bytes of %d", encoding, res.Header, len(body), len(want))
		}
		r, err := open(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v", encoding, err)
		}
	}
	for _, asked := range []string{tag, strings.TrimPrefix(tag, "W/"), `"other", ` + tag, "*"} {
		if res, body := fetch(t, url, "If-None-Match", asked, "Accept-Encoding", "zstd"); res.StatusCode != http.StatusNotModified || len(body) > 0 || res.Header.Get("ETag") != tag {
			t.Errorf("%s: %s %q", asked, res.Status, body)
		}
	}
	if res, body := fetch(t, url, "If-None-Match", `W/"0000000000000000"`); res.StatusCode != http.StatusOK || !bytes.Equal(body, want) {
		t.Errorf("another tag: %s", res.Status)
	}
	if res, _ := fetch(t, url+"x", "If-None-Match", "*"); res.StatusCode != http.StatusNotFound || res.Header.Get("ETag") != "" {
		t.Errorf("an error: %s %v", res.Status, res.Header)
	}
}

// TestExport gets files of each format, and a problem where there can be none.
func TestExport(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	base := serve(t, conn) + api.Prefix + "/export/"
	for _, what := range []string{"lines", "requests", "coldstarts"} {
		res, body := fetch(t, base+what)
		rows := 0
		for line := range bytes.Lines(body) {
			if rows++; !json.Valid(line) {
				t.Errorf("%q", line)
			}
		}
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/x-ndjson" || rows < 3 || !strings.Contains(res.Header.Get("Content-Disposition"), what+".ndjson") {
			t.Errorf("%s: %s %v, %d rows", what, res.Status, res.Header, rows)
		}
		res, body = fetch(t, base+what+"?format=csv&rows=2")
		if sheet, err := csv.NewReader(bytes.NewReader(body)).ReadAll(); err != nil || len(sheet) != 3 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/csv") {
			t.Errorf("%s: %v %v %v", what, res.Header, sheet, err)
		}
		res, body = fetch(t, base+what+"?format=parquet", "Accept-Encoding", "zstd, gzip")
		if !bytes.HasPrefix(body, []byte("PAR1")) || !bytes.HasSuffix(body, []byte("PAR1")) || res.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s: %v", what, res.Header)
		}
		if res, body = fetch(t, base+what+"?function=nobody"); res.StatusCode != http.StatusOK || len(body) != 0 {
			t.Errorf("%s of nobody: %s %s", what, res.Status, body)
		}
		if _, body = fetch(t, base+what, "X-Scope-OrgID", "nobody"); len(body) != 0 {
			t.Errorf("%s of another tenant: %s", what, body)
		}
		if res, _ = fetch(t, base+what+"?format=xlsx"); res.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%s: %s", what, res.Status)
		}
	}
	limits := limit.DefaultQuery()
	limits.RowsRead = 1
	small := httptest.NewServer(api.New(read.NewLimited(conn, limits), slog.New(slog.DiscardHandler), time.Now))
	t.Cleanup(small.Close)
	res, body := fetch(t, small.URL+api.Prefix+"/export/lines")
	if res.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(string(body), limit.TypeRows) || res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %v %s", res.Status, res.Header, body)
	}
}

// TestExportGone: when the client of an export goes, so does its query.
func TestExportGone(t *testing.T) {
	conn := readtest.DB(t)
	var rows []schema.LogRow
	for n := range 60_000 {
		rows = append(rows, schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: "default", Namespace: "n", Function: "f", Instance: "i"},
				Time: readtest.At(float64(n)), Stream: "stdout", Body: strings.Repeat(fmt.Sprint(n, " "), 200), FileID: 1, Offset: uint64(n),
			},
			Attribution: "none", Revision: 1,
		})
	}
	readtest.Insert(t, conn, schema.Logs, rows...)
	running := func() (n uint64) {
		const look = "SELECT count() FROM system.processes WHERE position(query, 'formatRow(') > 0 AND current_database = currentDatabase() AND position(query, 'system.processes') = 0"
		if err := conn.QueryRow(t.Context(), look).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	url := serve(t, conn) + api.Prefix + "/export/lines"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(res.Body, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if running() == 0 {
		t.Error("all of it was read before it was asked for")
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	for running() > 0 { // the test's own deadline ends it if the query runs on
		<-time.After(10 * time.Millisecond)
	}
}

package client_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/query/api"
	"github.com/coldscope/coldscope/query/client"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

func newClient(t *testing.T, base, tenant string) *client.Client {
	t.Helper()
	c, err := client.New(base, tenant, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClient(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	server := httptest.NewServer(api.New(read.New(conn), slog.New(slog.DiscardHandler), func() time.Time { return readtest.At(20) }))
	t.Cleanup(server.Close)
	c := newClient(t, server.URL, "")

	page, err := c.Request(t.Context(), readtest.Cold)
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("../api/testdata/request_cold.json")
	if err != nil {
		t.Fatal(err)
	}
	want := new(read.Page)
	if err := json.Unmarshal(golden, want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	stats, err := c.ColdStarts(t.Context(), client.ColdStartsFilter{Function: "inference", Initialization: "on-demand", Since: "1h", Limit: 1})
	if err != nil || stats.Count != 1 || len(stats.Recent) != 1 {
		t.Errorf("%+v %v", stats, err)
	}

	for _, id := range []string{"nobody", "a/b?c#d%2f", "..", "ünï ' \" \n"} {
		if _, err := c.Request(t.Context(), id); !errors.Is(err, read.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := newClient(t, server.URL, "other").Request(t.Context(), readtest.Cold); !errors.Is(err, read.ErrNotFound) {
		t.Errorf("another tenant: %v", err)
	}
	if _, err := c.ColdStarts(t.Context(), client.ColdStartsFilter{Since: "yesterday"}); err == nil || !strings.Contains(err.Error(), "query.since: neither") {
		t.Errorf("bad since: %v", err)
	}
}

func TestNotTheService(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:9480", "ftp://x", "http://", ":"} {
		if _, err := client.New(bad, "", http.DefaultClient); err == nil {
			t.Errorf("%q is taken for an address", bad)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	c := newClient(t, server.URL, "")
	if _, err := c.Request(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "not the query service") {
		t.Errorf("a web site: %v", err)
	}
	server.Close()
	if _, err := c.Request(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "is the service running there?") {
		t.Errorf("nobody there: %v", err)
	}
}

package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/api"
	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// event is one that a tail sent.
type event struct {
	kind, id string
	line     read.TailedLine
}

// follow reads a tail's events until the test or cancel ends it.
func follow(t *testing.T, url, last string) (events <-chan event, cancel context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultClient.Do(req) //nolint:bodyclose // the reader below does
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s %v", res.Status, res.Header)
	}
	out := make(chan event)
	go func() {
		defer close(out)
		defer res.Body.Close()
		var e event
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			name, text, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				e.kind = text
			case "id":
				e.id = text
			case "data":
				_ = json.Unmarshal([]byte(text), &e.line) // the body shows what went wrong
			case "":
				if e.kind != "" {
					select {
					case out <- e:
					case <-ctx.Done():
						return
					}
				}
				e = event{}
			}
		}
	}()
	return out, cancel
}

func tailed(n int) schema.LogRow {
	return schema.LogRow{
		Line: &faas.Line{
			Ref:  faas.Ref{Tenant: "default", Namespace: "n", Function: "f", Instance: "i"},
			Time: time.Now(), Stream: "stdout", Body: fmt.Sprint("line ", n), FileID: 1, Offset: uint64(n),
		},
		Attribution: "none", Revision: uint64(time.Now().UnixNano()),
	}
}

// TestTail follows lines over HTTP, goes on after a lost connection, gives its
// place back when the client goes, and ends with the service.
func TestTail(t *testing.T) {
	conn := readtest.DB(t)
	a := api.New(read.New(conn), slog.New(slog.NewTextHandler(t.Output(), nil)), time.Now)
	a.Bound(limit.NewTurns(1, 1, time.Minute), limit.NewTurns(2, 1, time.Minute))
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	url := server.URL + api.TailPath + "?function=f&namespace=n"
	expect := func(events <-chan event, body string) event {
		t.Helper()
		e, ok := <-events
		if !ok || e.kind != "line" || e.line.Body != body {
			t.Fatalf("%+v, %v, not %q", e, ok, body)
		}
		return e
	}

	readtest.Insert(t, conn, schema.Logs, tailed(1), tailed(2), tailed(3))
	events, cancel := follow(t, url+"&lines=2", "")
	expect(events, "line 2")
	expect(events, "line 3")
	readtest.Insert(t, conn, schema.Logs, tailed(4))
	expect(events, "line 1") // was written within the slack, and was not among the newest two
	last := expect(events, "line 4")
	if last.id == "" {
		t.Error("no id")
	}
	cancel() // gives the tenant's only place back

	readtest.Insert(t, conn, schema.Logs, tailed(5))
	events, _ = follow(t, url, last.id)
	for seen := map[string]bool{}; !seen["line 5"]; {
		e := <-events
		seen[e.line.Body] = true
	}
	a.EndTails()
	for range events { // until it is closed
	}

	code, _, body := get(t, server.URL+api.TailPath+"?until=5m", "")
	if code != http.StatusUnprocessableEntity || !strings.Contains(string(body), "has no end") {
		t.Errorf("%d %s", code, body)
	}
}

package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/api"
	"github.com/coldscope/coldscope/query/client"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

func TestLines(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	server := httptest.NewServer(api.New(read.New(conn), slog.New(slog.DiscardHandler), func() time.Time { return readtest.At(20) }))
	t.Cleanup(server.Close)
	c := newClient(t, server.URL, "")

	q := client.LinesQuery{LineFilter: client.LineFilter{
		Function: "inference", Namespace: "default", Streams: []string{"stdout", "stderr"}, Contains: []string{"half_plus_two", "n="},
		Excludes: []string{"loaded"}, Regex: "predict .*n=[37]$", Since: "1h", Levels: []string{"unknown", "info"},
	}, OldestFirst: true, Limit: 1}
	var bodies []string
	for {
		list, err := c.Lines(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list.Lines {
			bodies = append(bodies, l.Body)
		}
		if q.Cursor = list.NextCursor; q.Cursor == "" {
			break
		}
	}
	if want := []string{"predict half_plus_two n=3", "predict half_plus_two n=7"}; !slices.Equal(bodies, want) {
		t.Errorf("%q", bodies)
	}
	list, err := c.Lines(t.Context(), client.LinesQuery{LineFilter: client.LineFilter{Contains: []string{"INDEX OUT OF"}, IgnoreCase: true}})
	if err != nil || len(list.Lines) != 1 || list.Lines[0].RequestID != readtest.Failed {
		t.Fatalf("%+v %v", list, err)
	}
	around, err := c.Context(t.Context(), &list.Lines[0], 1, 5)
	if err != nil || len(around.Before) != 1 || around.Before[0].Body != "idle tick n=8" || around.Line.Body != list.Lines[0].Body {
		t.Errorf("%+v %v", around, err)
	}
	h, err := c.Histogram(t.Context(), client.LineFilter{Function: "inference"}, "1m", "stream")
	if err != nil || h.StepMS != 60_000 || len(h.Counts) != 3 {
		t.Errorf("%+v %v", h, err)
	}
	var file bytes.Buffer
	if err := c.Export(t.Context(), "lines", "csv", (&client.LineFilter{Contains: []string{"predict half"}}).Values(), &file); err != nil || strings.Count(file.String(), "half_plus_two n=") != 2 {
		t.Errorf("%q %v", file.String(), err)
	}
	if err := c.Export(t.Context(), "lines", "xlsx", nil, &file); err == nil || !strings.Contains(err.Error(), "query.format") {
		t.Errorf("a bad format: %v", err)
	}
	if _, err := c.Lines(t.Context(), client.LinesQuery{LineFilter: client.LineFilter{Regex: "("}}); err == nil {
		t.Error("a bad expression is no error")
	}
}

// TestTail follows lines over connections that are lost: none is missing, none
// comes twice.
func TestTail(t *testing.T) {
	conn := readtest.DB(t)
	a := api.New(read.New(conn), slog.New(slog.DiscardHandler), time.Now)
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	t.Cleanup(a.EndTails)
	lines := func(from, to int) {
		var rows []schema.LogRow
		for n := from; n < to; n++ {
			rows = append(rows, schema.LogRow{
				Line: &faas.Line{
					Ref:  faas.Ref{Tenant: "default", Namespace: "n", Function: "f", Instance: "i"},
					Time: time.Now(), Stream: "stdout", Body: fmt.Sprint("line ", n), FileID: 1, Offset: uint64(n),
				},
				Attribution: "none", Revision: uint64(time.Now().UnixNano()),
			})
		}
		readtest.Insert(t, conn, schema.Logs, rows...)
	}
	lines(0, 10)
	c, err := client.New(server.URL, "", &http.Client{Transport: &http.Transport{}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	enough := errors.New("enough")
	lost, again := 0, 0
	err = c.Tail(t.Context(), client.LineFilter{Function: "f"}, 10, func(e client.TailEvent) error {
		switch {
		case e.Lost != nil, e.Again:
			if e.Again {
				again++
			} else {
				lost++
			}
			return nil
		case e.Line == nil:
			t.Errorf("%+v", e)
			return enough
		}
		switch got = append(got, e.Line.Body); len(got) {
		case 10, 30:
			lines(len(got), len(got)+20)
		case 20, 40:
			server.CloseClientConnections()
		case 50:
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 50 {
		t.Errorf("%d lines: %q", len(got), got)
	}
	if len(got) != 50 || lost < 1 || again != lost { // what was sent already may still come
		t.Errorf("%d lines, lost %d times, there again %d times", len(got), lost, again)
	}
	if err := c.Tail(t.Context(), client.LineFilter{Regex: "("}, 0, nil); err == nil {
		t.Error("a bad expression is no error")
	}
}

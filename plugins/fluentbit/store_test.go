package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/coldscope/coldscope/aggregator"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/schema"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// TestPluginToStore sends chunks through the plugin to a real aggregator and
// counts in ClickHouse: every line is there once, however often it was sent.
func TestPluginToStore(t *testing.T) {
	h := startHost(t)
	conn, _ := clickhousetest.DB(t)
	if err := schema.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	a := aggregator.New(aggregator.DefaultConfig(), conn, slog.New(slog.DiscardHandler), prometheus.NewRegistry(), noop.NewTracerProvider())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	srv := httptest.NewServer(a.Handler())
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		srv.Close()
	})

	h.do("0", "register")
	h.do("1", "set 0 url %s", srv.URL)
	h.do("1", "set 0 tenant acme")
	h.do("1", "set 0 function cart")
	h.do(flbOK, "init 0")
	var values []any
	const n = 500
	for i := range n {
		ts := any(eventTime(1_700_000_000, uint32(1000*i+7)))
		if i%2 == 0 {
			ts = 1_700_000_000 // a clock of seconds: half of the lines share one time
		}
		values = append(values, list{ts, object{"log": fmt.Sprint("line ", i/4), "container_id": "c1"}})
	}
	chunk := encode(t, values...)
	for range 3 {
		h.flush(flbOK, 0, "app", chunk)
	}
	// Read again from the middle, as after a lost position, by a clock that tells lines apart.
	var again []any
	for i := n/2 + 1; i < n; i += 2 {
		again = append(again, values[i])
	}
	h.flush(flbOK, 0, "app", encode(t, again...))

	var lines, texts uint64
	query := "SELECT count(), uniqExact(body) FROM logs FINAL WHERE tenant = 'acme' AND function = 'cart' AND instance = 'c1' AND stream = 'stdout'"
	if err := conn.QueryRow(t.Context(), query).Scan(&lines, &texts); err != nil {
		t.Fatal(err)
	}
	if lines != n || texts != n/4 {
		t.Errorf("%d lines with %d texts are stored, want %d with %d", lines, texts, n, n/4)
	}
	h.do(flbOK, "exit 0")
}

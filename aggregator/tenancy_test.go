package aggregator_test

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/internal/access"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// names are what a sender may call an instance, a function and a request.
var names = []string{
	"plain", `x' OR 1=1 --`, `back\slash\`, `"quoted", {a="b"}`, "%_*?", "nul\x00nul", "ünï\u202e\u0301", "tab\tnew\nline", strings.Repeat("long", 500),
}

// guarded gives clients of two tenants, each with a token of its own, behind the guard.
func guarded(t *testing.T, s *service) (alice, bob *wire.Client) {
	t.Helper()
	var entries strings.Builder
	var tokens []string
	for _, tenant := range []string{"alice", "bob"} {
		made, err := access.NewToken(tenant, []string{tenant}, []access.Scope{access.Push}, time.Time{})
		must(t, err)
		entries.WriteString(made.Entry + "\n")
		tokens = append(tokens, made.Token)
	}
	path := filepath.Join(t.TempDir(), "access.yaml")
	must(t, os.WriteFile(path, []byte("tokens:\n"+entries.String()), 0o600))
	g, err := access.New(access.Config{File: path}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	must(t, err)
	server := httptest.NewServer(g.Wrap(s.Handler()))
	t.Cleanup(server.Close)
	var clients []*wire.Client
	for _, token := range tokens {
		c, err := wire.NewClientWith(wire.Options{Target: server.URL, BearerToken: token})
		must(t, err)
		t.Cleanup(c.Close)
		clients = append(clients, c)
	}
	return clients[0], clients[1]
}

// history is the facts of one request whose names are all name, in two halves;
// mark is in all of its values, and claimed is the tenant that it says it is of.
type history struct{ name, mark, claimed string }

func (h history) events(first bool) []faas.Event {
	r := faas.Ref{Tenant: h.claimed, Namespace: "n", Function: h.name, Version: h.mark, Instance: h.name}
	e := func(id string, ms int, d faas.Data) faas.Event {
		return faas.Event{ID: id, Source: "host", Time: at(ms), Ref: r, Data: d}
	}
	if first {
		return []faas.Event{
			e("1", 0, faas.Demanded{RequestID: h.name, Initialization: faas.OnDemand, Image: h.mark}),
			e("2", 100, faas.PhaseDone{Name: faas.PhasePull, Start: at(10), End: at(100), Error: h.mark}),
			e("3", 100, faas.LayerPulled{Digest: h.name, Bytes: int64(len(h.mark)), DownloadStart: at(10), DownloadEnd: at(90)}),
			e("4", 300, faas.Ready{}),
			e("5", 310, faas.InvocationStarted{RequestID: h.name, QueuedAt: at(0)}),
		}
	}
	return []faas.Event{
		e("6", 350, faas.InvocationEnded{RequestID: h.name, StartedAt: at(310), Status: faas.StatusError, Error: h.mark}),
		e("7", 350, faas.InvocationUsage{RequestID: h.name, StartedAt: at(310), MemoryPeak: int64(len(h.mark))}),
		e("8", 800, faas.Ledger{FileID: "0000000000000007", From: at(0), To: at(800), Bytes: int64(len(h.mark)), Lines: 1}),
		e("9", 800, faas.Gap{FileID: "0000000000000007", Offset: 1, Bytes: int64(len(h.mark)), From: at(100), Reason: faas.GapPinned}),
		e("10", 900, faas.Stopped{Reason: h.mark}),
	}
}

// push is lines of the request, all of one file, and its events once more in
// the way that collectors send them.
func (h history) push(t *testing.T, ms int, events []faas.Event) *push.PushRequest {
	t.Helper()
	r := faas.Ref{Namespace: "n", Function: h.name, Version: h.mark, Instance: h.name}
	labels := strings.TrimSuffix(wire.StreamLabels(r, faas.Stdout, "host"), "}") + `, tenant="` + h.claimed + `"}`
	lines := push.Stream{Labels: labels, Entries: []push.Entry{{
		Timestamp: at(ms), Line: h.mark, StructuredMetadata: append(wire.Position(7, uint64(ms)), push.LabelAdapter{Name: "tenant", Value: h.claimed}),
	}}}
	platform := push.Stream{Labels: wire.StreamLabels(r, faas.Platform, "host")}
	for i := range events {
		raw, err := wire.EncodeEvent(&events[i])
		must(t, err)
		platform.Entries = append(platform.Entries, push.Entry{Timestamp: events[i].Time, Line: string(raw)})
	}
	return &push.PushRequest{Streams: []push.Stream{lines, platform}}
}

// sendAll sends one half of the facts under all names.
func sendAll(t *testing.T, c *wire.Client, mark string, first bool, headerTenant string) {
	t.Helper()
	var events []faas.Event
	lines := &push.PushRequest{}
	for _, name := range names {
		h := history{name: name, mark: mark, claimed: "alice"}
		its := h.events(first)
		events = append(events, its...)
		for _, ms := range map[bool][]int{true: {150, 320}, false: {330, 700}}[first] {
			lines.Streams = append(lines.Streams, h.push(t, ms, its).Streams...)
		}
	}
	must(t, c.SendEvents(t.Context(), events))
	must(t, c.Push(t.Context(), headerTenant, lines))
}

// rows gives all that a tenant has in all tables of rows, without their
// revisions. Figures by the minute are made of the rows, and later.
func rows(t *testing.T, conn driver.Conn, tenant string) map[string]string {
	t.Helper()
	tables := strings.Fields(query(t, conn, `SELECT table FROM system.columns WHERE database = currentDatabase() AND name = 'tenant'
		AND table NOT LIKE 'rollup%' AND table NOT LIKE '%minutes' ORDER BY table`))
	if len(tables) < 7 {
		t.Fatalf("only %q have a tenant", tables)
	}
	all := map[string]string{}
	for _, table := range tables {
		all[table] = query(t, conn, fmt.Sprintf(`SELECT toString(tuple(* EXCEPT revision)) AS r FROM %s FINAL WHERE tenant = '%s' ORDER BY r`, table, tenant))
	}
	return all
}

// TestTenantsApart has bob send all that alice sends, under the same names of
// everything and in her name, before, between and after her own facts: what is
// stored of hers is what is stored when she is alone.
func TestTenantsApart(t *testing.T) {
	run := func(conn driver.Conn, disturbed bool) map[string]string {
		s := start(t, conn)
		alice, bob := guarded(t, s)
		disturb := func(first bool) {
			if !disturbed {
				return
			}
			sendAll(t, bob, "of bob", first, "")
			if err := bob.Push(t.Context(), "alice", lines(400, "of bob")); err == nil || !strings.Contains(err.Error(), "403") {
				t.Errorf("bob pushes as alice: %v", err)
			}
		}
		disturb(true)
		sendAll(t, alice, "of alice", true, "alice")
		disturb(true)
		disturb(false)
		s.stop()
		s = start(t, conn) // which reads back what it knew
		alice, bob = guarded(t, s)
		disturb(true)
		sendAll(t, alice, "of alice", false, "alice")
		before := rows(t, conn, "alice")
		disturb(true)
		disturb(false)
		s.stop()
		after := rows(t, conn, "alice")
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("what bob sends changes what alice has (-before +after):\n%.4000s", diff)
		}
		return after
	}
	disturbed := migrated(t)
	with := run(disturbed, true)
	if diff := cmp.Diff(run(migrated(t), false), with); diff != "" {
		t.Errorf("alice beside bob differs from alice alone (-alone +beside):\n%.4000s", diff)
	}
	for table, hers := range with {
		if hers == "" || strings.Contains(hers, "of bob") {
			t.Errorf("%s has of alice:\n%.2000s", table, hers)
		}
	}
	for table, his := range rows(t, disturbed, "bob") {
		if strings.Count(his, "\n") < len(names) || strings.Contains(his, "of alice") {
			t.Errorf("%s has of bob:\n%.2000s", table, his)
		}
	}
	if others := query(t, disturbed, `SELECT DISTINCT tenant FROM logs WHERE tenant NOT IN ('alice', 'bob')`); others != "" {
		t.Errorf("there are rows of %q", others)
	}
}

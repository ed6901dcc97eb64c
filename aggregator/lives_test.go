package aggregator_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/aggregator"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// TestDeaths: two lives of an instance, each with a request whose end only the
// instance's end tells, until the platform tells one of them; each fact comes to
// another aggregator.
func TestDeaths(t *testing.T) {
	conn := migrated(t)
	code := 137
	for n, e := range []faas.Event{
		event("1", 0, faas.Demanded{RequestID: "req-a", Initialization: faas.OnDemand}),
		event("2", 100, faas.Ready{}),
		event("3", 110, faas.InvocationStarted{RequestID: "req-a"}),
		event("4", 120, faas.InvocationStarted{RequestID: "req-b"}),
		event("5", 200, faas.Stopped{Reason: "killed", OOM: true, ExitCode: &code}),
		event("6", 150, faas.InvocationEnded{RequestID: "req-b", StartedAt: at(120), Status: faas.StatusTimeout, Error: "too slow"}),
		event("7", 1000, faas.Demanded{RequestID: "req-c", Initialization: faas.OnDemand}),
		event("8", 1100, faas.Ready{}),
		event("9", 1110, faas.InvocationStarted{RequestID: "req-c"}),
		event("10", 1200, faas.Stopped{Reason: "error", ExitCode: new(int)}),
		event("11", 1190, faas.InvocationStarted{RequestID: "req-d"}),
	} {
		s := start(t, conn)
		must(t, s.client.SendEvents(t.Context(), []faas.Event{e}))
		if n == 4 {
			must(t, s.client.SendEvents(t.Context(), []faas.Event{{ // seen from outside, late, and less exactly
				ID: "seen", Source: "host-1", Observed: true, Time: at(203), Ref: ref, Data: faas.Stopped{Reason: "exited", MemoryPeak: 77},
			}}))
		}
		s.stop()
	}
	got := query(t, conn, `SELECT concat(request_id, ' ', coalesce(status, closed_status, 'running'), ' ', coalesce(error, closed_error, ''), ' ', ifNull(closed_by, ''))
		FROM invocations FINAL ORDER BY started_at`)
	const want = `req-a oom the instance was killed during the request: out of memory (exit code 137, SIGKILL) oom
req-b timeout too slow oom
req-c error the instance ended during the request (exit code 0) crash
req-d error the instance ended during the request (exit code 0) crash
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = query(t, conn, `SELECT concat(toString(life), ' ', request_id, ' ', toString(dateDiff('millisecond', demanded_at, stopped_at)), ' ', stop_reason, ' ', toString(ifNull(memory_peak, 0)))
		FROM cold_starts FINAL ORDER BY life`)
	if diff := cmp.Diff("0 req-a 200 killed 77\n1 req-c 200 error 0\n", got); diff != "" {
		t.Error(diff)
	}
}

// TestLittleMemory: an aggregator that remembers next to nothing reads back what
// it has forgotten, also what it has just settled and not written yet.
func TestLittleMemory(t *testing.T) {
	conn := migrated(t)
	cfg := aggregator.DefaultConfig()
	cfg.Correlate.Memory = 8 << 10
	s := startWith(t, conn, cfg)
	const instances, requests = 20, 5
	for n := range requests {
		var events []faas.Event
		for i := range instances {
			e := event(fmt.Sprint(i, n), 100*n, faas.InvocationStarted{RequestID: fmt.Sprint("req-", i, "-", n)})
			e.Instance = fmt.Sprint("i-", i)
			events = append(events, e)
		}
		must(t, s.client.SendEvents(t.Context(), events))
		for i := range events {
			d := faas.InvocationEnded{RequestID: events[i].Data.(faas.InvocationStarted).RequestID, StartedAt: events[i].Time, Status: faas.StatusOK}
			events[i].ID += "end"
			events[i].Time, events[i].Data = events[i].Time.Add(50e6), d
		}
		must(t, s.client.SendEvents(t.Context(), events))
	}
	for i := range instances {
		req := lines(0)
		for n := range requests {
			one := lines(100*n+10, "a line")
			one.Streams[0].Labels = fmt.Sprintf(`{namespace="demo",function="webapp",version="1",instance="i-%d",stream="stdout"}`, i)
			one.Streams[0].Entries[0].StructuredMetadata = wire.Position(uint64(i+1), uint64(n))
			req.Streams = append(req.Streams, one.Streams[0])
		}
		must(t, s.client.Push(t.Context(), "default", req))
	}
	got := query(t, conn, `SELECT toString((attribution, count(), uniq(request_id))) FROM logs FINAL WHERE stream = 'stdout' GROUP BY attribution`)
	if want := fmt.Sprintf("('window',%d,%d)\n", instances*requests, instances*requests); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestOldLines: events that come long after their lines, of which only a few are
// remembered, correct all of them; so does another aggregator.
func TestOldLines(t *testing.T) {
	conn := migrated(t)
	cfg := aggregator.DefaultConfig()
	cfg.Correlate.InstanceLines = 5
	s := startWith(t, conn, cfg)
	var bodies []string
	for n := range 40 {
		bodies = append(bodies, fmt.Sprint("line ", n))
	}
	must(t, s.client.Push(t.Context(), "default", lines(0, bodies...)))
	must(t, s.client.Push(t.Context(), "default", lines(40, bodies...)))
	must(t, s.client.SendEvents(t.Context(), []faas.Event{
		event("1", 0, faas.InvocationStarted{RequestID: "req-a"}), event("2", 30, faas.InvocationEnded{RequestID: "req-a", StartedAt: at(0), Status: faas.StatusOK}),
	}))
	s.stop()
	s = startWith(t, conn, cfg)
	must(t, s.client.SendEvents(t.Context(), []faas.Event{event("3", 50, faas.InvocationStarted{RequestID: "req-b"})}))
	const sql = `SELECT concat(request_id, ' ', toString(attribution), ' ', toString(count()))
		FROM logs FINAL WHERE stream = 'stdout' GROUP BY request_id, attribution ORDER BY min(ts)`
	if diff := cmp.Diff("req-a window 31\nreq-a late 19\nreq-b window 30\n", query(t, conn, sql)); diff != "" {
		t.Error(diff)
	}
}

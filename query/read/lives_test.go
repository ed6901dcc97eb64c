package read_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// TestClosed: what its instance's end says of a request counts until somebody
// has told the request's own end, whichever was written first.
func TestClosed(t *testing.T) {
	conn := readtest.DB(t)
	row := func(id string) schema.InvocationRow {
		return schema.InvocationRow{Tenant: "default", Namespace: "n", Function: "f", StartedAt: readtest.At(0), RequestID: id, Instance: "i"}
	}
	closed := func(id string) schema.InvocationRow {
		r := row(id)
		r.ClosedAt, r.ClosedStatus, r.ClosedError, r.ClosedBy = new(readtest.At(2)), new("oom"), new("killed"), new("oom")
		return r
	}
	told := func(id string) schema.InvocationRow {
		r := row(id)
		r.EndedAt, r.Status, r.Error, r.DurationNS = new(readtest.At(1)), new("ok"), new(""), new(int64(time.Second))
		return r
	}
	readtest.Insert(t, conn, schema.Invocations, row("open"), closed("closed"), closed("told after"), told("told before"))
	readtest.Insert(t, conn, schema.Invocations, told("told after"), closed("told before"))
	exec(t, conn, "OPTIMIZE TABLE invocations FINAL")
	r := read.New(conn)
	want := map[string]string{"open": "running  0 ", "closed": "oom killed 2000 oom", "told after": "ok  1000 ", "told before": "ok  1000 "}
	for id, want := range want {
		page, err := r.Request(t.Context(), "default", read.RequestFilter{ID: id}, readtest.At(5))
		if err != nil {
			t.Fatal(err)
		}
		v := page.Invocation
		ms := 0.0
		if v.DurationMS != nil {
			ms = *v.DurationMS
		}
		if got := fmt.Sprint(v.Status, " ", v.Error, " ", ms, " ", v.ClosedBy); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
	for status, want := range map[faas.Status]int{faas.StatusRunning: 1, faas.StatusOOM: 1, faas.StatusOK: 2} {
		list, err := r.Invocations(t.Context(), "default", read.InvocationQuery{InvocationFilter: read.InvocationFilter{Statuses: []faas.Status{status}}, Limit: 10})
		if err != nil || len(list.Requests) != want {
			t.Errorf("%s: %d requests, want %d, %v", status, len(list.Requests), want, err)
		}
	}
	functions, err := r.Functions(t.Context(), "default", read.Range{})
	if err != nil || functions.Functions[0].Errors != 1 {
		t.Errorf("%+v %v", functions, err)
	}
}

// TestLives: a request's start is that of the life that served it, with the
// phases of that life; both lives are starts.
func TestLives(t *testing.T) {
	conn := readtest.DB(t)
	for n, begin := range []float64{0, 100} {
		id := fmt.Sprint("r", n)
		readtest.Insert(t, conn, schema.ColdStarts, schema.ColdStartRow{
			Tenant: "default", Namespace: "n", Function: "f", Instance: "i", Life: uint32(n), Initialization: new("on-demand"), RequestID: &id,
			DemandedAt: new(readtest.At(begin)), ReadyAt: new(readtest.At(begin + 2)), StoppedAt: new(readtest.At(begin + 50)),
		})
		readtest.Insert(t, conn, schema.Phases, schema.PhaseRow{
			Tenant: "default", Namespace: "n", Function: "f", Instance: "i", Phase: "init", Start: readtest.At(begin + 1), End: readtest.At(begin + 2), Revision: 1,
		})
		readtest.Insert(t, conn, schema.Invocations, schema.InvocationRow{
			Tenant: "default", Namespace: "n", Function: "f", Instance: "i", RequestID: id, QueuedAt: new(readtest.At(begin)), StartedAt: readtest.At(begin + 2),
			EndedAt: new(readtest.At(begin + 3)), Status: new("ok"), Cold: new(true), ColdWaitNS: new(int64(2e9)),
		})
	}
	exec(t, conn, "OPTIMIZE TABLE cold_starts FINAL")
	r := read.New(conn)
	for n := range 2 {
		page, err := r.Request(t.Context(), "default", read.RequestFilter{ID: fmt.Sprint("r", n)}, readtest.At(200))
		if err != nil {
			t.Fatal(err)
		}
		s := page.ColdStart
		if s == nil || s.Life != uint32(n) || s.RequestID != fmt.Sprint("r", n) || len(s.Phases) != 1 || s.Phases[0].Start.Before(*s.DemandedAt) || s.Phases[0].End.After(*s.StoppedAt) {
			t.Errorf("life %d: %+v", n, s)
		}
	}
	starts, _, err := r.ColdStarts(t.Context(), "default", read.StartFilter{})
	if err != nil || len(starts) != 2 || len(starts[0].Phases) != 1 || len(starts[1].Phases) != 1 {
		t.Errorf("%+v %v", starts, err)
	}
}

// TestOwnLines: the page of a request that was tried several times shows the
// lines of its newest attempt, also where the platform's clock is another one
// than that of the lines.
func TestOwnLines(t *testing.T) {
	conn := readtest.DB(t)
	const ahead = 100.0
	readtest.Insert(t, conn, schema.ColdStarts, schema.ColdStartRow{
		Tenant: "default", Namespace: "n", Function: "f", Instance: "i", ClockOffsetNS: new(int64(ahead * 1e9)), ClockSlackNS: new(int64(0)),
	})
	attempt := func(instance string, from, to float64, status string) schema.InvocationRow {
		return schema.InvocationRow{
			Tenant: "default", Namespace: "n", Function: "f", Instance: instance, RequestID: "r", QueuedAt: new(readtest.At(ahead)),
			StartedAt: readtest.At(ahead + from), EndedAt: new(readtest.At(ahead + to)), Status: &status,
		}
	}
	readtest.Insert(t, conn, schema.Invocations, attempt("j", 0.1, 0.2, "error"), attempt("i", 0.3, 0.4, "error"), attempt("i", 0.6, 0.8, "ok"))
	line := func(at float64, instance, request string, attribution faas.Attribution, body string) schema.LogRow {
		return schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: "default", Namespace: "n", Function: "f", Instance: instance},
				Time: readtest.At(at), Stream: "stdout", Body: body, FileID: 1, Offset: uint64(at * 1000),
			},
			RequestID: request, Attribution: attribution, Revision: 1,
		}
	}
	readtest.Insert(t, conn, schema.Logs,
		line(0.15, "j", "r", "window", "elsewhere"), line(0.35, "i", "r", "window", "before"), line(0.45, "i", "r", "late", "before, late"),
		line(0.65, "i", "r", "window", "own"), line(0.7, "i", "", "ambiguous", "maybe"), line(0.85, "i", "r", "late", "own, late"), line(50, "k", "r", "explicit", "of a helper"))
	page, err := read.New(conn).Request(t.Context(), "default", read.RequestFilter{ID: "r"}, readtest.At(500))
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for _, l := range page.Lines {
		bodies = append(bodies, l.Body)
	}
	if want := []string{"own", "maybe", "own, late", "of a helper"}; !slices.Equal(bodies, want) || len(page.Attempts) != 2 {
		t.Errorf("%q, want %q; %d earlier attempts", bodies, want, len(page.Attempts))
	}
}

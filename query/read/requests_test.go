package read_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// handled is one request as the test knows it.
type handled struct {
	id, function, instance, version, trigger, status, err, closedBy string
	host, digest, initialization, line                              string
	http                                                            uint16
	at                                                              time.Time
	duration, wait                                                  int64 // -1: none
	cold                                                            bool
}

// handle fills conn with n requests of three functions, told in parts, and with
// the same ones of another tenant.
func handle(t testing.TB, conn driver.Conn, n int) []handled {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	var all []handled
	var told, ended []schema.InvocationRow
	var starts []schema.ColdStartRow
	var lines []schema.LogRow
	at := readtest.T0
	instances := map[string]bool{}
	for i := range n {
		if i%3 != 0 {
			at = at.Add(time.Duration(r.IntN(40)) * time.Second)
		}
		f, k := fmt.Sprint("f", r.IntN(3)), r.IntN(3)
		h := handled{
			id: fmt.Sprintf("%c%03d", "abc"[r.IntN(3)], i), function: f, instance: fmt.Sprint("i", k, "-", f), version: fmt.Sprint("v", k), trigger: []string{"http", "timer"}[r.IntN(2)],
			host: fmt.Sprint("h", k), digest: fmt.Sprint("sha256:", k), initialization: []string{"on-demand", "provisioned"}[k%2],
			at: at, duration: -1, wait: -1, status: "running", line: strange[r.IntN(5)],
		}
		started := schema.InvocationRow{
			Tenant: readtest.Tenant, Namespace: "n", Function: f, StartedAt: at, RequestID: h.id, Instance: h.instance, Version: &h.version, Trigger: &h.trigger,
		}
		end := started
		end.Version, end.Trigger = nil, nil
		switch r.IntN(4) {
		case 0: // still runs
		case 1:
			h.status, h.err, h.closedBy, h.duration = "oom", "Killed", "oom", int64(r.IntN(5))*int64(time.Second)
			end.ClosedStatus, end.ClosedError, end.ClosedBy, end.ClosedAt = &h.status, &h.err, &h.closedBy, new(at.Add(time.Duration(h.duration)))
		default:
			h.status, h.http, h.duration = []string{"ok", "error", "timeout"}[r.IntN(3)], []uint16{200, 500}[r.IntN(2)], int64(r.IntN(4000))*int64(time.Millisecond)
			if h.status != "ok" {
				h.err = "It BROKE: 100% of _it"
			}
			end.Status, end.HTTPStatus, end.DurationNS, end.EndedAt, end.Error = &h.status, &h.http, &h.duration, new(at.Add(time.Duration(h.duration))), &h.err
		}
		if r.IntN(3) == 0 {
			h.cold, h.wait = true, int64(r.IntN(9))*int64(time.Second)
			started.Cold, started.ColdWaitNS = new(true), &h.wait
		}
		told, ended = append(told, started), append(ended, end)
		if !instances[h.instance] {
			instances[h.instance] = true
			starts = append(starts, schema.ColdStartRow{Tenant: readtest.Tenant, Namespace: "n", Function: f, Instance: h.instance, Host: &h.host, Digest: &h.digest, Initialization: &h.initialization, DemandedAt: new(at)})
		}
		lines = append(lines, schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: readtest.Tenant, Namespace: "n", Function: f, Instance: h.instance},
				Time: at.Add(time.Millisecond), Stream: "stdout", Body: h.line, FileID: 5, Offset: uint64(i),
			},
			Attribution: "explicit", RequestID: h.id, Revision: 1,
		})
		all = append(all, h)
	}
	readtest.Insert(t, conn, schema.Invocations, ended...)
	readtest.Insert(t, conn, schema.Invocations, told...)
	readtest.Insert(t, conn, schema.Invocations, told[:n/2]...)
	readtest.Insert(t, conn, schema.ColdStarts, starts...)
	readtest.Insert(t, conn, schema.Logs, lines...)
	for i := range told {
		told[i].Tenant, told[i].RequestID = "other", "theirs "+told[i].RequestID
	}
	readtest.Insert(t, conn, schema.Invocations, told...)
	return all
}

// requestCases are filters, and which requests they mean.
func requestCases() map[string]struct {
	f     read.InvocationFilter
	meets func(*handled) bool
} {
	yes := true
	return map[string]struct {
		f     read.InvocationFilter
		meets func(*handled) bool
	}{
		"all":            {read.InvocationFilter{}, func(*handled) bool { return true }},
		"function":       {read.InvocationFilter{Namespace: "n", Function: "f1"}, func(h *handled) bool { return h.function == "f1" }},
		"version":        {read.InvocationFilter{Version: "v2"}, func(h *handled) bool { return h.version == "v2" }},
		"instance":       {read.InvocationFilter{Instance: "i1-f0"}, func(h *handled) bool { return h.instance == "i1-f0" }},
		"prefix":         {read.InvocationFilter{Prefix: "b0"}, func(h *handled) bool { return strings.HasPrefix(h.id, "b0") }},
		"prefix %":       {read.InvocationFilter{Prefix: "%"}, func(*handled) bool { return false }},
		"trigger":        {read.InvocationFilter{Trigger: "timer"}, func(h *handled) bool { return h.trigger == "timer" }},
		"statuses":       {read.InvocationFilter{Statuses: []faas.Status{"running", "oom"}}, func(h *handled) bool { return h.status == "running" || h.status == "oom" }},
		"closed by":      {read.InvocationFilter{ClosedBy: []string{"oom", "crash"}}, func(h *handled) bool { return h.closedBy == "oom" }},
		"http":           {read.InvocationFilter{HTTPStatus: 500}, func(h *handled) bool { return h.http == 500 }},
		"error":          {read.InvocationFilter{Error: "broke: 100% of _"}, func(h *handled) bool { return strings.HasPrefix(h.err, "It") }},
		"error, closed":  {read.InvocationFilter{Error: "killed"}, func(h *handled) bool { return h.err == "Killed" }},
		"duration":       {read.InvocationFilter{MinDuration: time.Second, MaxDuration: 3 * time.Second}, func(h *handled) bool { return h.duration >= 1e9 && h.duration <= 3e9 }},
		"cold":           {read.InvocationFilter{Cold: &yes, Function: "f2"}, func(h *handled) bool { return h.cold && h.function == "f2" }},
		"initialization": {read.InvocationFilter{Initialization: "provisioned"}, func(h *handled) bool { return h.initialization == "provisioned" }},
		"host, digest":   {read.InvocationFilter{Host: "h2", Digest: "sha256:2"}, func(h *handled) bool { return h.host == "h2" }},
		"text":           {read.InvocationFilter{Texts: []read.Text{{Text: "ÜNÏ", Fold: true}}}, func(h *handled) bool { return strings.HasPrefix(h.line, "ün") }},
		"texts":          {read.InvocationFilter{Texts: []read.Text{{Text: `C:\temp`}, {Text: "new"}}, Function: "f0"}, func(h *handled) bool { return strings.HasPrefix(h.line, "C:") && h.function == "f0" }},
		"range": {read.InvocationFilter{Range: read.Range{Since: readtest.At(300), Until: readtest.At(900)}}, func(h *handled) bool {
			return !h.at.Before(readtest.At(300)) && h.at.Before(readtest.At(900))
		}},
	}
}

// TestRequests: each filter finds what it says, in each order, piece by piece,
// on one server and on two shards.
func TestRequests(t *testing.T) {
	for name, conn := range map[string]driver.Conn{"one": readtest.DB(t), "two shards": readtest.Cluster(t)} {
		all := handle(t, conn, 150)
		r := read.New(conn)
		for what, c := range requestCases() {
			for sort, value := range map[read.Sort]func(*handled) int64{
				read.ByTime: func(h *handled) int64 { return h.at.UnixNano() }, read.ByDuration: func(h *handled) int64 { return h.duration },
				read.ByInit: func(h *handled) int64 { return h.wait },
			} {
				if what != "all" && what != "statuses" && sort == read.ByInit {
					continue
				}
				for _, ascending := range []bool{true, false} {
					var want []string
					for _, h := range slices.SortedFunc(slices.Values(all), func(a, b handled) int {
						return cmp.Or(cmp.Compare(value(&a), value(&b)), a.at.Compare(b.at), cmp.Compare(a.id, b.id))
					}) {
						if c.meets(&h) {
							want = append(want, h.id)
						}
					}
					if !ascending {
						slices.Reverse(want)
					}
					q := read.InvocationQuery{InvocationFilter: c.f, Sort: sort, Ascending: ascending, Limit: 61}
					got := listAll(t, r, q)
					if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || len(want) == 0 && what != "prefix %" {
						t.Errorf("%s, %s by %s, ascending %v (-want +got):\n%s", name, what, sort, ascending, diff)
					}
				}
			}
		}
	}
}

func listAll(t *testing.T, r *read.Reader, q read.InvocationQuery) (ids []string) {
	t.Helper()
	for {
		list, err := r.Invocations(t.Context(), readtest.Tenant, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range list.Requests {
			ids = append(ids, v.RequestID)
		}
		if list.NextCursor == "" {
			return ids
		}
		if len(list.Requests) != q.Limit {
			t.Fatalf("%d requests and a cursor", len(list.Requests))
		}
		if q.After, err = read.ParseCursor(list.NextCursor); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBeside: a page shows what its instance handled before and after.
func TestBeside(t *testing.T) {
	conn := readtest.DB(t)
	all := handle(t, conn, 150)
	h := all[70]
	page, err := read.New(conn).Request(t.Context(), readtest.Tenant, read.RequestFilter{ID: h.id}, readtest.At(9000))
	if err != nil {
		t.Fatal(err)
	}
	var ids, got []string
	here := 0
	slices.SortStableFunc(all, func(a, b handled) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
	for _, o := range all {
		if o.instance != h.instance {
			continue
		}
		if o.id == h.id {
			here = len(ids)
			continue
		}
		ids = append(ids, o.id)
	}
	for _, v := range page.Neighbours {
		got = append(got, v.RequestID)
	}
	if diff := gocmp.Diff(ids[max(0, here-5):min(len(ids), here+5)], got); diff != "" || len(got) != 10 {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCursorOfAnotherOrder: a cursor is good for its own order only.
func TestCursorOfAnotherOrder(t *testing.T) {
	conn := readtest.DB(t)
	handle(t, conn, 20)
	r := read.New(conn)
	list, err := r.Invocations(t.Context(), readtest.Tenant, read.InvocationQuery{Sort: read.ByDuration, Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	at, err := read.ParseCursor(list.NextCursor)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []read.InvocationQuery{{Limit: 2, After: at}, {Limit: 2, After: at, Sort: read.ByDuration, Ascending: true}, {Limit: 2, After: at, Sort: read.ByInit}} {
		if _, err := r.Invocations(t.Context(), readtest.Tenant, q); err == nil {
			t.Errorf("%+v is taken", q)
		}
	}
}

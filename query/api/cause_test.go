package api_test

import (
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/api"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// history writes what a function's instances did, each in a function of its own.
type history struct {
	*testing.T
	conn     driver.Conn
	function string
	starts   []schema.ColdStartRow
	requests []schema.InvocationRow
	layers   []schema.LayerRow
}

// start is an instance that was demanded at a time and ready a second later.
func (h *history) start(instance string, at float64, change ...func(*schema.ColdStartRow)) {
	r := schema.ColdStartRow{
		Tenant: readtest.Tenant, Namespace: "n", Function: h.function, Instance: instance, Version: new("1"), Digest: new("sha256:1"), MemoryLimit: new(int64(128)),
		Host: new("host-1"), Initialization: new("on-demand"), DemandedAt: new(readtest.At(at)), ReadyAt: new(readtest.At(at + 1)),
	}
	for _, c := range change {
		c(&r)
	}
	h.starts = append(h.starts, r)
}

func stopped(at float64, reason string) func(*schema.ColdStartRow) {
	return func(r *schema.ColdStartRow) { r.StoppedAt, r.StopReason = new(readtest.At(at)), &reason }
}

func provisioned(r *schema.ColdStartRow) { r.Initialization, r.RequestID = new("provisioned"), nil }

// request is one that an instance served; to 0 is one that still runs.
func (h *history) request(id, instance string, from, to float64, status string) {
	r := schema.InvocationRow{
		Tenant: readtest.Tenant, Namespace: "n", Function: h.function, RequestID: id, Instance: instance, StartedAt: readtest.At(from), QueuedAt: new(readtest.At(from)),
	}
	if to > 0 {
		r.EndedAt, r.Status = new(readtest.At(to)), &status
	}
	h.requests = append(h.requests, r)
}

// TestCauses: each cause of a start, over the real engine. In each history the
// start in question is that of instance "now", demanded at 1000 s by request
// "asked" + its name, which is cold there.
func TestCauses(t *testing.T) {
	conn := readtest.DB(t)
	asked := func(r *schema.ColdStartRow) { r.RequestID = new("asked " + r.Function) }
	cases := map[string]struct {
		write          func(h *history)
		says, besides  string
		ready, waiting int
	}{
		"first-start": {write: func(h *history) { h.start("now", 1000, asked) }, says: "first start"},
		"new-version": {write: func(h *history) {
			h.start("old", 100)
			h.start("now", 1000, asked, func(r *schema.ColdStartRow) { r.Version, r.Digest = new("2"), new("sha256:2") })
		}, says: "another version: 1, now 2"},
		"new-image": {write: func(h *history) {
			h.start("old", 100)
			h.start("now", 1000, asked, func(r *schema.ColdStartRow) { r.Digest = new("sha256:2") })
		}, says: "sha256:1, now sha256:2", ready: 1},
		"new-configuration": {write: func(h *history) {
			h.start("old", 100)
			h.start("now", 1000, asked, func(r *schema.ColdStartRow) { r.MemoryLimit = new(int64(256)) })
		}, says: "memory_limit: 128, now 256", ready: 1},
		"scale-out": {write: func(h *history) {
			h.start("a", 100)
			h.start("b", 200)
			h.request("r1", "a", 990, 1010, "ok")
			h.request("r2", "b", 995, 0, "")
			h.request("r3", "b", 996, 1002, "ok")
			h.request("r4", "a", 900, 950, "ok")
			h.start("now", 1000, asked)
			h.start("later", 1005, stopped(1006, "error"))
		}, says: "All 2 ready instances were busy, with 3 requests", ready: 2},
		"scale-out burst": {write: func(h *history) {
			h.start("gone", 10, stopped(500, "idle"))
			h.start("a", 999.9)
			h.start("now", 1000, asked)
		}, says: "the 1 that were starting"},
		"spill-over": {write: func(h *history) {
			h.start("held", 100, provisioned)
			h.request("r1", "held", 990, 1010, "ok")
			h.start("now", 1000, asked)
		}, says: "1 provisioned", ready: 1},
		"idle-reclaim": {write: func(h *history) {
			h.start("a", 100, stopped(960, "idle"))
			h.request("r1", "a", 890, 900, "ok")
			h.start("now", 1000, asked)
		}, says: "had stopped (idle) 40.00 s before, 60.00 s after its last request"},
		"out-of-memory": {write: func(h *history) {
			h.start("a", 100, stopped(998, "killed"), func(r *schema.ColdStartRow) { r.OOM = new(true) })
			h.start("now", 1000, asked)
		}, says: "killed out of memory; this one was demanded 2.00 s later"},
		"crash": {write: func(h *history) {
			h.start("busy", 50)
			h.request("r1", "busy", 990, 1010, "ok")
			h.start("a", 100, stopped(998, "error"), func(r *schema.ColdStartRow) { r.ExitCode = new(int32(139)) })
			h.start("now", 1000, asked)
		}, says: "exit code 139", ready: 1},
		"scale-out, the crash was replaced": {write: func(h *history) {
			h.start("a", 100, stopped(990, "error"))
			h.start("b", 995)
			h.request("r1", "b", 997, 1010, "ok")
			h.start("now", 1000, asked)
		}, says: "All 1 ready instances were busy", ready: 1},
		"timeout": {write: func(h *history) {
			h.start("a", 100, stopped(998, "timeout"))
			h.start("now", 1000, asked)
		}, says: "took too long"},
		"failed-start": {write: func(h *history) {
			h.start("a", 990, stopped(998, "start-failed"), func(r *schema.ColdStartRow) { r.ReadyAt = nil })
			h.start("now", 1000, asked)
		}, says: "never became ready"},
		"retry": {write: func(h *history) {
			h.start("a", 100)
			h.request("asked retry", "a", 900, 930, "timeout")
			h.request("r1", "a", 990, 1010, "ok")
			h.start("now", 1000, asked)
		}, says: "tried before on instance a (timeout)", ready: 1},
		"provisioned": {write: func(h *history) {
			h.start("a", 100, stopped(500, "idle"))
			h.start("now", 1000, provisioned)
		}, says: "holds instances ready", waiting: 1},
		"unknown": {write: func(h *history) {
			h.start("long ago", -10_000)
			h.start("now", 1000, asked)
		}, says: "No other instance is known"},
		"host-without-image": {write: func(h *history) {
			h.start("a", 100)
			h.request("r1", "a", 990, 1010, "ok")
			h.start("now", 1000, asked, func(r *schema.ColdStartRow) { r.Host = new("host-2") })
			h.layers = append(h.layers, schema.LayerRow{Tenant: readtest.Tenant, Namespace: "n", Function: h.function, Instance: "now", Digest: "sha256:l", Cache: "miss"})
		}, says: "busy", besides: "1 of 1 layers were not on host-2, while host-1 had the image", ready: 1},
		"idle-reclaim, with waiters": {write: func(h *history) {
			h.start("a", 100, stopped(960, "idle"))
			h.start("now", 1000, asked)
			for _, id := range []string{"w1", "w2", "w3"} {
				h.request(id, "now", 1001.5, 1002, "ok")
				r := &h.requests[len(h.requests)-1]
				r.Cold, r.ColdWaitNS = new(true), new(int64(1))
			}
		}, says: "stopped", waiting: 3},
	}
	base := serve(t, conn) + api.Prefix
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			h := &history{T: t, conn: conn, function: name}
			test.write(h)
			h.request("asked "+name, "now", 1001.1, 1002, "ok")
			r := &h.requests[len(h.requests)-1]
			r.Cold, r.ColdWaitNS = new(true), new(int64(1_000_000_000))
			readtest.Insert(t, conn, schema.ColdStarts, h.starts...)
			readtest.Insert(t, conn, schema.Invocations, h.requests...)
			readtest.Insert(t, conn, schema.Layers, h.layers...)
			page := getInto[read.Page](t, base+"/requests/"+strings.ReplaceAll("asked "+name, " ", "%20"))
			c := page.ColdStart.Cause
			want, _, _ := strings.Cut(name, ",")
			want, _, _ = strings.Cut(want, " ")
			if want == "host-without-image" {
				want = "scale-out"
			}
			if c == nil || c.Kind != want || !strings.Contains(c.Evidence, test.says) || c.Facts.Ready != test.ready {
				t.Errorf("%+v", c)
			}
			if test.besides != "" && (len(c.Besides) != 1 || !strings.Contains(c.Besides[0].Evidence, test.besides)) {
				t.Errorf("besides %+v", c.Besides)
			}
			if w := page.ColdStart.Waiting; int(w.Count) != test.waiting || len(w.RequestIDs) != test.waiting {
				t.Errorf("waiting %+v", w)
			}
		})
	}
}

package read_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// TestUntold: a request that no platform tells of is what its own lines say.
func TestUntold(t *testing.T) {
	conn := readtest.DB(t)
	n := 0
	line := func(at float64, function, instance, request string, attribution faas.Attribution) schema.LogRow {
		n++
		return schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: "default", Namespace: "n", Function: function, Instance: instance, Version: "v" + strconv.Itoa(n)},
				Host: "h-" + instance, Time: readtest.At(at), Stream: "stdout", Body: strconv.Itoa(n), FileID: 1, Offset: uint64(n),
			},
			RequestID: request, Attribution: attribution, Revision: 1,
		}
	}
	foreign := line(1, "f", "i", "theirs", "explicit")
	foreign.Tenant = "other"
	corrected := line(3, "f", "i", "taken for it", "explicit")
	readtest.Insert(t, conn, schema.Logs,
		foreign, corrected,
		line(0, "f", "i", "", "none"),              // 3: before it
		line(1, "f", "i", "once", "explicit"),      // 4
		line(2, "f", "i", "", "none"),              // 5: nobody's, between its lines
		line(2, "f", "j", "", "none"),              // 6: another instance's
		line(3, "f", "i", "once", "explicit"),      // 7
		line(4, "f", "i", "", "none"),              // 8: behind it
		line(5, "f", "i", "retried", "explicit"),   // 9
		line(6, "f", "i", "retried", "explicit"),   // 10
		line(7, "f", "j", "retried", "explicit"),   // 11
		line(8, "f", "k", "retried", "explicit"),   // 12: while j printed
		line(9, "f", "j", "retried", "explicit"),   // 13
		line(8.5, "g", "i", "retried", "explicit"), // 14: another function's
		line(20, "f", "", "nowhere", "explicit"),   // 15
		line(21, "f", "", "", "none"),              // 16: of whatever instance
		line(22, "f", "", "nowhere", "explicit"),   // 17
		line(30, "f", "i", "guessed", "window"),    // 18: of a request that is not stored any more
	)
	corrected.RequestID, corrected.Attribution, corrected.Revision = "", "none", 2
	readtest.Insert(t, conn, schema.Logs, corrected)
	readtest.Insert(t, conn, schema.Invocations, schema.InvocationRow{
		Tenant: "default", Namespace: "n", Function: "told", StartedAt: readtest.At(0), RequestID: "once", Instance: "i", Status: new("ok"),
	})
	r := read.New(conn)
	for _, test := range []struct {
		request, namespace, function string
		want                         string // ID, status, instance, version, host, seconds of the beginning and, of lines alone, of the last one, lines, earlier attempts; empty: not found
	}{
		{"once", "", "", "told ok i   0s []"},
		{"once", "n", "told", "told ok i   0s []"},
		{"once", "", "f", "f unknown i v7 h-i 1s-3s [4 5 2 7]"},
		{"once", "n", "f", "f unknown i v7 h-i 1s-3s [4 5 2 7]"},
		{"retried", "", "", "g unknown i v14 h-i 8.5s-8.5s [14] f/k f/j f/i"},
		{"retried", "", "f", "f unknown k v12 h-k 7s-9s [11 12 13] f/i"},
		{"retried", "n", "g", "g unknown i v14 h-i 8.5s-8.5s [14]"},
		{"nowhere", "", "", "f unknown  v17 h- 20s-22s [15 17]"},
		{"once", "n", "h", ""},
		{"once", "m", "f", ""},
		{"theirs", "", "", ""},
		{"taken for it", "", "", ""},
		{"guessed", "", "", ""},
		{"", "", "", ""},
		{"once' OR 1=1 --", "n' OR 1=1 --", "f\\", ""},
		{"once", "n\x00", "{function:String}", ""},
	} {
		f := read.RequestFilter{ID: test.request, Namespace: test.namespace, Function: test.function}
		page, err := r.Request(t.Context(), "default", f, readtest.At(3600))
		if errors.Is(err, read.ErrNotFound) {
			if test.want != "" {
				t.Errorf("%+v is not found", f)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, said(page)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", f, diff)
		}
	}
	// Its log file is accounted for, but nobody knows when the request ended.
	readtest.Insert(t, conn, schema.Ledgers, schema.LedgerRow{
		Tenant: "default", Namespace: "n", Function: "f", Instance: "i", FileID: "0000000000000001",
		From: new(readtest.At(0)), To: new(readtest.At(99)), Complete: true, Revision: 1,
	})
	readtest.Insert(t, conn, schema.Invocations, schema.InvocationRow{
		Tenant: "default", Namespace: "n", Function: "f", StartedAt: readtest.At(1), EndedAt: new(readtest.At(3)), RequestID: "beside", Instance: "i", Status: new("ok"),
	})
	for request, want := range map[string]string{"once": read.Unknown, "beside": read.Complete} {
		page, err := r.Request(t.Context(), "default", read.RequestFilter{ID: request, Function: "f"}, readtest.At(3600))
		if err != nil || page.Completeness.State != want {
			t.Errorf("%s: %+v %v, want %s", request, page, err, want)
		}
	}
}

// TestUntoldStart: the start that was demanded for a request is on its page, and
// its lines are on the clock of the platform.
func TestUntoldStart(t *testing.T) {
	conn := readtest.DB(t)
	line := func(at float64, request, attribution string) schema.LogRow {
		return schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: "default", Namespace: "n", Function: "f", Instance: "i"},
				Time: readtest.At(at), Stream: "stdout", Body: attribution, FileID: 1, Offset: uint64(at),
			},
			RequestID: request, Attribution: faas.Attribution(attribution), Revision: 1,
		}
	}
	readtest.Insert(t, conn, schema.Logs, line(1, "", "init"), line(10, "first", "explicit"), line(20, "second", "explicit"), line(21, "", "none"), line(22, "second", "explicit"))
	readtest.Insert(t, conn, schema.ColdStarts, schema.ColdStartRow{
		Tenant: "default", Namespace: "n", Function: "f", Instance: "i", Host: new("the host"), RequestID: new("first"),
		DemandedAt: new(readtest.At(100)), ReadyAt: new(readtest.At(105)), ClockOffsetNS: new(int64(100 * time.Second)),
	})
	r := read.New(conn)
	for request, want := range map[string]string{
		"first":  "f unknown i  the host 1m50s-1m50s [init explicit]",
		"second": "f unknown i  the host 2m0s-2m2s [explicit none explicit]",
	} {
		page, err := r.Request(t.Context(), "default", read.RequestFilter{ID: request}, readtest.At(3600))
		if err != nil {
			t.Fatal(err)
		}
		if got := said(page); got != want || page.Invocation.Cold != (request == "first") || (page.ColdStart != nil) != page.Invocation.Cold {
			t.Errorf("%q, cold %v, want %q", got, page.Invocation.Cold, want)
		}
	}
}

// said is a page in short.
func said(page *read.Page) string {
	v := &page.Invocation
	var lines, earlier []string
	for _, l := range page.Lines {
		lines = append(lines, l.Body)
	}
	for _, a := range page.Attempts {
		earlier = append(earlier, " "+a.Function+"/"+a.Instance)
	}
	times := v.StartedAt.Sub(readtest.T0).String()
	if v.LastLineAt != nil {
		times += "-" + v.LastLineAt.Sub(readtest.T0).String()
	}
	return fmt.Sprint(v.Function, " ", v.Status, " ", v.Instance, " ", v.Version, " ", v.Host, " ", times, " ", lines, strings.Join(earlier, ""))
}

package scf_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdk "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/scf/v20180416"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// TestRequestStatus: RetCode and MemUsage mean something else than in a log,
// and without times only the last quarter of an hour is looked through.
func TestRequestStatus(t *testing.T) {
	w := fill(t)
	c := client(t, serve(t, handler(t, w.conn)), secretID, secretKey)
	for id, want := range map[string][]string{
		"cold": {"0 60 29.734375 0 "}, "second": {"-1 500 0 0 timed out after 500ms"}, "running": {"1 0 0 0 "}, "stopped": {"-1 100 0 0 cancelled"},
		"crashed": {"-1 1500 0 0 exit code 2"}, "thrice": {"0 1000 0 2 ", "-1 1000 0 1 oom", "-1 1000 0 0 error"}, "nobody": {}, "untold": {}, "elsewhere": {}, "foreign": {},
	} {
		r := newStatusRequest("fn", id)
		r.StartTime, r.EndTime = new("2026-05-05 00:00:00"), new("2026-05-06 00:00:00")
		answer, err := getRequestStatus(c, r)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		got := []string{}
		for _, s := range answer.Response.Data {
			got = append(got, fmt.Sprint(s.RetCode, s.Duration, s.MemUsage, s.RetryNum, " ", s.RetMsg))
			if s.RequestId != id || s.FunctionName != "fn" || !strings.HasPrefix(s.StartTime, "2026-05-05 00:0") {
				t.Errorf("%+v", s)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || answer.Response.TotalCount != int64(len(want)) {
			t.Errorf("%s: TotalCount %d\n%s", id, answer.Response.TotalCount, diff)
		}
	}

	now := time.Now()
	row := func(id string, ago time.Duration) schema.InvocationRow {
		return schema.InvocationRow{Tenant: "default", Namespace: "default", Function: "fn", Instance: "i1", RequestID: id, StartedAt: now.Add(-ago)}
	}
	readtest.Insert(t, w.conn, schema.Invocations, row("new", time.Minute), row("old", 16*time.Minute))
	for id, want := range map[string]int64{"new": 1, "old": 0} {
		answer, err := getRequestStatus(c, newStatusRequest("fn", id))
		if err != nil || answer.Response.TotalCount != want {
			t.Errorf("%s: %+v %v", id, answer.Response, err)
		}
	}
}

// TestFunctions lists functions of which only a start is known, too.
func TestFunctions(t *testing.T) {
	w := fill(t)
	readtest.Insert(t, w.conn, schema.ColdStarts, schema.ColdStartRow{
		Tenant: "default", Namespace: "default", Function: "Ready-To-Go", Instance: "i8", Initialization: new("provisioned"), Version: new("v1"), DemandedAt: new(at(100)), ReadyAt: new(at(101)),
	})
	c := client(t, serve(t, handler(t, w.conn)), secretID, secretKey)
	values := func(v ...string) (list []*string) {
		for i := range v {
			list = append(list, &v[i])
		}
		return list
	}
	for name, c2 := range map[string]struct {
		change func(*sdk.ListFunctionsRequest)
		want   string
		total  int64
	}{
		"all":       {func(*sdk.ListFunctionsRequest) {}, "Ready-To-Go fn", 2},
		"by name":   {func(r *sdk.ListFunctionsRequest) { r.Orderby, r.Order = new("FunctionName"), new("DESC") }, "fn Ready-To-Go", 2},
		"oldest":    {func(r *sdk.ListFunctionsRequest) { r.Orderby, r.Order = new("ModTime"), new("ASC") }, "fn Ready-To-Go", 2},
		"a page":    {func(r *sdk.ListFunctionsRequest) { r.Offset, r.Limit = new(int64(1)), new(int64(1)) }, "fn", 2},
		"behind":    {func(r *sdk.ListFunctionsRequest) { r.Offset = new(int64(5)) }, "", 2},
		"search":    {func(r *sdk.ListFunctionsRequest) { r.SearchKey = new("ready") }, "Ready-To-Go", 1},
		"namespace": {func(r *sdk.ListFunctionsRequest) { r.Namespace = new("prod") }, "fn", 1},
		"nowhere":   {func(r *sdk.ListFunctionsRequest) { r.Namespace = new("x") }, "", 0},
		"another run": {func(r *sdk.ListFunctionsRequest) {
			r.Filters = []*sdk.Filter{{Name: new("Runtime"), Values: values("Go1")}}
		}, "", 0},
		"active events": {func(r *sdk.ListFunctionsRequest) {
			r.Filters = []*sdk.Filter{{Name: new("Status"), Values: values("Creating", "Active")}, {Name: new("Type"), Values: values("Event")}}
		}, "Ready-To-Go fn", 2},
	} {
		r := sdk.NewListFunctionsRequest()
		c2.change(r)
		answer, err := c.ListFunctions(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var names []string
		for _, f := range answer.Response.Functions {
			names = append(names, *f.FunctionName)
		}
		if got := strings.Join(names, " "); got != c2.want || *answer.Response.TotalCount != c2.total {
			t.Errorf("%s: %q of %d, want %q of %d", name, got, *answer.Response.TotalCount, c2.want, c2.total)
		}
	}
	f, err := c.ListFunctions(sdk.NewListFunctionsRequest())
	if err != nil {
		t.Fatal(err)
	}
	// fn's first start was demanded at 00:00:01, its newest version's first request came at 00:01:15.
	if got := *f.Response.Functions[1].AddTime + " " + *f.Response.Functions[1].ModTime; got != "2026-05-05 00:00:01 2026-05-05 00:01:15" {
		t.Errorf("AddTime and ModTime %s", got)
	}
}

// TestTenantsApart: a key reads its tenant's data only, whatever it asks.
func TestTenantsApart(t *testing.T) {
	w := fill(t)
	w.printed("i1", "foreign", "explicit", 80.5, "the default tenant's line of an equal ID")
	endpoint := serve(t, handler(t, w.conn))
	c := client(t, endpoint, otherID, otherKey)
	logs, err := c.GetFunctionLogs(dayRequest())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"foreign"}, ids(logs.Response.Data)); diff != "" {
		t.Error(diff)
	}
	if text := *logs.Response.Data[0].Log; strings.Contains(text, "default tenant's") {
		t.Errorf("another tenant's line: %s", text)
	}
	functions, err := c.ListFunctions(sdk.NewListFunctionsRequest())
	if err != nil || *functions.Response.TotalCount != 1 {
		t.Errorf("%+v %v", functions.Response, err)
	}
	mine := client(t, endpoint, secretID, secretKey)
	for _, id := range []string{"foreign", "x' OR '1'='1", `\`, "\x00", "tab\tnew\nline\r", "{tenant:String}", "[]", "','", "ünï"} {
		r := dayRequest()
		r.FunctionRequestId = &id
		if got, err := mine.GetFunctionLogs(r); err != nil || len(got.Response.Data) != 0 {
			t.Errorf("%q: %+v %v", id, got.Response, err)
		}
	}
}

// TestHostile: names of all kinds are values, never part of a query.
func TestHostile(t *testing.T) {
	w := &world{T: t, conn: readtest.DB(t)}
	names := []string{"x' OR '1'='1", `\`, `\'`, `\\' OR 1=1 --`, "tab\tnew\nline\r", "nul\x00nul", "{tenant:String}", "]", "', '", "ünï \u202e", `"`, "%", strings.Repeat("long", 100)}
	for _, name := range names {
		w.started(name, "provisioned", "", 1, 2)
		w.invoked(name, name, 3, 4, "ok")
		w.printed(name, name, "window", 3.5, "line of "+name)
		w.printed(name, "", "init", 1.5, "start of "+name)
	}
	c := client(t, serve(t, handler(t, w.conn)), secretID, secretKey)
	r := dayRequest()
	r.Limit = new(int64(100))
	got, err := c.GetFunctionLogs(r)
	if err != nil || len(got.Response.Data) != len(names) {
		t.Fatalf("%+v %v", got, err)
	}
	for _, l := range got.Response.Data {
		id := *l.RequestId
		for _, want := range []string{"start of " + id + "\nProvisioned Report", "START RequestId:" + id + "\nline of " + id + "\nResponse"} {
			if !strings.Contains(*l.Log, want) {
				t.Errorf("%q: no %q in %q", id, want, *l.Log)
			}
		}
	}
	for _, name := range names {
		r := dayRequest()
		r.FunctionRequestId, r.SearchContext = &name, &sdk.LogSearchContext{Keyword: new("of " + name)}
		if got, err := c.GetFunctionLogs(r); err != nil || len(got.Response.Data) != 1 {
			t.Errorf("%q: %+v %v", name, got, err)
		}
	}
}

// TestLimits: a log is cut as SCF cuts it, and an answer that would be too
// large is refused.
func TestLimits(t *testing.T) {
	w := &world{T: t, conn: readtest.DB(t)}
	lines := func(request string, n, size int) {
		rows := make([]schema.LogRow, n)
		for i := range rows {
			w.offset++
			rows[i] = schema.LogRow{
				Line:        &faas.Line{Ref: ref("i1"), Time: at(10).Add(time.Duration(i)), Stream: faas.Stderr, Body: fmt.Sprintf("%06d", i) + strings.Repeat("世", size/3), FileID: 1, Offset: w.offset},
				Attribution: faas.AttributionExplicit, RequestID: request, Revision: 1,
			}
		}
		readtest.Insert(w, w.conn, schema.Logs, rows...)
	}
	w.invoked("many", "i1", 10, 11, "ok")
	lines("many", 5100, 0)
	for i := range 40 {
		id := fmt.Sprintf("large%02d", i)
		w.invoked(id, "i1", 10, 11, "ok")
		lines(id, 130, 9000)
	}
	c := client(t, serve(t, handler(t, w.conn)), secretID, secretKey)
	get := func(id string) string {
		r := dayRequest()
		r.FunctionRequestId = &id
		got, err := c.GetFunctionLogs(r)
		if err != nil {
			t.Fatal(err)
		}
		return *got.Response.Data[0].Log
	}
	if text := get("many"); !strings.Contains(text, "\n004999\n[the log is cut here") || strings.Contains(text, "005000") {
		t.Errorf("of 5100 lines: %d", strings.Count(text, "\n"))
	}
	text := get("large00")
	for line := range strings.SplitSeq(text, "\n") {
		if len(line) > 8<<10 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	if len(text) > 1<<20+1000 || len(text) < 1<<20-10_000 || !strings.Contains(text, "[the log is cut here") || !strings.Contains(text, "Report RequestId:large00") {
		t.Errorf("%d bytes", len(text))
	}
	r := dayRequest()
	r.Limit = new(int64(100))
	if _, err := c.GetFunctionLogs(r); code(err) != "ResponseSizeLimitExceeded" {
		t.Errorf("forty of them: %v", err)
	}
	r.Limit = new(int64(20))
	if got, err := c.GetFunctionLogs(r); err != nil || len(got.Response.Data) != 20 {
		t.Errorf("twenty: %v", err)
	}
}

package scf_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	sdk "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/scf/v20180416"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// The world's first instant, 2026-05-05 00:00:00 in UTC+8.
var midnight = time.Date(2026, 5, 4, 16, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return midnight.Add(time.Duration(seconds * float64(time.Second)))
}

// world is a store that a test fills.
type world struct {
	*testing.T
	conn   driver.Conn
	offset uint64
}

func ref(instance string) faas.Ref {
	return faas.Ref{Tenant: "default", Namespace: "default", Function: "fn", Version: "v1", Instance: instance}
}

// invoked adds an attempt that ended, unless status is empty.
func (w *world) invoked(id, instance string, started, ended float64, status string, more ...func(*schema.InvocationRow)) {
	w.Helper()
	r := ref(instance)
	row := schema.InvocationRow{
		Tenant: r.Tenant, Namespace: r.Namespace, Function: r.Function, Version: new("v1"), Instance: instance, RequestID: id, StartedAt: at(started), Trigger: new("event"),
	}
	if status != "" {
		row.EndedAt, row.Status, row.DurationNS = new(at(ended)), &status, new(at(ended).Sub(at(started)).Nanoseconds())
	}
	for _, m := range more {
		m(&row)
	}
	readtest.Insert(w, w.conn, schema.Invocations, row)
}

func (w *world) started(instance, initialization, request string, demanded, ready float64) {
	w.Helper()
	row := schema.ColdStartRow{
		Tenant: "default", Namespace: "default", Function: "fn", Instance: instance, Initialization: &initialization, Version: new("v1"),
		DemandedAt: new(at(demanded)), ReadyAt: new(at(ready)), MemoryLimit: new(int64(640 << 20)), MemoryPeak: new(int64(60_670_000)),
	}
	if request != "" {
		row.RequestID = &request
	}
	readtest.Insert(w, w.conn, schema.ColdStarts, row)
	phase := func(name string, from, to float64) schema.PhaseRow {
		return schema.PhaseRow{Tenant: "default", Namespace: "default", Function: "fn", Instance: instance, Phase: name, Start: at(from), End: at(to), Revision: 1}
	}
	readtest.Insert(w, w.conn, schema.Phases, phase("pull", demanded, demanded+0.070), phase("init", demanded+0.078, ready))
}

func (w *world) printed(instance, request, attribution string, when float64, body string) {
	w.Helper()
	w.offset++
	readtest.Insert(w, w.conn, schema.Logs, schema.LogRow{
		Line:        &faas.Line{Ref: ref(instance), Time: at(when), Stream: faas.Stdout, Body: body, FileID: 1, Offset: w.offset},
		Attribution: faas.Attribution(attribution), RequestID: request, Revision: 1,
	})
}

func memory(bytes int64) func(*schema.InvocationRow) {
	return func(r *schema.InvocationRow) { r.MemoryPeak = &bytes }
}

// fill gives requests of every kind, and their lines.
func fill(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, conn: readtest.DB(t)}
	w.started("i1", "on-demand", "cold", 1, 1.236)
	w.printed("i1", "cold", "init", 1.1, "loading")
	w.invoked("cold", "i1", 1.24, 1.3, "ok", memory(31178752), func(r *schema.InvocationRow) { r.QueuedAt, r.Cold = new(at(0.999)), new(true) })
	w.printed("i1", "cold", "window", 1.25, "Hello 世界")
	w.printed("i1", "cold", "late", 1.31, "written behind")
	w.printed("i1", "", "ambiguous", 1.26, "whose is this")
	w.printed("i1", "", "none", 1.27, "nobody's")
	// A provisioned instance: its log comes before that of its first request.
	w.started("i2", "provisioned", "", 2, 2.640)
	w.printed("i2", "", "init", 2.3, "warming up")
	w.invoked("second", "i2", 20, 20.5, "timeout", func(r *schema.InvocationRow) { r.Error = new("timed out after 500ms") })
	w.invoked("first", "i2", 10, 10.2, "error", memory(5000), func(r *schema.InvocationRow) { r.Error = new("exit\nstatus 1") })
	w.printed("i2", "first", "explicit", 10.1, "needle in FIRST")
	// Two lives of an instance that nobody is known to have demanded.
	w.started("i3", "on-demand", "", 3, 3.1)
	readtest.Insert(t, w.conn, schema.ColdStarts, schema.ColdStartRow{
		Tenant: "default", Namespace: "default", Function: "fn", Instance: "i3", Life: 1, DemandedAt: new(at(30)), ReadyAt: new(at(30.4)),
	})
	w.invoked("warm", "i3", 5, 5.1, "ok")
	w.invoked("again", "i3", 30.5, 30.6, "ok", func(r *schema.InvocationRow) { r.Cold, r.QueuedAt = new(true), new(at(30)) })
	// Attempts of one request, on two instances and twice on one of them.
	for i, instance := range []string{"i3", "i1", "i1"} {
		start := 40 + 10*float64(i)
		w.invoked("thrice", instance, start, start+1, []string{"error", "oom", "ok"}[i])
		w.printed(instance, "thrice", "window", start+0.5, fmt.Sprintf("attempt %d", i))
	}
	w.invoked("stopped", "i1", 70, 70.1, "cancelled")
	w.invoked("crashed", "i1", 71, 0, "", func(r *schema.InvocationRow) {
		r.ClosedAt, r.ClosedStatus, r.ClosedError, r.ClosedBy = new(at(72.5)), new("error"), new("exit code 2"), new("crash")
	})
	w.invoked("running", "i1", 75, 0, "", func(r *schema.InvocationRow) { r.Version = new("v2") })
	w.printed("i1", "running", "window", 75.1, strings.Repeat("long ", 3000))
	// Another namespace's, another tenant's, and one that only a line names.
	w.invoked("elsewhere", "i9", 80, 81, "ok", func(r *schema.InvocationRow) { r.Namespace = "prod" })
	w.invoked("foreign", "i9", 80, 81, "ok", func(r *schema.InvocationRow) { r.Tenant = "other" })
	w.printed("i1", "untold", "explicit", 85, "RequestId: untold")
	return w
}

func dayRequest() *sdk.GetFunctionLogsRequest {
	r := sdk.NewGetFunctionLogsRequest()
	r.FunctionName, r.StartTime, r.EndTime, r.Order = new("fn"), new("2026-05-05 00:00:00"), new("2026-05-05 23:59:59"), new("asc")
	return r
}

// TestLogs: each kind of request as SCF prints it.
func TestLogs(t *testing.T) {
	w := fill(t)
	c := client(t, serve(t, handler(t, w.conn)), secretID, secretKey)
	got, err := c.GetFunctionLogs(dayRequest())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, l := range got.Response.Data {
		fmt.Fprintf(&b, "== %s %s RetCode=%d InvokeFinished=%d Duration=%v BillDuration=%d MemUsage=%d RetryNum=%d RetMsg=%q\n%s",
			*l.RequestId, *l.StartTime, *l.RetCode, *l.InvokeFinished, *l.Duration, *l.BillDuration, *l.MemUsage, *l.RetryNum, *l.RetMsg, *l.Log)
	}
	golden(t, "logs.txt", []byte(b.String()))
	if n := *got.Response.TotalCount; n != int64(len(got.Response.Data)) {
		t.Errorf("TotalCount %d of %d", n, len(got.Response.Data))
	}
}

// ids are the requests of an answer, by number of attempt where it is not the first.
func ids(list []*sdk.FunctionLog) []string {
	out := []string{}
	for _, l := range list {
		id := *l.RequestId
		if *l.RetryNum > 0 {
			id += fmt.Sprintf("#%d", *l.RetryNum)
		}
		out = append(out, id)
	}
	return out
}

// TestSelect: filters, orders, pages and times.
func TestSelect(t *testing.T) {
	w := fill(t)
	c := client(t, serve(t, handler(t, w.conn)), secretID, secretKey)
	all := []string{"cold", "warm", "first", "second", "again", "thrice", "thrice#1", "thrice#2", "stopped", "crashed", "running"}
	filter := func(code string) func(*sdk.GetFunctionLogsRequest) {
		return func(r *sdk.GetFunctionLogsRequest) { r.Filter = &sdk.LogFilter{RetCode: &code} }
	}
	search := func(kind, keyword string) func(*sdk.GetFunctionLogsRequest) {
		return func(r *sdk.GetFunctionLogsRequest) {
			r.SearchContext = &sdk.LogSearchContext{Keyword: &keyword}
			if kind != "" {
				r.SearchContext.Type = &kind
			}
		}
	}
	descending := slices.Clone(all)
	slices.Reverse(descending)
	for name, c2 := range map[string]struct {
		change func(*sdk.GetFunctionLogsRequest)
		want   []string
		total  int
	}{
		"all":          {func(*sdk.GetFunctionLogsRequest) {}, all, 11},
		"newest first": {func(r *sdk.GetFunctionLogsRequest) { r.Order = nil }, descending, 11},
		"no function":  {func(r *sdk.GetFunctionLogsRequest) { r.FunctionName = nil }, all, 11},
		"all codes":    {filter(""), all, 11},
		"is0":          {filter("is0"), []string{"cold", "warm", "again", "thrice#2"}, 4},
		"not0":         {filter("not0"), []string{"first", "second", "thrice", "thrice#1", "stopped", "crashed"}, 6},
		"timed out":    {filter("TimeLimitExceeded"), []string{"second"}, 1},
		"over a limit": {filter("ResourceLimitExceeded"), []string{"thrice#1"}, 1},
		"code":         {filter("UserCodeException"), []string{"first", "thrice", "crashed"}, 3},
		"a version":    {func(r *sdk.GetFunctionLogsRequest) { r.Qualifier = new("v2") }, []string{"running"}, 1},
		"a namespace":  {func(r *sdk.GetFunctionLogsRequest) { r.Namespace = new("prod") }, []string{"elsewhere"}, 1},
		"a request":    {func(r *sdk.GetFunctionLogsRequest) { r.FunctionRequestId = new("thrice") }, []string{"thrice", "thrice#1", "thrice#2"}, 3},
		"a request, any time": {func(r *sdk.GetFunctionLogsRequest) {
			r.FunctionRequestId, r.StartTime, r.EndTime = new("cold"), nil, nil
		}, []string{"cold"}, 1},
		"only its lines": {func(r *sdk.GetFunctionLogsRequest) { r.FunctionRequestId = new("untold") }, []string{}, 0},
		"a page":         {func(r *sdk.GetFunctionLogsRequest) { r.Offset, r.Limit = new(int64(4)), new(int64(3)) }, all[4:7], 11},
		"behind the end": {func(r *sdk.GetFunctionLogsRequest) { r.Offset = new(int64(11)) }, []string{}, 11},
		"nothing of it":  {func(r *sdk.GetFunctionLogsRequest) { r.Limit = new(int64(0)) }, []string{}, 11},
		"by duration": {
			func(r *sdk.GetFunctionLogsRequest) {
				r.OrderBy, r.Order, r.Limit = new("duration"), new("DESC"), new(int64(4))
			},
			[]string{"crashed", "thrice#2", "thrice#1", "thrice"},
			11,
		},
		"by memory": {func(r *sdk.GetFunctionLogsRequest) {
			r.OrderBy, r.Order, r.Limit = new("mem_usage"), new("desc"), new(int64(2))
		}, []string{"cold", "first"}, 11},
		"by function":  {func(r *sdk.GetFunctionLogsRequest) { r.OrderBy = new("function_name") }, all, 11},
		"a word":       {search("", "NEEDLE in first"), []string{"first"}, 1},
		"words":        {search("Application", "世界"), []string{"cold"}, 1},
		"no such word": {search("Application", "%"), []string{}, 0},
		"not printed":  {search("Platform", "needle"), []string{}, 0},
		"of one second": {
			func(r *sdk.GetFunctionLogsRequest) {
				r.StartTime, r.EndTime = new("2026-05-05 00:00:10"), new("2026-05-05 00:00:10")
			},
			[]string{"first"},
			1,
		},
		"a start alone": {func(r *sdk.GetFunctionLogsRequest) { r.StartTime, r.EndTime = new("2026-05-05 00:01:11"), nil }, []string{"crashed", "running"}, 2},
		"an end alone":  {func(r *sdk.GetFunctionLogsRequest) { r.StartTime, r.EndTime = nil, new("2026-05-05 00:00:04") }, []string{"cold"}, 1},
		"the day before": {func(r *sdk.GetFunctionLogsRequest) {
			r.StartTime, r.EndTime = new("2026-05-04 00:00:00"), new("2026-05-04 23:59:59")
		}, []string{}, 0},
		"no time: lately": {func(r *sdk.GetFunctionLogsRequest) { r.StartTime, r.EndTime = nil, nil }, []string{}, 0},
	} {
		r := dayRequest()
		c2.change(r)
		got, err := c.GetFunctionLogs(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c2.want, ids(got.Response.Data)); diff != "" || *got.Response.TotalCount != int64(c2.total) {
			t.Errorf("%s: TotalCount %d, want %d\n%s", name, *got.Response.TotalCount, c2.total, diff)
		}
	}
}

// TestWrong: each mistake has the code that Tencent has for it.
func TestWrong(t *testing.T) {
	w := fill(t)
	c := client(t, serve(t, handler(t, w.conn)), secretID, secretKey)
	type request = *sdk.GetFunctionLogsRequest
	for name, c2 := range map[string]struct {
		change func(request)
		code   string
	}{
		"order":             {func(r request) { r.Order = new("up") }, "InvalidParameterValue.Order"},
		"orderby":           {func(r request) { r.OrderBy = new("request_id; DROP") }, "InvalidParameterValue.OrderBy"},
		"offset":            {func(r request) { r.Offset = new(int64(-1)) }, "InvalidParameterValue.Offset"},
		"limit":             {func(r request) { r.Limit = new(int64(-1)) }, "InvalidParameterValue"},
		"much":              {func(r request) { r.Offset, r.Limit = new(int64(9990)), new(int64(11)) }, "LimitExceeded.Offset"},
		"very much":         {func(r request) { r.Offset, r.Limit = new(int64(1)<<31-1), new(int64(1)<<31-1) }, "LimitExceeded.Offset"},
		"code":              {func(r request) { r.Filter = &sdk.LogFilter{RetCode: new("is1")} }, "InvalidParameterValue.RetCode"},
		"start":             {func(r request) { r.StartTime = new("2026-05-05T00:00:00Z") }, "InvalidParameterValue.DateTime"},
		"end":               {func(r request) { r.EndTime = new("tomorrow") }, "InvalidParameterValue.DateTime"},
		"end before start":  {func(r request) { r.EndTime = new("2026-05-04 00:00:00") }, "InvalidParameterValue.StartTimeOrEndTime"},
		"more than one day": {func(r request) { r.EndTime = new("2026-05-06 00:00:01") }, "InvalidParameterValue.StartTimeOrEndTime"},
		"kind":              {func(r request) { r.SearchContext = &sdk.LogSearchContext{Type: new("Custom")} }, "InvalidParameterValue"},
		"long keyword":      {func(r request) { r.SearchContext = &sdk.LogSearchContext{Keyword: new(strings.Repeat("k", 2000))} }, "InvalidParameterValue"},
		"function":          {func(r request) { r.FunctionName = new("fn2") }, "ResourceNotFound.Function"},
		"another's":         {func(r request) { r.FunctionName, r.Namespace = new("fn"), new("nowhere") }, "ResourceNotFound.Function"},
	} {
		r := dayRequest()
		c2.change(r)
		if _, err := c.GetFunctionLogs(r); code(err) != c2.code {
			t.Errorf("%s: %v, want %s", name, err, c2.code)
		}
	}
	exactly := dayRequest()
	exactly.EndTime = new("2026-05-06 00:00:00")
	if _, err := c.GetFunctionLogs(exactly); err != nil {
		t.Errorf("one day: %v", err)
	}

	for name, c2 := range map[string]struct {
		change func(*statusRequest)
		code   string
	}{
		"no function": {func(r *statusRequest) { r.FunctionName = nil }, "InvalidParameterValue.FunctionName"},
		"no request":  {func(r *statusRequest) { r.FunctionRequestId = nil }, "InvalidParameterValue.FunctionRequestId"},
		"start alone": {func(r *statusRequest) { r.StartTime = new("2026-05-05 00:00:00") }, "InvalidParameterValue.StartTimeOrEndTime"},
		"time":        {func(r *statusRequest) { r.EndTime = new("2026-05-05") }, "InvalidParameterValue.DateTime"},
		"end before start": {func(r *statusRequest) {
			r.StartTime, r.EndTime = new("2026-05-05 00:00:01"), new("2026-05-05 00:00:01")
		}, "InvalidParameterValue.StartTimeOrEndTime"},
		"function": {func(r *statusRequest) { r.FunctionName = new("fn2") }, "ResourceNotFound.Function"},
	} {
		r := newStatusRequest("fn", "cold")
		c2.change(r)
		if _, err := getRequestStatus(c, r); code(err) != c2.code {
			t.Errorf("GetRequestStatus, %s: %v, want %s", name, err, c2.code)
		}
	}

	for name, c2 := range map[string]struct {
		change func(*sdk.ListFunctionsRequest)
		code   string
	}{
		"order":       {func(r *sdk.ListFunctionsRequest) { r.Order = new("up") }, "InvalidParameterValue.Order"},
		"orderby":     {func(r *sdk.ListFunctionsRequest) { r.Orderby = new("Size") }, "InvalidParameterValue.OrderBy"},
		"limit":       {func(r *sdk.ListFunctionsRequest) { r.Limit = new(int64(1001)) }, "InvalidParameterValue.Limit"},
		"offset":      {func(r *sdk.ListFunctionsRequest) { r.Offset = new(int64(-1)) }, "InvalidParameterValue.Offset"},
		"description": {func(r *sdk.ListFunctionsRequest) { r.Description = new("x") }, "InvalidParameterValue"},
		"filter": {func(r *sdk.ListFunctionsRequest) {
			r.Filters = []*sdk.Filter{{Name: new("VpcId"), Values: []*string{new("v")}}}
		}, "InvalidParameterValue"},
	} {
		r := sdk.NewListFunctionsRequest()
		c2.change(r)
		if _, err := c.ListFunctions(r); code(err) != c2.code {
			t.Errorf("ListFunctions, %s: %v, want %s", name, err, c2.code)
		}
	}
}

// TestBodies: what is no request of these types.
func TestBodies(t *testing.T) {
	h := handler(t, readtest.DB(t))
	for body, want := range map[string]string{
		``: "", `{}`: "", ` {"Limit": "5"} `: "",
		`{"Limits": 5}`: "UnknownParameter", `{"Limit": 5.5}`: "InvalidParameter", `{"Limit": "x"}`: "InvalidParameter", `{"SearchKey": 5}`: "InvalidParameter",
		`[]`: "InvalidParameter", `{`: "InvalidParameter", `{} {}`: "InvalidParameter", `null`: "", "\xff": "InvalidParameter", `{"Limit": ` + strings.Repeat("[", 20_000): "InvalidParameter",
	} {
		s := valid()
		s.body = body
		got := ask(t, h, s.request(t)).Response.Error
		if got == nil != (want == "") || got != nil && got.Code != want {
			t.Errorf("%.40q: %+v, want %q", body, got, want)
		}
	}
	for query, want := range map[string]string{
		"Filters.0.Name=Type&Filters.0.Values.0=HTTP&Filters.0.Values.1=Event": "", "Limit=5": "",
		"Filters.0.Name.x=1": "InvalidParameter", "Filters.a.b.c.d.e=1": "InvalidParameter", "Limit=5&Limit=6": "InvalidParameter", "a=1&a.b=2": "InvalidParameter",
		"Filters.1.Name=Type": "InvalidParameter", "%zz=1": "InvalidParameter", "Nothing=1": "UnknownParameter",
	} {
		s := valid()
		s.method, s.query, s.body = "GET", query, ""
		got := ask(t, h, s.request(t)).Response.Error
		if got == nil != (want == "") || got != nil && got.Code != want {
			t.Errorf("%q: %+v, want %q", query, got, want)
		}
	}
}

package scf_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	sdk "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/scf/v20180416"

	"github.com/coldscope/coldscope/query/read/readtest"
)

// The sample's day, in UTC+8: its cold request was queued at 20:00:00.
const (
	dayStart = "2026-05-04 19:00:00"
	dayEnd   = "2026-05-04 20:59:59"
)

func sampleLogs() *sdk.GetFunctionLogsRequest {
	r := sdk.NewGetFunctionLogsRequest()
	r.FunctionName, r.StartTime, r.EndTime = new("inference"), new(dayStart), new(dayEnd)
	return r
}

// TestGoSDK asks with Tencent's own SDK for Go, by POST, by GET and with an
// unsigned payload, and holds all that it was told against a file.
func TestGoSDK(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	endpoint := serve(t, handler(t, conn))
	var first []byte
	for name, more := range map[string]func(*profile.ClientProfile){
		"POST": func(*profile.ClientProfile) {}, "GET": func(p *profile.ClientProfile) { p.HttpProfile.ReqMethod = "GET" },
		"unsigned": func(p *profile.ClientProfile) { p.UnsignedPayload = true },
	} {
		c := client(t, endpoint, secretID, secretKey, more)
		logs, err := c.GetFunctionLogs(sampleLogs())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if *logs.Response.RequestId == "" {
			t.Errorf("%s: no RequestId", name)
		}
		functions := sdk.NewListFunctionsRequest()
		functions.SearchKey = new("INFER")
		functions.Filters = []*sdk.Filter{{Name: new("Runtime"), Values: []*string{new("CustomImage"), new("Go1")}}}
		list, err := c.ListFunctions(functions)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		status := newStatusRequest("inference", readtest.Twice)
		status.StartTime, status.EndTime = new(dayStart), new(dayEnd)
		statuses, err := getRequestStatus(c, status)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		logs.Response.RequestId, list.Response.RequestId, statuses.Response.RequestId = nil, nil, ""
		got := indent(t, map[string]any{"GetFunctionLogs": logs.Response, "ListFunctions": list.Response, "GetRequestStatus": statuses.Response})
		if first == nil {
			first = got
			golden(t, "sample.json", got)
		} else if diff := cmp.Diff(string(first), string(got)); diff != "" {
			t.Errorf("%s differs:\n%s", name, diff)
		}
	}
}

// TestNodeSDK asks with Tencent's own SDK for Node and holds what it was told
// against what the one for Go was told.
func TestNodeSDK(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("skipped: there is no node here")
	}
	if _, err := os.Stat("testdata/node/node_modules"); err != nil {
		t.Skip("skipped: run npm ci --ignore-scripts in query/scf/testdata/node first, as test/install does")
	}
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	endpoint := serve(t, handler(t, conn))
	logs := map[string]any{"FunctionName": "inference", "StartTime": dayStart, "EndTime": dayEnd, "Limit": 2, "OrderBy": "duration", "Filter": map[string]any{"RetCode": "is0"}}
	functions := map[string]any{"Orderby": "FunctionName", "Filters": []any{map[string]any{"Name": "Type", "Values": []string{"HTTP"}}}}
	status := map[string]any{"FunctionName": "inference", "FunctionRequestId": readtest.Cold, "StartTime": dayStart, "EndTime": dayEnd}
	type call struct {
		Action  string         `json:"action"`
		Request map[string]any `json:"request"`
		Method  string         `json:"method,omitempty"`
	}
	calls := []call{
		{"GetFunctionLogs", logs, "POST"},
		{"GetFunctionLogs", logs, "GET"},
		{"ListFunctions", functions, "POST"},
		{"ListFunctions", functions, "GET"},
		{"GetRequestStatus", status, "POST"},
		{"GetRequestStatus", status, "GET"},
		{"GetFunctionLogs", map[string]any{"FunctionName": "nobody"}, "POST"},
	}
	var answers []struct {
		Answer json.RawMessage `json:"answer"`
		Code   string          `json:"code"`
	}
	input, err := json.Marshal(map[string]any{"secretId": secretID, "secretKey": secretKey, "endpoint": endpoint, "calls": calls})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "ask.mjs")
	cmd.Dir, cmd.Stdin = filepath.Join("testdata", "node"), bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, stderr.Bytes())
	}
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(calls) {
		t.Fatalf("%v: %s", err, out)
	}

	c := client(t, endpoint, secretID, secretKey)
	wantLogs := sampleLogs()
	wantLogs.Limit, wantLogs.OrderBy, wantLogs.Filter = new(int64(2)), new("duration"), &sdk.LogFilter{RetCode: new("is0")}
	gotLogs, err := c.GetFunctionLogs(wantLogs)
	if err != nil || len(gotLogs.Response.Data) != 2 {
		t.Fatalf("%+v %v", gotLogs, err)
	}
	list := sdk.NewListFunctionsRequest()
	list.Orderby, list.Filters = new("FunctionName"), []*sdk.Filter{{Name: new("Type"), Values: []*string{new("HTTP")}}}
	gotList, err := c.ListFunctions(list)
	if err != nil || len(gotList.Response.Functions) != 1 {
		t.Fatalf("%+v %v", gotList, err)
	}
	statuses := newStatusRequest("inference", readtest.Cold)
	statuses.StartTime, statuses.EndTime = new(dayStart), new(dayEnd)
	gotStatus, err := getRequestStatus(c, statuses)
	if err != nil || len(gotStatus.Response.Data) != 1 {
		t.Fatalf("%+v %v", gotStatus, err)
	}
	for i, want := range []any{gotLogs.Response, gotLogs.Response, gotList.Response, gotList.Response, gotStatus.Response, gotStatus.Response} {
		if diff := cmp.Diff(plain(t, want), plain(t, answers[i].Answer)); diff != "" {
			t.Errorf("%s by %s: Go, then Node:\n%s", calls[i].Action, calls[i].Method, diff)
		}
	}
	if last := answers[len(answers)-1]; last.Code != "ResourceNotFound.Function" {
		t.Errorf("an unknown function: %+v", last)
	}
}

// plain is v as JSON has it, without what is another each time and without
// nulls, which the SDK for Go adds.
func plain(t *testing.T, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if m["RequestId"] == "" || m["RequestId"] == nil {
		t.Errorf("no RequestId in %s", b)
	}
	delete(m, "RequestId")
	strip(m)
	return m
}

func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if strip(inner); inner == nil {
				delete(v, key)
			}
		}
	case []any:
		for _, inner := range v {
			strip(inner)
		}
	}
}

func indent(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// golden holds got against a file, or writes it with COLDSCOPE_UPDATE=1.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("COLDSCOPE_UPDATE") != "" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(fmt.Sprintf("%s (-want +got; COLDSCOPE_UPDATE=1 writes it anew):\n", path) + diff)
	}
}

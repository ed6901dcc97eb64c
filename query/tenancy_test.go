package query

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/internal/access"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// hostile are values that somebody may give for anything.
var hostile = []string{
	`x' OR '1'='1`, `x" OR 1=1`, "`tenant`", `\`, `\'`, `\\' OR tenant != \\'`, `back\slash\nope\x41`, `\N`, "%", "_", "*", "?", ".*", "[a-z]", "{tenant:String}", "{a=\"b\"}",
	"' UNION ALL SELECT * FROM logs --", "/*", "--", ";", "\x00", "nul\x00nul", "tab\tnew\nline\r", "ünï", "\u202e\u200b", "ａ", "\xff\xfe", "..", "../bob", "a/b", "%2f", "%00",
	"", " ", strings.Repeat("long", 100), strings.Repeat("x", 100_000),
}

// fill gives a tenant a request, a start, lines and accounts under the given
// name of everything; all that it says has its mark.
func fill(t *testing.T, conn driver.Conn, tenant, mark string, names ...string) {
	t.Helper()
	var starts []schema.ColdStartRow
	var phases []schema.PhaseRow
	var layers []schema.LayerRow
	var invocations []schema.InvocationRow
	var lines []schema.LogRow
	var ledgers []schema.LedgerRow
	var gaps []schema.GapRow
	for i, name := range names {
		starts = append(starts, schema.ColdStartRow{
			Tenant: tenant, Namespace: name, Function: name, Instance: name, Version: new(mark), RequestID: new(name),
			DemandedAt: new(readtest.At(0)), ReadyAt: new(readtest.At(1)), Image: new(mark), Initialization: new("on-demand"),
		})
		phases = append(phases, schema.PhaseRow{Tenant: tenant, Namespace: name, Function: name, Instance: name, Phase: "pull", Start: readtest.At(0.1), End: readtest.At(0.9), Error: mark, Revision: 1})
		layers = append(layers, schema.LayerRow{Tenant: tenant, Namespace: name, Function: name, Instance: name, Digest: mark, DownloadStart: new(readtest.At(0.1)), DownloadEnd: new(readtest.At(0.9)), Revision: 1})
		invocations = append(invocations, schema.InvocationRow{
			Tenant: tenant, Namespace: name, Function: name, StartedAt: readtest.At(1), RequestID: name, Instance: name, Version: new(mark),
			EndedAt: new(readtest.At(2)), Status: new("error"), Error: new(mark), Cold: new(true),
		})
		lines = append(lines, schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: tenant, Namespace: name, Function: name, Instance: name},
				Time: readtest.At(1.5), Stream: "stdout", Body: mark, FileID: 7, Offset: uint64(i),
			},
			RequestID: name, Attribution: "window", Revision: 1,
		})
		ledgers = append(ledgers, schema.LedgerRow{Tenant: tenant, Namespace: name, Function: name, Instance: name, FileID: "0000000000000007", Host: mark, From: new(readtest.At(0)), To: new(readtest.At(2)), RefusedLines: int64(len(mark)), Revision: 1})
		gaps = append(gaps, schema.GapRow{Tenant: tenant, Namespace: name, Function: name, Instance: name, FileID: "0000000000000007", Host: mark, From: new(readtest.At(1)), To: readtest.At(2), Bytes: int64(len(mark)), Reason: "pinned", Revision: 1})
	}
	readtest.Insert(t, conn, schema.ColdStarts, starts...)
	readtest.Insert(t, conn, schema.Phases, phases...)
	readtest.Insert(t, conn, schema.Layers, layers...)
	readtest.Insert(t, conn, schema.Invocations, invocations...)
	readtest.Insert(t, conn, schema.Logs, lines...)
	readtest.Insert(t, conn, schema.Ledgers, ledgers...)
	readtest.Insert(t, conn, schema.Gaps, gaps...)
}

// parameters are those that an operation's description lists.
func parameters(t *testing.T, h http.Handler) map[string][]string {
	t.Helper()
	w := do(t, h, http.MethodGet, "/api/v1/openapi.json")
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for path, methods := range doc.Paths {
		all[path] = nil
		for _, p := range methods["get"].Parameters {
			if p.In == "query" {
				all[path] = append(all[path], p.Name)
			}
		}
	}
	return all
}

// fillPath puts a value for what a path has in braces, and what is bob's for the
// parts of it that take numbers only.
func fillPath(path, value string) string {
	path = strings.ReplaceAll(path, "{file_id}", "0000000000000007")
	path = strings.ReplaceAll(path, "{offset}", "0")
	return strings.ReplaceAll(path, "{id}", url.PathEscape(value))
}

// TestTenantsApart asks every operation as alice for all kinds of things, also
// for what bob has under the very same names: no answer has anything of bob's.
// Operations and parameters are taken from the API's own description, so that
// a new one is asked, too.
func TestTenantsApart(t *testing.T) {
	conn := readtest.DB(t)
	var stored []string // what can be in the store
	for _, name := range hostile {
		if name != "" && len(name) <= 512 {
			stored = append(stored, name)
		}
	}
	fill(t, conn, "bob", "of bob", append(stored, "only-bobs")...)
	fill(t, conn, "alice", "of alice", stored...)
	q, err := New(DefaultConfig(), conn, nil, discard(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	q.EndTails() // each one looks once, then
	made, err := access.NewToken("alice", []string{"alice"}, []access.Scope{access.Read}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "access.yaml")
	if err := os.WriteFile(path, []byte("tokens:\n"+made.Entry), 0o600); err != nil {
		t.Fatal(err)
	}
	guard, err := access.New(access.Config{File: path}, discard(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	h := guard.Wrap(q.Handler())

	hers := 0
	ask := func(target string) *httptest.ResponseRecorder {
		t.Helper()
		u, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL = u
		r.Header.Set("Authorization", "Bearer "+made.Token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		body := w.Body.String()
		if strings.Contains(body, "of bob") || w.Code == http.StatusOK && strings.Contains(body, "only-bobs") {
			t.Errorf("GET %.300s: %.2000s", target, body)
		}
		if w.Code >= 500 {
			t.Errorf("GET %.300s: %d %.500s", target, w.Code, body)
		}
		if strings.Contains(body, "of alice") {
			hers++
		}
		return w
	}
	cursor := base64.RawURLEncoding.EncodeToString([]byte(`["zzzzzzzzzz","` + strings.Repeat("z", 20) + `","only-bobs"]`))
	lines := base64.RawURLEncoding.EncodeToString([]byte(`["zzzzzzzzzz","7","1","only-bobs","only-bobs"]`))
	asked := 0
	turn := 0
	for path, names := range parameters(t, q.Handler()) {
		for i, value := range append(hostile, "only-bobs", lines, cursor) {
			target := fillPath(path, value)
			if target != path {
				ask(target)
				asked++
			}
			for _, name := range names {
				// Each parameter gets some of the values; all together get each many times.
				if turn++; i < len(hostile) && turn%11 != 0 {
					continue
				}
				ask(fillPath(path, value) + "?" + url.Values{name: {value}}.Encode())
				asked++
			}
		}
		for _, name := range []string{"tenant", "X-Scope-OrgID", "x-scope-orgid"} {
			ask(fillPath(path, "only-bobs") + "?" + url.Values{name: {"bob"}}.Encode())
		}
	}
	if asked < 500 || hers < 50 {
		t.Errorf("%d requests were sent, %d answers had something of alice", asked, hers)
	}

	// What is hers she finds, whatever it is called: nothing of the above was
	// due to names that cannot be asked for.
	for _, name := range stored {
		if name == ".." { // a path that holds it is another path
			continue
		}
		w := ask("/api/v1/requests/" + url.PathEscape(name))
		var page read.Page
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		if len(page.Lines) != 1 || page.Lines[0].Body != "of alice" || page.ColdStart == nil || len(page.ColdStart.Layers) != 1 ||
			page.Completeness.RefusedLines != int64(len("of alice")) || page.Completeness.LostBytes != int64(len("of alice")) {
			t.Errorf("request %q: %d %.600s", name, w.Code, w.Body)
		}
	}
	askLoki(t, ask, stored)
	var list read.InvocationList
	if err := json.Unmarshal(ask("/api/v1/requests?limit=1000").Body.Bytes(), &list); err != nil || len(list.Requests) != len(stored) {
		t.Errorf("%d of her %d requests: %v", len(list.Requests), len(stored), fmt.Sprint(err))
	}
}

// askLoki asks Loki's API for lines of all kinds of names: each gives her own,
// whatever it is called.
func askLoki(t *testing.T, ask func(string) *httptest.ResponseRecorder, stored []string) {
	t.Helper()
	span := url.Values{"start": {strconv.FormatInt(readtest.At(-1000).UnixNano(), 10)}, "end": {strconv.FormatInt(readtest.At(1000).UnixNano(), 10)}}
	get := func(path string, more url.Values) *httptest.ResponseRecorder {
		maps.Copy(more, span)
		return ask("/loki/api/v1" + path + "?" + more.Encode())
	}
	for _, name := range stored {
		if strings.ContainsRune(name, utf8.RuneError) {
			continue // no text of LogQL
		}
		for _, query := range []string{
			fmt.Sprintf(`{function=%q}`, name), fmt.Sprintf(`{namespace=%q} | request_id=%q`, name, name), fmt.Sprintf(`{instance=%q} | json | drop __error__, __error_details__ | request_id=%q`, name, name),
		} {
			w := get("/query_range", url.Values{"query": {query}})
			if w.Code != http.StatusOK || strings.Count(w.Body.String(), `"of alice"`) < 1 {
				t.Errorf("%s: %d %.600s", query, w.Code, w.Body)
			}
		}
		for _, path := range []string{"/query_range", "/labels", "/label/function/values", "/series", "/index/stats", "/index/volume", "/detected_labels", "/detected_fields", "/patterns"} {
			get(path, url.Values{"query": {name}})
			get(path, url.Values{"query": {fmt.Sprintf(`{function=%q} |= %q`, name, name)}, "match[]": {fmt.Sprintf(`{function=%q}`, name)}})
		}
	}
	get("/index/volume", url.Values{"query": {`{function=~".*", stream=~".+"}`}, "X-Scope-OrgID": {"bob"}, "targetLabels": {"function,request_id"}})
}

package erase_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query/erase"
	"github.com/coldscope/coldscope/query/read/readtest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// tables are all that hold a tenant's data; the test fails when there is one more.
var tables = strings.Fields("cold_starts gaps invocations layers ledgers logs phases invocation_minutes line_minutes rollup_instances rollup_marks start_minutes")

// fill writes one row of each owner to each table.
func fill(t *testing.T, conn driver.Conn, owners ...[3]string) {
	t.Helper()
	for _, table := range tables {
		for _, o := range owners {
			if err := conn.Exec(t.Context(), "INSERT INTO "+table+" (tenant, namespace, function) SELECT $1, $2, $3", o[0], o[1], o[2]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func left(t *testing.T, conn driver.Conn, table string) string {
	t.Helper()
	var owners []string
	const list = "SELECT arraySort(groupUniqArray(concat(tenant, ':', namespace, '/', function))) FROM "
	if err := conn.QueryRow(t.Context(), list+table+" WHERE tenant != ''").Scan(&owners); err != nil {
		t.Fatal(err)
	}
	return strings.Join(owners, " ")
}

func TestErase(t *testing.T) {
	t.Run("one server", func(t *testing.T) { checkErase(t, readtest.DB(t)) })
	t.Run("two shards", func(t *testing.T) { checkErase(t, readtest.Cluster(t)) })
}

func checkErase(t *testing.T, conn driver.Conn) {
	t.Helper()
	var known []string
	const all = "SELECT groupUniqArray(table) FROM system.columns WHERE database = currentDatabase() AND name = 'tenant' AND table IN (SELECT name FROM system.tables WHERE endsWith(engine, 'MergeTree'))"
	if err := conn.QueryRow(t.Context(), all).Scan(&known); err != nil || len(known) != len(tables) {
		t.Fatalf("the store has %v, the test fills %v (%v)", known, tables, err)
	}
	cart, pay, rival := [3]string{"a'c", "shop", "cart"}, [3]string{"a'c", "shop", "pay"}, [3]string{"rival", "shop", "cart"}
	fill(t, conn, cart, pay, rival)
	var log bytes.Buffer
	eraser := erase.New(conn, slog.New(slog.NewTextHandler(&log, nil)))
	call := func(method, query string) (int, erase.Progress) {
		t.Helper()
		rec := httptest.NewRecorder()
		req := httptest.NewRequestWithContext(t.Context(), method, erase.Path+query, nil)
		req.Header.Set(wire.HeaderTenant, "a'c")
		eraser.ServeHTTP(rec, req)
		var p erase.Progress
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		return rec.Code, p
	}
	until := func(query string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; {
			code, p := call(http.MethodDelete, query)
			if p.Done && code == http.StatusOK {
				return
			}
			if p.Done || code != http.StatusAccepted || time.Now().After(deadline) {
				t.Fatalf("%s: %d %+v", query, code, p)
			}
		}
	}
	for _, bad := range []string{"", "?tenant=", "?tenant=a&function=x", "?tenant=a&namespace=x"} {
		if code, _ := call(http.MethodDelete, bad); code != http.StatusUnprocessableEntity {
			t.Errorf("%q: %d", bad, code)
		}
	}
	if code, _ := call(http.MethodDelete, "?tenant=rival"); code != http.StatusForbidden {
		t.Errorf("another tenant than the header's: %d", code)
	}
	if code, p := call(http.MethodGet, "?tenant=a%27c"); code != http.StatusAccepted || len(p.Tables) != len(tables) || p.Tables[0].Rows != 2 {
		t.Errorf("GET: %d %+v", code, p)
	}
	// A deletion that is not asked to go on leaves the figures, behind the rows.
	if _, p := call(http.MethodDelete, "?tenant=a%27c&namespace=shop&function=cart"); len(p.Tables) != len(tables) || p.Tables[len(tables)-1].Running {
		t.Errorf("first call: %+v", p)
	}
	until("?tenant=a%27c&namespace=shop&function=cart")
	for _, table := range tables {
		if got := left(t, conn, table); got != "a'c:shop/pay rival:shop/cart" {
			t.Errorf("a function is gone: %s has rows of %q", table, got)
		}
	}
	until("?tenant=a%27c")
	for _, table := range tables {
		if got := left(t, conn, table); got != "rival:shop/cart" {
			t.Errorf("a tenant is gone: %s has rows of %q", table, got)
		}
	}
	if !strings.Contains(log.String(), `msg=audit audit="delete data"`) {
		t.Errorf("no audit line in\n%s", log.String())
	}
	if code, _ := call(http.MethodPost, "?tenant=a%27c"); code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", code)
	}
}

// A mark whose time is to come is what an aggregator counts on for the rows that it
// writes: it stays until then, and nothing is said to be done before.
func TestEraseLeavesLeases(t *testing.T) {
	conn := readtest.DB(t)
	eraser, scope := erase.New(conn, slog.New(slog.DiscardHandler)), erase.Scope{Tenant: "acme"}
	now := uint64(time.Now().UnixNano())
	mark := schema.MarkRow{Kind: "lines", Tenant: "acme", Namespace: "shop", Function: "old", Dirtied: now - uint64(time.Minute)}
	ahead := mark
	ahead.Function, ahead.Dirtied = "in-use", now+uint64(time.Hour)
	readtest.Insert(t, conn, schema.Marks, mark, ahead)
	for deadline := time.Now().Add(time.Minute); left(t, conn, "rollup_marks") != "acme:shop/in-use"; {
		if p, err := eraser.Erase(t.Context(), scope); err != nil || p.Done || time.Now().After(deadline) {
			t.Fatalf("%+v, %v; there are marks of %s", p, err, left(t, conn, "rollup_marks"))
		}
	}
	if p, err := eraser.Progress(t.Context(), scope); err != nil || p.Done {
		t.Errorf("%+v, %v", p, err)
	}
}

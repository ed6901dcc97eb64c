package rollup_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/aggregator/insert"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// writer writes as the aggregator does, and marks minutes ahead for so long.
func writer(conn driver.Conn, lease time.Duration) *insert.Writer {
	w := insert.NewWriter(conn, slog.New(slog.DiscardHandler), func() {})
	w.Lease = lease
	return w
}

func write(t testing.TB, w *insert.Writer, rows ...schema.LogRow) {
	t.Helper()
	if err := w.Write(t.Context(), &insert.Batch{Logs: rows}); err != nil {
		t.Fatal(err)
	}
}

// rollAll rolls until so many minutes were rolled: those with a lease wait for its end.
func rollAll(t testing.TB, conn driver.Conn, want int) {
	t.Helper()
	r := roller(conn, nil)
	for deadline := time.Now().Add(time.Minute); want > 0; {
		if want -= roll(t, r); time.Now().After(deadline) {
			t.Fatalf("%d minutes are not rolled", want)
		}
	}
}

// dirtied is up to when the first minute of cart is marked.
func dirtied(t testing.TB, conn driver.Conn) (at uint64) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), "SELECT max(dirtied) FROM rollup_state WHERE function = 'cart' AND minute = $1", t0).Scan(&at); err != nil {
		t.Fatal(err)
	}
	return at
}

// Within its lease a minute is not marked again, not rolled, and whatever rolled
// it all the same, its rows count.
func TestLease(t *testing.T) {
	conn := readtest.DB(t)
	w := writer(conn, time.Hour)
	write(t, w, line("cart", 0, 0, 9, 1))
	first := dirtied(t, conn)
	if n := roll(t, roller(conn, nil)); n != 0 {
		t.Errorf("rolled %d minutes within their lease", n)
	}
	rolled := schema.MarkRow{Kind: "lines", Tenant: "acme", Namespace: "shop", Function: "cart", Minute: t0, Rolled: uint64(time.Now().UnixNano())}
	if err := schema.Marks.Insert(t.Context(), conn, []schema.MarkRow{rolled}); err != nil {
		t.Fatal(err)
	}
	write(t, w, line("cart", time.Second, 10, 9, 1))
	same(t, conn, read.Range{})
	if again := dirtied(t, conn); again != first {
		t.Errorf("marked again within the lease: %d, then %d", first, again)
	}
	write(t, writer(conn, 2*time.Hour), line("cart", 2*time.Second, 20, 9, 1))
	if again := dirtied(t, conn); again <= first {
		t.Errorf("not marked by another writer: %d, then %d", first, again)
	}
}

// After its lease a minute is rolled, and marked again by what is written then.
func TestLeaseEnds(t *testing.T) {
	conn := readtest.DB(t)
	w := writer(conn, time.Millisecond)
	for n := range uint64(3) {
		write(t, w, line("cart", time.Second, 10*n, 9, 1))
		if n := clean(t, conn, "lines"); n != 0 {
			t.Errorf("%d minutes are clean, and should not be", n)
		}
		same(t, conn, read.Range{})
		rollAll(t, conn, 1)
		same(t, conn, read.Range{})
	}
}

// heldConn has inserts of lines wait for something.
type heldConn struct {
	driver.Conn
	until func()
}

func (c heldConn) PrepareBatch(ctx context.Context, query string, opts ...driver.PrepareBatchOption) (driver.Batch, error) {
	if strings.HasPrefix(query, "INSERT INTO logs ") {
		c.until()
	}
	return c.Conn.PrepareBatch(ctx, query, opts...)
}

// An insert may take longer than its minute's lease, and be rolled meanwhile: its
// minute is marked again before anybody is told that it is stored.
func TestLateInsert(t *testing.T) {
	conn := readtest.DB(t)
	held := heldConn{conn, func() { rollAll(t, conn, 1) }}
	write(t, writer(held, time.Millisecond), line("cart", 0, 0, 9, 1))
	if n := clean(t, conn, "lines"); n != 0 {
		t.Errorf("%d minutes are clean without their lines", n)
	}
	same(t, conn, read.Range{})
	rollAll(t, conn, 1)
	same(t, conn, read.Range{})
}

// What the writer marks is what the views mark.
func TestMarksOfAll(t *testing.T) {
	start := schema.ColdStartRow{Tenant: "acme", Namespace: "shop", Function: "cart", Instance: "i1"}
	demanded, other := start, start
	demanded.DemandedAt, other.Instance = new(t0.Add(70*time.Second)), "i2"
	batch := insert.Batch{
		Logs:        []schema.LogRow{line("cart", 0, 0, 9, 1), line("cart", 59*time.Second, 1, 9, 1), line("cart", time.Minute, 2, 9, 1), line("pay", 26*time.Hour, 0, 0, 1), line("old", -t0.Sub(time.Unix(1, 0)), 0, 0, 1)},
		Invocations: []schema.InvocationRow{invocation("a", 0), invocation("b", time.Second), invocation("c", -time.Nanosecond)},
		ColdStarts:  []schema.ColdStartRow{demanded, start, other},
		Phases:      []schema.PhaseRow{{Tenant: "acme", Namespace: "shop", Function: "cart", Instance: "i3", Phase: "pull", Start: t0, End: t0}},
	}
	marks := func(conn driver.Conn) (all []string) {
		t.Helper()
		const list = `SELECT groupArray(m) FROM
(
    SELECT concat(kind, ' ', tenant, ' ', namespace, ' ', function, ' ', toString(minute)) AS m FROM rollup_state WHERE dirtied > rolled
    UNION ALL
    SELECT concat(tenant, ' ', namespace, ' ', function, ' ', instance, ' ', toString(groupUniqArrayArray(minutes))) AS m
    FROM rollup_instances GROUP BY tenant, namespace, function, instance HAVING max(dirtied) > 0
    ORDER BY m
)`
		if err := conn.QueryRow(t.Context(), list).Scan(&all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	byViews, byWriter := readtest.DB(t), readtest.DB(t)
	readtest.Insert(t, byViews, schema.Logs, batch.Logs...)
	readtest.Insert(t, byViews, schema.Invocations, batch.Invocations...)
	readtest.Insert(t, byViews, schema.ColdStarts, batch.ColdStarts...)
	readtest.Insert(t, byViews, schema.Phases, batch.Phases...)
	if err := writer(byWriter, time.Minute).Write(t.Context(), &batch); err != nil {
		t.Fatal(err)
	}
	want := marks(byViews)
	if len(want) != 10 {
		t.Errorf("the views mark %q", want)
	}
	if diff := gocmp.Diff(want, marks(byWriter)); diff != "" {
		t.Errorf("(-views +writer):\n%s", diff)
	}
}

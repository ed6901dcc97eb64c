package limit_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/query/limit"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

func run(ctx context.Context, conn driver.Conn, sql string) (rows int, err error) {
	r, err := conn.Query(ctx, sql)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for r.Next() {
		rows++
	}
	return rows, r.Err()
}

// TestLimits: the engine ends what goes beyond each limit, and the answer names
// the limit, the setting and a way out.
func TestLimits(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	for name, test := range map[string]struct {
		limits         func(*limit.Query)
		rows           int
		sql, kind, say string
	}{
		"time":   {func(q *limit.Query) { q.Time = time.Second }, 10, "SELECT sum(sleepEachRow(0.2)) FROM numbers(100) SETTINGS max_block_size = 1", limit.TypeTime, "longer than it may (1s)"},
		"rows":   {func(q *limit.Query) { q.RowsRead = 1000 }, 10, "SELECT sum(number) FROM system.numbers LIMIT 1", limit.TypeRows, "more rows than it may (1000)"},
		"memory": {func(q *limit.Query) { q.Memory = 16 << 20 }, 10, "SELECT length(groupArray(number)) FROM numbers(20000000)", limit.TypeMemory, "more memory than it may have (16777216 bytes)"},
		"answer": {func(*limit.Query) {}, 10, "SELECT number FROM numbers(11)", limit.TypeRows, ""},
		"within": {func(*limit.Query) {}, 10, "SELECT number FROM numbers(10)", "", ""},
		"stream": {func(*limit.Query) {}, 0, "SELECT number FROM numbers(100000)", "", ""},
		"other":  {func(*limit.Query) {}, 10, "SELECT nothing", "", "UNKNOWN"},
	} {
		t.Run(name, func(t *testing.T) {
			q := limit.DefaultQuery()
			test.limits(&q)
			if err := q.Validate(); err != nil {
				t.Fatal(err)
			}
			_, err := run(q.Context(t.Context(), test.rows), conn, test.sql)
			p, ok := q.Problem(err)
			if ok != (test.kind != "") || p.Type != test.kind {
				t.Fatalf("%+v of %v", p, err)
			}
			if ok && (p.Status != 422 || !strings.Contains(p.Detail, test.say) || !strings.Contains(p.Detail, "query.limits.") || !strings.Contains(p.Detail, "narrow")) {
				t.Errorf("%+v", p)
			}
		})
	}
}

// TestCodes: the numbers mean what the package takes them for.
func TestCodes(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	for code, want := range limit.Codes {
		var got string
		if err := conn.QueryRow(t.Context(), "SELECT errorCodeToName($1)", code).Scan(&got); err != nil || got != want {
			t.Errorf("%d is %s, not %s: %v", code, got, want, err)
		}
	}
}

// TestGone: a query whose caller has gone does not run on.
func TestGone(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	const mark = "of somebody who goes"
	running := func() (n uint64) {
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE position(query, $1) > 0 AND position(query, 'system.processes') = 0", mark).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := run(limit.DefaultQuery().Context(ctx, 10), conn, "SELECT sum(sleepEachRow(0.01)), '"+mark+"' FROM numbers(100000) SETTINGS max_block_size = 1, max_execution_time = 600")
		ended <- err
	}()
	for running() == 0 {
		select {
		case err := <-ended:
			t.Fatalf("it ended by itself: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	for running() > 0 { // the test's own deadline ends it if the query runs on
		<-time.After(10 * time.Millisecond)
	}
}

// TestTurns: never more at once than there may be, of one tenant fewer, and
// who waits gets a turn when one ends.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := limit.NewTurns(3, 2, time.Minute)
		var mu sync.Mutex
		running, most := map[string]int{}, map[string]int{}
		count := func(tenant string, by int) {
			mu.Lock()
			defer mu.Unlock()
			for _, of := range []string{tenant, "all"} {
				running[of] += by
				most[of] = max(most[of], running[of])
			}
		}
		var all sync.WaitGroup
		for n := range 60 {
			tenant := []string{"alice", "bob", "carol"}[n%3]
			all.Go(func() {
				done, err := turns.Take(t.Context(), tenant)
				if err != nil {
					t.Error(err)
					return
				}
				defer done()
				count(tenant, 1)
				time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
				count(tenant, -1)
			})
		}
		all.Wait()
		if most["all"] != 3 || most["alice"] > 2 || most["bob"] > 2 || most["carol"] > 2 {
			t.Errorf("at once: %v", most)
		}
		if n := turns.Tenants(); n != 0 {
			t.Errorf("%d tenants are remembered", n)
		}
	})
}

func TestTurnsRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := limit.NewTurns(2, 1, time.Second)
		done, err := turns.Take(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = turns.Take(t.Context(), "alice")
		if busy, ok := errors.AsType[*limit.BusyError](err); !ok || !busy.Tenant || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		other, err := turns.Take(t.Context(), "bob")
		if err != nil {
			t.Fatal(err)
		}
		_, err = turns.Take(t.Context(), "carol")
		if busy, ok := errors.AsType[*limit.BusyError](err); !ok || busy.Tenant {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := turns.Take(ctx, "carol"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		done()
		other()
		if n := turns.Tenants(); n != 0 {
			t.Errorf("%d tenants are remembered", n)
		}
	})
}

func TestValidate(t *testing.T) {
	err := limit.Query{Threads: -1}.Validate()
	for _, key := range []string{"time:", "rows_read:", "memory:", "threads:"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("nothing about %s in %v", key, err)
		}
	}
}

package read_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// TestCluster: every query gives over two shards what it gives over one.
func TestCluster(t *testing.T) {
	one, two := read.New(filled(t, readtest.DB(t))), read.New(filled(t, readtest.Cluster(t)))
	ctx, now := t.Context(), readtest.At(20)
	functions := read.InvocationQuery{Limit: 7}
	for name, ask := range map[string]func(*read.Reader) (any, error){
		"functions": func(r *read.Reader) (any, error) { return r.Functions(ctx, readtest.Tenant, read.Range{}) },
		"starts": func(r *read.Reader) (any, error) {
			starts, _, err := r.ColdStarts(ctx, readtest.Tenant, read.StartFilter{})
			return starts, err
		},
		"starts of a function": func(r *read.Reader) (any, error) {
			starts, _, err := r.ColdStarts(ctx, readtest.Tenant, read.StartFilter{Namespace: "default", Function: "f3"})
			return starts, err
		},
		"list": func(r *read.Reader) (any, error) {
			var pages []*read.InvocationList
			f := functions
			for {
				page, err := r.Invocations(ctx, readtest.Tenant, f)
				if err != nil || len(pages) > 100 {
					return nil, fmt.Errorf("page %d: %w", len(pages), err)
				}
				pages = append(pages, page)
				if page.NextCursor == "" {
					return pages, nil
				}
				if f.After, err = read.ParseCursor(page.NextCursor); err != nil {
					return nil, err
				}
			}
		},
		"logs": func(r *read.Reader) (any, error) { return logs(t, r, &read.LogFilter{Ascending: true}) },
		"logs of a function, by memory": func(r *read.Reader) (any, error) {
			return logs(t, r, &read.LogFilter{Function: "inference", Order: read.LogsByMemory})
		},
		"logs by a word": func(r *read.Reader) (any, error) { return logs(t, r, &read.LogFilter{Keyword: "PREDICT"}) },
		"logs by told of": func(r *read.Reader) (any, error) {
			return logs(t, r, &read.LogFilter{Keyword: "http 200", Platform: true})
		},
		"known functions":      func(r *read.Reader) (any, error) { return r.KnownFunctions(ctx, readtest.Tenant, "default") },
		"a known function":     func(r *read.Reader) (any, error) { return r.Knows(ctx, readtest.Tenant, "default", "f4") },
		"a function of nobody": func(r *read.Reader) (any, error) { return r.Knows(ctx, readtest.Tenant, "default", "nobody") },
		"cold":                 request(t, readtest.Cold, now),
		"twice":                request(t, readtest.Twice, now),
		"failed":               request(t, readtest.Failed, now),
		"no start":             request(t, readtest.NoStart, now),
		"elsewhere":            request(t, "r-f4", now),
		"untold":               request(t, "u-f5", now),
	} {
		t.Run(name, func(t *testing.T) {
			want, err := ask(one)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ask(two)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-one +two):\n%s", diff)
			}
		})
	}
}

func request(t *testing.T, id string, now time.Time) func(*read.Reader) (any, error) {
	return func(r *read.Reader) (any, error) {
		return r.Request(t.Context(), readtest.Tenant, read.RequestFilter{ID: id}, now)
	}
}

// filled adds functions to the sample, so that there are some on both shards,
// with facts in parts and a line that was corrected.
func filled(t *testing.T, conn driver.Conn) driver.Conn {
	t.Helper()
	readtest.Sample(t, conn)
	for n := range 8 {
		f := fmt.Sprint("f", n)
		at := readtest.At(float64(n))
		started := schema.InvocationRow{Tenant: readtest.Tenant, Namespace: "default", Function: f, StartedAt: at, RequestID: "r-" + f, Instance: "i-" + f}
		ended := started
		ended.EndedAt, ended.Status, ended.DurationNS = new(at.Add(time.Second)), new("ok"), new(int64(time.Second))
		started.Version = new("v1")
		demanded := schema.ColdStartRow{Tenant: readtest.Tenant, Namespace: "default", Function: f, Instance: "i-" + f}
		ready := demanded
		demanded.DemandedAt, ready.ReadyAt = new(at.Add(-time.Second)), new(at)
		line := schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: readtest.Tenant, Namespace: "default", Function: f, Instance: "i-" + f},
				Time: at.Add(time.Millisecond), Stream: "stdout", Body: "a line of " + f, FileID: uint64(n),
			},
			Attribution: "none", Revision: 1,
		}
		corrected := line
		corrected.RequestID, corrected.Attribution, corrected.Revision = started.RequestID, "window", 2
		readtest.Insert(t, conn, schema.Invocations, ended)
		readtest.Insert(t, conn, schema.Invocations, started)
		readtest.Insert(t, conn, schema.ColdStarts, ready)
		readtest.Insert(t, conn, schema.ColdStarts, demanded)
		readtest.Insert(t, conn, schema.Logs, corrected)
		readtest.Insert(t, conn, schema.Logs, line)
		line.RequestID, line.Attribution, line.FileID = "u-"+f, "explicit", 100+line.FileID
		readtest.Insert(t, conn, schema.Logs, line)
	}
	return conn
}

// logs reads logs with all that belongs to them.
func logs(t *testing.T, r *read.Reader, f *read.LogFilter) (any, error) {
	t.Helper()
	f.Namespace, f.Limit = "default", 50
	if f.Order == "" {
		f.Order = read.LogsByStart
	}
	list, total, err := r.Logs(t.Context(), readtest.Tenant, f)
	if err != nil {
		return nil, err
	}
	if total == 0 {
		t.Errorf("no logs by %+v", f)
	}
	limits := read.LogLimits{LineBytes: 100, Lines: 10, Bytes: 1000, AllBytes: 100_000}
	return []any{total, list}, r.Print(t.Context(), readtest.Tenant, f, list, limits, readtest.At(20))
}

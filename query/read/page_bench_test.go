package read_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// BenchmarkPage reads requests' pages out of three million lines of 200
// functions: ten lines a request, every tenth request told of by nobody. What
// it reports beside ns/op is of one page, too.
func BenchmarkPage(b *testing.B) {
	conn := readtest.DB(b)
	const lines, blocks = 3_000_000, 6
	begin := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	function := func(request int) string { return fmt.Sprint("f", request%200) }
	for n := range blocks {
		from, count := n*lines/blocks, lines/blocks
		for _, sql := range []string{
			`INSERT INTO logs (tenant, namespace, function, version, instance, ts, stream, request_id, attribution, packed, file_id, offset, revision)
			SELECT 'default', 'n', concat('f', toString(intDiv(number, 10) %% 200)), 'v', concat('i', toString(intDiv(number, 10) %% 2000)),
				fromUnixTimestamp64Nano(%[1]d + toInt64(number) * 20000000, 'UTC'), 'stdout', hex(MD5(toString(intDiv(number, 10)))), 'explicit',
				concat('INFO handled ', toString(cityHash64(number)), ' in a while, and went on to the next'), intDiv(number, 10) %% 2000, number, 1 FROM numbers(%[2]d, %[3]d)`,
			`INSERT INTO invocations (tenant, namespace, function, instance, started_at, ended_at, request_id, status)
			SELECT 'default', 'n', concat('f', toString(number %% 200)), concat('i', toString(number %% 2000)),
				fromUnixTimestamp64Nano(%[1]d + toInt64(number) * 200000000, 'UTC') AS s, s + 0.5, hex(MD5(toString(number))), 'ok'
			FROM numbers(intDiv(%[2]d, 10), intDiv(%[3]d, 10)) WHERE number %% 10 != 9`,
			`INSERT INTO cold_starts (tenant, namespace, function, instance, demanded_at, ready_at, request_id)
			SELECT 'default', 'n', concat('f', toString(number %% 200)), concat('i', toString(number)),
				fromUnixTimestamp64Nano(%[1]d + toInt64(number) * 200000000, 'UTC') AS s, s + 0.1, hex(MD5(toString(number)))
			FROM numbers(2000) WHERE %[2]d = 0 AND %[3]d > 0`,
		} {
			if err := conn.Exec(b.Context(), fmt.Sprintf(sql, begin.UnixNano(), from, count)); err != nil {
				b.Fatal(err)
			}
		}
	}
	id := func(request int) (id string) {
		if err := conn.QueryRow(b.Context(), "SELECT hex(MD5(toString({n:Int64})))", clickhouse.Named("n", request)).Scan(&id); err != nil {
			b.Fatal(err)
		}
		return id
	}
	r := read.New(conn)
	for _, kind := range []struct {
		name  string
		first int // of the requests, by 1000
	}{{"warm", 7000}, {"cold", 0}, {"untold", 7009}} {
		for _, given := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s,given=%v", kind.name, given), func(b *testing.B) {
				filters := make([]read.RequestFilter, 250)
				for i := range filters {
					n := kind.first + i*1130
					if kind.name == "cold" {
						n = i * 7 / 10 * 10
					}
					filters[i] = read.RequestFilter{ID: id(n)}
					if given {
						filters[i].Namespace, filters[i].Function = "n", function(n)
					}
				}
				var took []time.Duration
				for i := 0; b.Loop(); i++ {
					at := time.Now()
					page, err := r.Request(b.Context(), "default", filters[i%len(filters)], begin.Add(24*time.Hour))
					if err != nil || len(page.Lines) < 10 || (page.ColdStart != nil) != (kind.name == "cold") {
						b.Fatalf("%+v: %+v %v", filters[i%len(filters)], page, err)
					}
					took = append(took, time.Since(at))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
			})
		}
	}
}

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

// BenchmarkPage reads requests' pages out of readtest.Many. What it reports
// beside ns/op is of one page, too.
func BenchmarkPage(b *testing.B) {
	conn := readtest.DB(b)
	begin := readtest.Many(b, conn)
	function := func(request int) string { return fmt.Sprint("f", request%200) }
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

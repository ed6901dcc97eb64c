package rollup_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// TestShards: figures of functions on several shards, made by one roller, say
// what the rows say, before and after corrections.
func TestShards(t *testing.T) {
	conn := readtest.Cluster(t)
	minutes := func(rows []schema.LogRow) int {
		all := map[string]bool{}
		for i := range rows {
			all[fmt.Sprint(rows[i].Function, rows[i].Time.Truncate(time.Minute))] = true
		}
		return len(all)
	}
	var rows []schema.LogRow
	for n := range uint64(300) {
		rows = append(rows, line(fmt.Sprint("f", n%10), time.Duration(n)*time.Second, n, 9, 1))
	}
	w := writer(conn, time.Millisecond)
	write(t, w, rows...)
	same(t, conn, read.Range{})
	rollAll(t, conn, minutes(rows))
	if n := clean(t, conn, "lines"); n != uint64(minutes(rows)) {
		t.Errorf("%d minutes are clean, want %d", n, minutes(rows))
	}
	same(t, conn, read.Range{})

	var corrected []schema.LogRow
	for n := range uint64(70) {
		corrected = append(corrected, line(fmt.Sprint("f", n%10), time.Duration(n)*time.Second, n, 17, 2))
	}
	write(t, w, corrected...)
	same(t, conn, read.Range{})
	rollAll(t, conn, minutes(corrected))
	same(t, conn, read.Range{})
}

package schema

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
)

// TestInsert: what is inserted is what is stored, with few words and with more
// than each width of a LowCardinality key can tell apart.
func TestInsert(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	if err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 25, 0, 0, 0, 1, time.UTC)
	for _, functions := range []int{1, 255, 256, 70_000} {
		rows := make([]LogRow, functions)
		want := uint64(0)
		for i := range rows {
			rows[i] = LogRow{
				Line: &faas.Line{
					Ref: faas.Ref{
						Tenant: strconv.Itoa(functions), Namespace: strings.Repeat("n", i%3), Function: fmt.Sprint("f", i), Instance: "i",
					},
					Stream: faas.Stdout, Time: at, Body: fmt.Sprint("line ", i), Offset: uint64(i),
				},
				Attribution: faas.AttributionNone,
			}
			for k := range i % 4 {
				rows[i].Attributes = append(rows[i].Attributes, faas.Attribute{Key: fmt.Sprint("k", (i+k)%300), Value: strconv.Itoa(i)})
				rows[i].Candidates = append(rows[i].Candidates, fmt.Sprintf("c%d%d", i, k))
				want += 2
			}
		}
		if err := Logs.Insert(t.Context(), conn, rows); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Rows, Functions, Good, Parts uint64
		}
		err := conn.QueryRow(t.Context(), `
			SELECT count(), uniqExact(function), countIf(function = concat('f', toString(offset)) AND body = concat('line ', toString(offset))
				AND length(namespace) = offset % 3
				AND mapValues(attributes) = arrayMap(k -> toString(offset), range(offset % 4))
				AND arraySort(mapKeys(attributes)) = arraySort(arrayMap(k -> concat('k', toString((offset + k) % 300)), range(offset % 4)))
				AND candidates = arrayMap(k -> concat('c', toString(offset), toString(k)), range(offset % 4))),
				sum(length(attributes) + length(candidates))
			FROM logs WHERE tenant = $1`, strconv.Itoa(functions)).Scan(&got.Rows, &got.Functions, &got.Good, &got.Parts)
		if err != nil {
			t.Fatal(err)
		}
		n := uint64(functions)
		if diff := cmp.Diff(struct{ Rows, Functions, Good, Parts uint64 }{n, n, n, want}, got); diff != "" {
			t.Errorf("%d functions (-want +got):\n%s", functions, diff)
		}
	}
}

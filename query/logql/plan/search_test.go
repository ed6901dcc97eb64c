package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/read/readtest"
)

const (
	first  = "cb792a42-d5e6-d514-96dc-6da958266531"
	second = "timeout-exceeded"
)

// stored are lines with IDs in their texts and beside them, some of them
// corrected, in parts of their own.
func stored(t *testing.T) func(sql string, args map[string]any) []uint64 {
	t.Helper()
	conn := readtest.DB(t)
	row := func(n int, body, request string, revision uint64) schema.LogRow {
		return schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: "t", Namespace: "n", Function: fmt.Sprint("f", n%2), Instance: "i"},
				Time: readtest.At(float64(n)), Stream: faas.Stdout, Body: body, Offset: uint64(n),
			},
			RequestID: request, Attribution: faas.AttributionExplicit, Revision: revision,
		}
	}
	for n, body := range []string{
		"begin RequestId: " + first + " end", "of " + first, first, first + " " + second, "x" + first,
		"timeout exceeded " + second, `{"id":"` + second + `","msg":"timeout exceeded"}`, "nothing of the kind", "",
	} {
		readtest.Insert(t, conn, schema.Logs, row(n, body, first, 1))
		readtest.Insert(t, conn, schema.Logs, row(100+n, body, second, 1), row(200+n, body, "", 1))
		readtest.Insert(t, conn, schema.Logs, row(300+n, body, first, 1), row(400+n, body, second, 1))
		readtest.Insert(t, conn, schema.Logs, row(300+n, body, second, 2), row(400+n, body, "", 2))
	}
	return func(sql string, args map[string]any) []uint64 {
		t.Helper()
		var named []any
		for name, value := range args {
			named = append(named, clickhouse.Named(name, value))
		}
		var got []uint64
		if err := conn.QueryRow(t.Context(), sql, named...).Scan(&got); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		slices.Sort(got)
		return got
	}
}

// TestContains: a search of the stored texts finds what a search of the lines
// does, wherever the word lies over an ID.
func TestContains(t *testing.T) {
	offsets := stored(t)
	words := []string{"", " ", "%", "e", "timeout exceeded", "exceeded " + second, "timeout-exceeded\"", ":\"timeout", "\x01", "d e", first + " t", "x" + first}
	for _, text := range []string{"RequestId: " + first + " end", first + " " + second} {
		for at := 0; at < len(text); at += 3 {
			for _, n := range []int{1, 2, 7, 12, 40} {
				words = append(words, text[at:min(at+n, len(text))])
			}
		}
	}
	for _, word := range words {
		b := newBuilder("t")
		plain := b.text("%" + likeEscapes.Replace(word) + "%")
		want := offsets("SELECT groupArray(offset) FROM logs FINAL WHERE body LIKE "+plain, b.args)
		b = newBuilder("t")
		got := offsets("SELECT groupArray(offset) FROM logs FINAL PREWHERE "+b.contains(word), b.args)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", word, diff)
		}
	}
}

// TestWhich: lines that were corrected are what they are now, whatever is asked.
func TestWhich(t *testing.T) {
	offsets := stored(t)
	since, until := readtest.At(0).UnixNano(), readtest.At(3600).UnixNano()
	for query, where := range map[string]string{
		`{function="f1"}`:                                                          "function = 'f1'",
		`{request_id="` + first + `"}`:                                             "request_id = '" + first + "'",
		`{request_id="` + second + `"}`:                                            "request_id = '" + second + "'",
		`{namespace="n",request_id=""}`:                                            "request_id = ''",
		`{namespace="n",request_id!="` + second + `"}`:                             "request_id != '" + second + "'",
		`{request_id="` + first + `",function="f1"}`:                               "request_id = '" + first + "' AND function = 'f1'",
		`{function=~"f0|f1"} |= "timeout" | request_id="` + second + `"`:           "body LIKE '%timeout%' AND request_id = '" + second + "'",
		`{namespace="n",function!="f0"} != "timeout" | request_id="` + first + `"`: "function != 'f0' AND body NOT LIKE '%timeout%' AND request_id = '" + first + "'",
		`{attribution="explicit"} |= "of " or "kind"`:                              "(body LIKE '%of %' OR body LIKE '%kind%')",
		`{function="f1"} |~ "^of"`:                                                 "function = 'f1' AND match(body, '^of')",
	} {
		e, err := logql.Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		want := offsets("SELECT groupArray(offset) FROM logs FINAL WHERE "+where, nil)
		b := newBuilder("t")
		c, rest := b.log(e.(*logql.LogExpr))
		if len(rest) > 0 || len(want) == 0 {
			t.Fatalf("%s: %d stages are left, %d lines are wanted", query, len(rest), len(want))
		}
		if one := strings.Contains(query, "request_id=\"") && !strings.Contains(query, `request_id=""`); ForLines(e.(*logql.LogExpr)).OfRequest() != one {
			t.Errorf("%s: is of one request: %v", query, !one)
		}
		sql := "SELECT groupArray(offset) " + b.from(&c, e.(*logql.LogExpr), since, until)
		if diff := cmp.Diff(want, offsets(sql, b.args)); diff != "" {
			t.Errorf("%s (-want +got):\n%s%s", query, diff, sql)
		}
	}
}

package recall_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/aggregator/recall"
	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

var epoch = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

func ref(instance string) faas.Ref {
	return faas.Ref{Tenant: "t", Namespace: "ns", Function: "fn", Instance: instance}
}

func exec(t *testing.T, conn driver.Conn, sql string) {
	t.Helper()
	if err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// fill stores lines of two instances, one each 10 ms of each for 200 s, of which the
// text is the time in ms; each of them twice, with another request; and events.
func fill(t *testing.T, conn driver.Conn) {
	t.Helper()
	for _, s := range []struct{ stream, request, attribution, file, revision string }{
		{"stdout", "'a'", "window", "1", "1"}, {"stdout", "'b'", "late", "1", "2"}, {"platform", "''", "init", "2", "3"},
	} {
		exec(t, conn, fmt.Sprintf(`INSERT INTO logs (tenant, namespace, function, instance, ts, stream, request_id, attribution, packed, file_id, offset, revision)
			SELECT 't', 'ns', 'fn', concat('i', toString(number %% 2)), fromUnixTimestamp64Milli(%d + intDiv(number, 2) * 10, 'UTC'),
				'%s', %s, '%s', toString(intDiv(number, 2) * 10), %s, number, %s FROM numbers(40000) SETTINGS distributed_foreground_insert = 1`,
			epoch.UnixMilli(), s.stream, s.request, s.attribution, s.file, s.revision))
	}
}

// texts reads spans in pages of a size until nothing is left, as the aggregator does.
func texts(t *testing.T, conn driver.Conn, instance string, limit int, spans ...recall.Span) string {
	t.Helper()
	found, err := recall.Lines(t.Context(), conn, spans, limit)
	if err != nil {
		t.Fatal(err)
	}
	f := found[ref(instance)]
	if f == nil {
		return ""
	}
	var all []string
	for n := range f.Lines {
		if l := &f.Lines[n]; l.RequestID == "b" && l.Stream == faas.Stdout {
			all = append(all, l.Body)
		} else {
			t.Errorf("line %q of %s of %q", l.Body, l.Stream, l.RequestID)
		}
	}
	slices.Reverse(all)
	text := fmt.Sprint(len(all), " lines")
	if len(all) > 0 && len(all) <= 8 {
		text = strings.Join(all, " ")
	} else if len(all) > 0 {
		text += " " + all[0] + " to " + all[len(all)-1]
	}
	if !f.Rest.IsZero() {
		text += fmt.Sprint(", rest up to ", f.Rest.Sub(epoch).Milliseconds())
	}
	return text
}

// TestLines: of each instance's spans the lines as they are now, and nothing
// beside them, whether the spans are short, several, or long.
func TestLines(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	if err := schema.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	fill(t, conn)
	checkLines(t, conn)
}

// TestLinesOfShards is the same in a cluster.
func TestLinesOfShards(t *testing.T) {
	s := clickhousetest.Cluster(t)
	c, err := schema.PrepareCluster(t.Context(), s.DSN, schema.Cluster{Name: clickhousetest.TwoShards})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	conn, err := clickhouse.Open(t.Context(), s.DSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	fill(t, conn)
	checkLines(t, conn)
}

func checkLines(t *testing.T, conn driver.Conn) {
	t.Helper()
	span := func(instance string, from, to int) recall.Span {
		return recall.Span{Ref: ref(instance), From: at(from), To: at(to)}
	}
	const all = 1000
	for name, test := range map[string]struct {
		spans []recall.Span
		limit int
		want  map[string]string // by instance
	}{
		"short":     {[]recall.Span{span("i0", 95, 125)}, all, map[string]string{"i0": "100 110 120", "i1": ""}},
		"both ends": {[]recall.Span{span("i0", 100, 110)}, all, map[string]string{"i0": "100 110"}},
		"several": {
			[]recall.Span{span("i0", 100, 110), span("i1", 500, 500), span("i0", 100_000, 100_010), span("i0", 130, 135)},
			all,
			map[string]string{"i0": "100 110 130 100000 100010", "i1": "500"},
		},
		"pages": {[]recall.Span{span("i0", 100, 110), span("i0", 100_000, 100_020)}, 2, map[string]string{"i0": "100010 100020, rest up to 100010"}},
		"long":  {[]recall.Span{span("i0", 0, 150_000), span("i0", 160_000, 160_000), span("i1", 0, 10)}, 20_000, map[string]string{"i0": "15002 lines 0 to 160000", "i1": "0 10"}},
		"endless": {
			[]recall.Span{{Ref: ref("i0"), To: time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)}},
			20_001,
			map[string]string{"i0": "20000 lines 0 to 199990"},
		},
		"nothing": {[]recall.Span{span("i0", 101, 109), span("i2", 0, 1000)}, all, map[string]string{"i0": "", "i2": ""}},
	} {
		for instance, want := range test.want {
			if got := texts(t, conn, instance, test.limit, test.spans...); got != want {
				t.Errorf("%s, %s: %s, want %s", name, instance, got, want)
			}
		}
	}
}

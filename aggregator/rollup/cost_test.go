package rollup_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/query/read/readtest"
)

// BenchmarkCost says what marks and figures cost the engine, in seconds of CPU
// per million lines: lines of 200 functions over ten minutes, 150 bytes each,
// in inserts of 50,000 lines. Not merged yet is the dearest case; by the time a
// minute is quiet, most are.
func BenchmarkCost(b *testing.B) {
	const blocks, lines = 20, 50_000
	for _, c := range []struct{ marks, merged bool }{{false, false}, {true, false}, {true, true}} {
		b.Run(fmt.Sprintf("marks=%t/merged=%t", c.marks, c.merged), func(b *testing.B) {
			conn := readtest.DB(b)
			exec(b, conn, fmt.Sprintf(`CREATE TABLE source ENGINE = Memory AS SELECT number AS n, number %% 200 AS f,
arrayStringConcat(arrayMap(i -> hex(sipHash128(number, i)), range(4)), ' a line ') AS body FROM numbers(%d)`, lines))
			exec(b, conn, "SYSTEM STOP MERGES logs")
			if !c.marks {
				exec(b, conn, "DROP VIEW rollup_marks_lines")
			}
			r := roller(conn, nil)
			roll(b, r)
			var inserts, rolls time.Duration
			for n := range b.N {
				before := engineCPU(b)
				for block := range blocks {
					exec(b, conn, fmt.Sprintf(`INSERT INTO logs (tenant, namespace, function, version, instance, ts, stream, attribution, packed, file_id, offset, revision)
SELECT 'acme', 'shop', concat('f', toString(f)), 'v1', 'i', fromUnixTimestamp64Nano(%d + toInt64(n) * 600000, 'UTC'), 'stdout', 'none', body, f, n, 1 FROM source`,
						t0.Add(time.Duration(n)*time.Hour+time.Duration(block)*30*time.Second).UnixNano()))
				}
				inserts += engineCPU(b) - before
				if c.merged {
					exec(b, conn, "SYSTEM START MERGES logs")
					exec(b, conn, "OPTIMIZE TABLE logs FINAL")
					exec(b, conn, "SYSTEM STOP MERGES logs")
				}
				before = engineCPU(b)
				roll(b, r)
				rolls += engineCPU(b) - before
			}
			b.ReportMetric(inserts.Seconds()/float64(b.N), "insert-cpu-s/Mline")
			b.ReportMetric(rolls.Seconds()/float64(b.N), "roll-cpu-s/Mline")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func exec(t testing.TB, conn driver.Conn, query string) {
	t.Helper()
	if err := conn.Exec(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

// engineCPU is the CPU time of our children, of which there is one: the engine.
func engineCPU(t testing.TB) time.Duration {
	t.Helper()
	total := 0
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		children, err := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		if err != nil {
			continue // the thread has ended
		}
		for pid := range strings.FieldsSeq(string(children)) {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil {
				t.Fatal(err)
			}
			fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
			for _, f := range fields[11:13] { // user and system time
				ticks, err := strconv.Atoi(f)
				if err != nil {
					t.Fatal(err)
				}
				total += ticks
			}
		}
	}
	return time.Duration(total) * 10 * time.Millisecond // 100 ticks a second on Linux
}

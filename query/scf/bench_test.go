package scf_test

import (
	"crypto/md5"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coldscope/coldscope/query/read/readtest"
)

// BenchmarkGetFunctionLogs answers whole signed requests over readtest.Many.
// What it reports beside ns/op is of one request, too.
func BenchmarkGetFunctionLogs(b *testing.B) {
	conn := readtest.DB(b)
	readtest.Many(b, conn)
	h := handler(b, conn)
	const day = `"Namespace":"n","StartTime":"2026-05-04 08:00:00","EndTime":"2026-05-05 08:00:00"`
	function := func(i int) int { return i * 10 % 200 } // of which all requests are told
	for name, body := range map[string]func(i int) string{
		"newest 20 of a day": func(i int) string { return fmt.Sprintf(`{"FunctionName":"f%d",%s}`, function(i), day) },
		"newest 20 of an hour": func(i int) string {
			return fmt.Sprintf(`{"FunctionName":"f%d","Namespace":"n","StartTime":"2026-05-04 %02d:00:00","EndTime":"2026-05-04 %02d:59:59"}`, function(i), 8+i%15, 8+i%15)
		},
		"one request": func(i int) string {
			n := i * 1130 % 300_000 // told of
			return fmt.Sprintf(`{"FunctionName":"f%d","FunctionRequestId":%q,%s}`, n%200, requestOfMany(n), day)
		},
		"slowest 20": func(i int) string {
			return fmt.Sprintf(`{"FunctionName":"f%d","OrderBy":"duration",%s}`, function(i), day)
		},
		"a rare word": func(i int) string {
			return fmt.Sprintf(`{"FunctionName":"f%d","SearchContext":{"Keyword":"%d"},%s}`, i%200, 1234500+i, day)
		},
		"1000 of a day":         func(i int) string { return fmt.Sprintf(`{"FunctionName":"f%d","Limit":1000,%s}`, function(i), day) },
		"20 of all functions":   func(int) string { return `{` + day + `}` },
		"list of functions":     nil,
		"status of one request": nil,
	} {
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			var took []time.Duration
			before := engineCPU(b)
			for i := 0; b.Loop(); i++ {
				s := valid()
				s.action = "GetFunctionLogs"
				switch {
				case body != nil:
					s.body = body(i)
				case name == "list of functions":
					s.action, s.body = "ListFunctions", `{"Namespace":"n"}`
				default:
					s.action, s.body = "GetRequestStatus", fmt.Sprintf(`{"FunctionName":"f%d","FunctionRequestId":%q,%s}`, function(i), requestOfMany(function(i)), day)
				}
				r := s.request(b)
				w := httptest.NewRecorder()
				at := time.Now()
				h.ServeHTTP(w, r)
				took = append(took, time.Since(at))
				if strings.Contains(w.Body.String(), `"Error"`) || name != "a rare word" && strings.Contains(w.Body.String(), `"TotalCount":0,`) {
					b.Fatalf("%s: %s", s.body, w.Body)
				}
			}
			b.ReportMetric(float64((engineCPU(b)-before).Microseconds())/1000/float64(len(took)), "engine-cpu-ms")
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
		})
	}
}

// requestOfMany is the ID of one of readtest.Many's requests.
func requestOfMany(n int) string {
	return strings.ToUpper(fmt.Sprintf("%x", md5.Sum([]byte(strconv.Itoa(n)))))
}

// engineCPU is the processor time of this process's children, of which the
// engine is the only one; 0 where the kernel does not tell.
func engineCPU(b *testing.B) (used time.Duration) {
	b.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		b.Fatal(err)
	}
	for _, list := range lists {
		children, err := os.ReadFile(list)
		if err != nil {
			continue // a thread that has gone
		}
		for child := range strings.FieldsSeq(string(children)) {
			stat, err := os.ReadFile("/proc/" + child + "/stat")
			if err != nil {
				b.Fatal(err)
			}
			_, rest, _ := strings.Cut(string(stat), ") ")
			for _, ticks := range strings.Fields(rest)[11:13] { // utime, stime
				n, err := strconv.Atoi(ticks)
				if err != nil {
					b.Fatal(err)
				}
				used += time.Duration(n) * (time.Second / 100)
			}
		}
	}
	return used
}

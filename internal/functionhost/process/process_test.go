package process

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/coldscope/coldscope/internal/faas"
)

func TestMain(m *testing.M) {
	RunChildIfAsked()
	goleak.VerifyTestMain(m)
}

// writeLog sends the pieces through a pipe and gives the log's records,
// without their times, long content as its length.
func writeLog(t *testing.T, settleAfterEach bool, pieces ...string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ns_fn-1_x", "fn", "0.log")
	tick := time.Date(2026, 11, 23, 4, 51, 59, 793000000, time.UTC)
	log, err := createLog(path, func() time.Time { tick = tick.Add(10); return tick })
	if err != nil {
		t.Fatal(err)
	}
	o, w, err := newOutlet(faas.Stdout, log)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); o.run() }()
	for _, p := range pieces {
		if _, err := w.WriteString(p); err != nil {
			t.Fatal(err)
		}
		if settleAfterEach {
			o.settle()
			if complete := strings.Count(strings.Join(pieces[:1], ""), "\n"); complete > 0 {
				if b, err := os.ReadFile(path); err != nil || bytes.Count(b, []byte("\n")) == 0 {
					t.Errorf("after settle the log has %q, %v", b, err)
				}
			}
		}
	}
	w.Close()
	<-done
	o.close()
	if err := log.close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	last := ""
	for record := range strings.Lines(string(b)) {
		at, rest, _ := strings.Cut(strings.TrimSuffix(record, "\n"), " ")
		if _, err := time.Parse(time.RFC3339Nano, at); err != nil || at <= last && len(at) == len(last) {
			t.Errorf("time %s after %s: %v", at, last, err)
		}
		last = at
		head, content := rest[:len("stdout F ")], rest[len("stdout F "):]
		if len(content) > 100 {
			content = strconv.Itoa(len(content))
		}
		out = append(out, head+content)
	}
	return out
}

func TestLogRecords(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct{ in, want []string }{
		"lines":            {[]string{"a\nb\n"}, []string{"stdout F a", "stdout F b"}},
		"empty line":       {[]string{"\n"}, []string{"stdout F "}},
		"pieces":           {[]string{"a", "b\nc", "\n"}, []string{"stdout F ab", "stdout F c"}},
		"no end":           {[]string{"a\nb"}, []string{"stdout F a", "stdout P b"}},
		"raw bytes":        {[]string{"\xff\x00\r1%\r2%\n"}, []string{"stdout F \xff\x00\r1%\r2%"}},
		"just fits":        {[]string{x(16384) + "\n"}, []string{"stdout F 16384"}},
		"one more":         {[]string{x(16385) + "\n"}, []string{"stdout P 16384", "stdout F x"}},
		"long":             {[]string{x(40000) + "\n"}, []string{"stdout P 16384", "stdout P 16384", "stdout F 7232"}},
		"long in pieces":   {[]string{x(10000), x(10000), x(20000) + "\nz\n"}, []string{"stdout P 16384", "stdout P 16384", "stdout F 7232", "stdout F z"}},
		"long without end": {[]string{x(20000)}, []string{"stdout P 16384", "stdout P 3616"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, settle := range []bool{false, true} {
				if diff := cmp.Diff(c.want, writeLog(t, settle, c.in...)); diff != "" {
					t.Errorf("settle %v (-want +got):\n%s", settle, diff)
				}
			}
		})
	}
}

package functionhost

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/coldscope/coldscope/internal/faas"
)

func buildSamples(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"webapp", "inference"} {
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, name), "./samples/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return dir
}

// TestSamples runs the sample functions as the demo does, and counts their lines.
func TestSamples(t *testing.T) {
	eachRuntime(t, testSamples)
}

func testSamples(t *testing.T, runtime string) {
	bin := buildSamples(t)
	h, c := runHost(t, Config{Runtime: runtime, RegistryBandwidth: 25 << 20, RegistryLatency: 15 * time.Millisecond})
	begin := time.Now()
	functions, err := h.PushSamples(t.Context(), bin)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("built and pushed in %v", time.Since(begin))
	for _, f := range functions {
		if err := h.Deploy(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	last := map[string]Response{}
	for _, r := range []struct {
		function, path, body string
		status               int
		want                 string
	}{
		{"default/webapp", "/", "", 200, "16000 products"},
		{"default/webapp", "/products?q=golden+kettle", "", 200, "found"},
		{"default/webapp", "/product/7", "", 200, "<h1>"},
		{"default/webapp", "/product/x", "", 404, "no such product"},
		{"default/webapp", "/checkout", "id=3", 200, "To pay"},
		{"default/webapp", "/static/img/03.bmp", "", 200, "BM"},
		{"default/webapp", "/boom", "", 500, "Internal Server Error"},
		{"default/webapp", "/", "", 200, "16000 products"},
		{"default/inference", "/v1/models/half_plus_two:predict", `{"instances":[1,2,5]}`, 200, "predictions"},
		{"default/inference", "/v1/models/half_plus_two:predict", `{"instances":[]}`, 400, "missing"},
		{"default/inference", "/event-invoke", `{"instances":[-3]}`, 200, "0.5"},
		{"default/inference", "/v1/models/half_plus_two", "", 200, "AVAILABLE"},
	} {
		resp, err := h.Invoke(t.Context(), r.function, Request{Path: r.path, Body: []byte(r.body), Header: http.Header{"User-Agent": {"test"}}})
		if err != nil {
			t.Fatal(err)
		}
		if resp.HTTPStatus != r.status || !strings.Contains(string(resp.Body), r.want) {
			t.Errorf("%s%s: HTTP %d %.200s", r.function, r.path, resp.HTTPStatus, resp.Body)
		}
		if strings.HasSuffix(r.path, ":predict") && r.status == 200 {
			var answer struct{ Predictions []float64 }
			if err := json.Unmarshal(resp.Body, &answer); err != nil {
				t.Fatal(err)
			}
			for n, want := range []float64{2.5, 3, 4.5} {
				if math.Abs(answer.Predictions[n]-want) > 1e-6 {
					t.Errorf("prediction %d is %g, want %g", n, answer.Predictions[n], want)
				}
			}
		}
		if resp.Cold {
			t.Logf("%s: cold, %v", r.function, resp.EndedAt.Sub(resp.QueuedAt))
		}
		last[r.function] = resp
	}
	for function, resp := range last {
		lines, err := strconv.Atoi(resp.Header.Get("X-Sample-Lines"))
		if err != nil {
			t.Fatal(err)
		}
		c.await(t, resp.Instance, "the last request's end", func(e faas.Event) bool {
			d, ok := e.Data.(faas.InvocationEnded)
			return ok && d.RequestID == resp.RequestID
		})
		logPhases(t, function, c.of(resp.Instance))
		var log []logLine
		if runtime == RuntimeProcess {
			log = readLog(t, h, resp.Instance)
		} else {
			log = readDockerLog(t, resp.Instance, lines)
		}
		if len(log) != lines || lines == 0 {
			t.Errorf("%s: %d lines in the log, the function wrote %d", function, len(log), lines)
		}
		// Not in this order: the two streams are two pipes.
		for n := range lines {
			mark := " n=" + strconv.Itoa(n+1) + " r="
			if !slices.ContainsFunc(log, func(l logLine) bool { return strings.Contains(l.text, mark) }) {
				t.Errorf("no line has%s", mark)
			}
		}
		checkWindows(t, log, c.of(resp.Instance))
	}
}

// logPhases prints a start as a table.
func logPhases(t *testing.T, function string, events []faas.Event) {
	t.Helper()
	zero := events[0].Time
	ms := func(at time.Time) float64 { return float64(at.Sub(zero).Microseconds()) / 1000 }
	for _, e := range events {
		switch d := e.Data.(type) {
		case faas.PhaseDone:
			t.Logf("%-18s %-12s %9.1f %9.1f  %8.1f ms %v %s", function, d.Name, ms(d.Start), ms(d.End), ms(d.End)-ms(d.Start), d.Attributes, d.Error)
		case faas.LayerPulled:
			t.Logf("%-18s   %.19s %-4s %9d B  down %.1f-%.1f  unpack %.1f-%.1f", function, d.Digest, d.Cache, d.Bytes,
				ms(d.DownloadStart), ms(d.DownloadEnd), ms(d.UnpackStart), ms(d.UnpackEnd))
		case faas.Ready:
			t.Logf("%-18s ready        %9.1f", function, ms(e.Time))
		}
	}
}

// logLine is a record of a CRI log file.
type logLine struct {
	time              time.Time
	stream, tag, text string
}

func readLog(t *testing.T, h *Host, instance string) []logLine {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(h.LogRoot(), "*_"+instance, "*", "0.log"))
	if err != nil || len(files) != 1 {
		t.Fatalf("log files of %s: %v %v", instance, files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var out []logLine
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
		at, err := time.Parse(time.RFC3339Nano, f[0])
		if err != nil || len(f) != 4 {
			t.Fatalf("bad record %q: %v", line, err)
		}
		out = append(out, logLine{at, f[1], f[2], f[3]})
	}
	return out
}

// readDockerLog waits until dockerd has written as many lines.
func readDockerLog(t *testing.T, instance string, lines int) (out []logLine) {
	t.Helper()
	api, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	info, err := api.ContainerInspect(t.Context(), "coldscope-"+instance, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "dockerd to write the lines", func() bool {
		b, err := os.ReadFile(info.Container.LogPath)
		if err != nil {
			t.Fatal(err)
		}
		out = nil
		for d := json.NewDecoder(bytes.NewReader(b)); d.More(); {
			var record struct {
				Log, Stream string
				Time        time.Time
			}
			if err := d.Decode(&record); err != nil {
				return false
			}
			out = append(out, logLine{record.Time, record.Stream, "F", strings.TrimSuffix(record.Log, "\n")})
		}
		return len(out) >= lines
	})
	return out
}

// checkWindows holds the r= of each line against the requests at its time:
// attribution by windows, or as late, has to find the truth.
func checkWindows(t *testing.T, log []logLine, events []faas.Event) {
	t.Helper()
	for _, l := range log {
		_, mark, _ := strings.Cut(l.text[strings.LastIndex(l.text, " r="):], "=")
		open := "-"
		for _, e := range events {
			// Until the next start: what is later than the end is late, and still its.
			if d, ok := e.Data.(faas.InvocationStarted); ok && !l.time.Before(e.Time) {
				open = d.RequestID[:8]
			}
		}
		if open != mark {
			t.Errorf("the line %q of %v lies in the window of %s", l.text, l.time, open)
		}
	}
}

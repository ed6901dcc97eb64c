// Package e2e runs the built programs as their users do, as processes, and
// looks at what they print, serve and store.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coldscope/coldscope/demo"
)

// bin is where the programs under test are built to.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "coldscope-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	for out, pkg := range map[string]string{
		"coldscope": "cmd/coldscope", "coldscope-collector": "cmd/coldscope-collector",
		"functions/webapp": "internal/functionhost/samples/webapp", "functions/inference": "internal/functionhost/samples/inference",
	} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, out), "github.com/coldscope/coldscope/"+pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", pkg, err, out)
			return 1
		}
	}
	return m.Run()
}

// proc is one running program.
type proc struct {
	*exec.Cmd
	name   string
	url    string
	log    *logBuffer
	exited chan struct{}
	err    error // once exited is closed
}

// logBuffer keeps what a program prints, for when a test fails.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a program and waits for its ready line.
func start(t *testing.T, name string, args ...string) *proc {
	t.Helper()
	p := &proc{Cmd: exec.Command(filepath.Join(bin, name), args...), name: strings.Join(append([]string{name}, args[:min(1, len(args))]...), " "), log: new(logBuffer), exited: make(chan struct{})}
	p.Stderr = p.log
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			if url, ok := strings.CutPrefix(s.Text(), "ready "); ok {
				ready <- url
			}
		}
		p.err = p.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("%s printed:\n%s", p.name, p.log)
		}
	})
	select {
	case p.url = <-ready:
	case <-p.exited:
		t.Fatalf("%s ended before it was ready: %v\n%s", p.name, p.err, p.log)
	case <-time.After(90 * time.Second):
		t.Fatalf("%s was not ready in time\n%s", p.name, p.log)
	}
	return p
}

// stop asks the program to end, and insists that it does so in order.
func (p *proc) stop(t *testing.T) {
	select {
	case <-p.exited:
		return
	default:
	}
	_ = p.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		if p.err != nil {
			t.Errorf("%s did not stop in order: %v", p.name, p.err)
		}
	case <-time.After(time.Minute):
		_ = p.Process.Kill()
		t.Errorf("%s did not stop within a minute", p.name)
	}
}

// kill is kill -9.
func (p *proc) kill(t *testing.T) {
	t.Helper()
	if err := p.Process.Kill(); err != nil {
		t.Fatalf("kill %s: %v", p.name, err)
	}
	<-p.exited
}

// children lists the processes that p has started.
func (p *proc) children(t *testing.T) []int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		for field := range strings.FieldsSeq(string(raw)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// freePort gives a port that is free now, for a program that is started again
// on the same one.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// report runs the demo to its end and returns what it reports. It fails the
// test if the demo does not end with 0.
func report(t *testing.T, ctx context.Context, args ...string) *demo.Report {
	t.Helper()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "coldscope"), append([]string{"demo", "--exit", "-o", "json", "--listen", "127.0.0.1:0"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	err := cmd.Run()
	var r demo.Report
	d := json.NewDecoder(&stdout)
	if jsonErr := d.Decode(&r); jsonErr != nil {
		t.Fatalf("the demo printed no report: %v, %v\n%s\n%s", err, jsonErr, &stdout, &stderr)
	}
	if _, more := d.Token(); !errors.Is(more, io.EOF) {
		t.Error("the demo printed more than one JSON object")
	}
	if err != nil {
		t.Errorf("the demo ended with %v\n%s\n%s", err, strings.Join(r.Problems, "\n"), &stderr)
	}
	return &r
}

// check asserts what must hold of every demo.
func check(t *testing.T, r *demo.Report) {
	t.Helper()
	t.Logf("%s runtime: %d requests, %d cold starts, %d lines written, %d stored, %d duplicated, %d attributed, phases add up within %.3f ms",
		r.Runtime, r.Requests, r.ColdStarts, r.LinesWritten, r.LinesStored, r.LinesDuplicated, r.LinesAttributed, r.SumErrorMS)
	if r.LinesWritten == 0 || r.LinesStored != r.LinesWritten || r.LinesDuplicated != 0 {
		t.Errorf("%d lines written, %d stored, %d duplicated", r.LinesWritten, r.LinesStored, r.LinesDuplicated)
	}
	if share := float64(r.LinesAttributed) / float64(r.LinesWritten); share < .99 {
		t.Errorf("only %.2f %% of the lines have the request that their function printed", 100*share)
	}
	if r.SumErrorMS > 1 {
		t.Errorf("phases and total differ by %.3f ms", r.SumErrorMS)
	}
	if r.ColdStarts < 2 || r.Slowest == nil || len(r.Slowest.Phases) == 0 {
		t.Errorf("%d cold starts, slowest %+v", r.ColdStarts, r.Slowest)
	}
	for _, phase := range []string{"pull", "unpack", "create", "start", "init"} {
		if r.Phases[phase].Count == 0 {
			t.Errorf("no cold start has the phase %s", phase)
		}
	}
}

package collector

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// process starts the test binary as a collector and waits for its first line.
func process(t *testing.T, cfg childConfig) *exec.Cmd {
	t.Helper()
	raw, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(raw))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("collector did not start: %q, %v", line, err)
	}
	return cmd
}

// TestKill kills the collector again and again while lines are written, files
// are rotated, events come in and the sink fails. In the end every line and
// every accepted event is there, under one name and with one content.
func TestKill(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.BatchBytes = 64 << 10
	s := newStore()
	var failing atomic.Bool
	failing.Store(true)
	srv := s.serve(t, func() float64 {
		if failing.Load() {
			return 0.3
		}
		return 0
	})
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	var logs []*logFile
	for i := range 3 {
		logs = append(logs, newCRI(t, cfg.CRI[0], "hello", fmt.Sprintf("uid-%d", i)),
			newDocker(t, cfg.Docker[0], "world", strings.Repeat(strconv.Itoa(i), 64)))
	}
	for _, l := range logs {
		writers.Go(func() { write(ctx, l) })
	}
	var accepted sync.Map
	writers.Go(func() { sendEvents(ctx, t, cfg.Socket, &accepted) })

	const kills = 10
	for range kills {
		cmd := process(t, childConfig{cfg, srv.URL})
		timer := time.NewTimer(time.Duration(50+rand.IntN(500)) * time.Millisecond)
		<-timer.C
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	stop()
	writers.Wait()
	failing.Store(false)

	client, err := wire.NewClient(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, stopCollector := start(t, cfg, Deps{Sink: client})
	begin := time.Now()
	settle(t, c)
	caughtUp := time.Since(begin)
	stopCollector()
	t.Logf("caught up in %s, stopped after %s", caughtUp, time.Since(begin))
	n := check(t, s, logs...)

	events := map[string]bool{}
	for _, e := range s.get() {
		if strings.Contains(e.Labels, `stream="platform"`) {
			ev, err := wire.DecodeEvent([]byte(e.Body), "default")
			if err != nil {
				t.Fatalf("event: %v", err)
			}
			events[ev.ID] = true
		}
	}
	count := 0
	accepted.Range(func(id, _ any) bool {
		count++
		if !events[id.(string)] {
			t.Errorf("event %v is missing", id)
		}
		return true
	})
	if n < 1000 || count < 20 {
		t.Errorf("only %d lines and %d events: the test tests nothing", n, count)
	}
	t.Logf("%d kills, %d lines, %d accepted events, %d pushes stored, %d entries came again", kills, n, count, s.pushes, s.twice)
}

// write writes lines of all kinds, and rotates now and then.
func write(ctx context.Context, l *logFile) {
	streams := []string{"stdout", "stderr"}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	rotations := 0
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			for _, s := range streams {
				if _, ok := l.open[s]; ok {
					l.piece(s, "end", true)
				}
			}
			return
		case <-tick.C:
		}
		s := streams[rand.IntN(2)]
		switch k := rand.IntN(100); {
		case k < 5:
			l.piece(s, strings.Repeat("p", 1+rand.IntN(16384)), false)
		case k == 6 && len(l.open) == 0 && l.offset > 0:
			rotations++
			if !l.docker {
				l.rotate(fmt.Sprintf(".20261123-%06d", rotations))
				break
			}
			for i := rotations - 1; i > 0; i-- {
				_ = os.Rename(fmt.Sprintf("%s.%d", l.path, i), fmt.Sprintf("%s.%d", l.path, i+1))
			}
			l.rotate(".1")
		default:
			for range 1 + rand.IntN(10) {
				l.line(s, fmt.Sprintf("line %d \"quoted\" \t äöü %s", n, strings.Repeat("x", rand.IntN(200))))
			}
		}
	}
}

// sendEvents sends events one by one, and notes which ones were accepted.
func sendEvents(ctx context.Context, t *testing.T, socket string, accepted *sync.Map) {
	client, err := wire.NewClient("unix://" + socket)
	if err != nil {
		t.Error(err)
		return
	}
	defer client.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		e := faas.Event{
			ID: fmt.Sprintf("e%d", n), Source: "test", Time: time.Now(),
			Ref: faas.Ref{Tenant: []string{"default", "other"}[n%2], Function: "hello", Instance: "uid-0"}, Data: faas.Ready{},
		}
		if err := client.SendEvents(ctx, []faas.Event{e}); err == nil {
			accepted.Store(e.ID, true)
		}
	}
}

// TestTerminate stops the process in order: it ends at once and without an error.
func TestTerminate(t *testing.T) {
	cfg := testConfig(t)
	srv := newStore().serve(t, func() float64 { return 0 })
	cmd := process(t, childConfig{cfg, srv.URL})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

package functionhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
)

// eachRuntime runs a test on the runtimes that this machine has.
func eachRuntime(t *testing.T, test func(t *testing.T, runtime string)) {
	for _, runtime := range []string{RuntimeProcess, RuntimeDocker} {
		t.Run(runtime, func(t *testing.T) {
			needRuntime(t, runtime)
			test(t, runtime)
		})
	}
}

func invoke(t *testing.T, h *Host, path string) Response {
	t.Helper()
	resp, err := h.Invoke(t.Context(), "default/fn", Request{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func types(events []faas.Event) (out []string) {
	for _, e := range events {
		name := strings.TrimPrefix(string(e.Type()), "dev.coldscope.")
		switch d := e.Data.(type) {
		case faas.PhaseDone:
			name += " " + string(d.Name)
			if d.Error != "" {
				name += " failed"
			}
		case faas.LayerPulled:
			name += " " + d.Cache
		case faas.Stopped:
			name += " " + d.Reason
		case faas.InvocationEnded:
			name += " " + string(d.Status)
		}
		out = append(out, name)
	}
	return out
}

func TestEventsOfAnInstance(t *testing.T) {
	eachRuntime(t, func(t *testing.T, runtime string) {
		h, c := runHost(t, Config{Runtime: runtime, IdleTimeout: 300 * time.Millisecond})
		deploy(t, h, Function{})
		cold, warm := invoke(t, h, "/a"), invoke(t, h, "/b")
		if !cold.Cold || warm.Cold || cold.Instance != warm.Instance || string(warm.Body) != "fn GET /b" {
			t.Errorf("cold %+v\nwarm %+v", cold, warm)
		}
		stopped := c.awaitStopped(t, cold.Instance)
		if stopped.ExitCode == nil || stopped.OOM {
			t.Errorf("stopped %+v", stopped)
		}
		events := c.of(cold.Instance)
		want := []string{
			"instance.demanded", "instance.phase queue", "instance.phase credentials", "instance.phase resolve",
			"instance.layer.pulled miss", "instance.layer.pulled miss", "instance.phase pull", "instance.phase unpack",
			"instance.phase create", "instance.phase start", "instance.phase init", "instance.ready",
			"invocation.started", "invocation.ended ok", "invocation.started", "invocation.ended ok", "instance.stopped idle",
		}
		if diff := cmp.Diff(want, types(events)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		checkTiling(t, events)
		d := events[0].Data.(faas.Demanded)
		if d.RequestID != cold.RequestID || d.Initialization != faas.OnDemand || d.ImageBytes == 0 || !strings.HasPrefix(d.Digest, "sha256:") {
			t.Errorf("demanded %+v", d)
		}
		if e := events[0]; e.Source != "testhost" || e.Tenant != "default" || e.Namespace != "default" || e.Function != "fn" || e.Version != "1" {
			t.Errorf("event %+v", e)
		}

		// The next instance finds the layers here.
		again := invoke(t, h, "/c")
		if !again.Cold || again.Instance == cold.Instance {
			t.Errorf("again %+v", again)
		}
		c.await(t, again.Instance, "ready", func(e faas.Event) bool { return e.Type() == faas.TypeReady })
		got := types(c.of(again.Instance))
		if !slices.Contains(got, "instance.layer.pulled hit") || slices.Contains(got, "instance.layer.pulled miss") {
			t.Errorf("second start: %v", got)
		}
	})
}

// checkTiling sees to it that phases follow one another without gaps, from
// the demand until ready, but for pull and unpack, which overlap.
func checkTiling(t *testing.T, events []faas.Event) {
	t.Helper()
	at := events[0].Time
	seen := map[string]bool{}
	for _, e := range events {
		if seen[e.ID] {
			t.Errorf("event ID %s twice", e.ID)
		}
		seen[e.ID] = true
		switch d := e.Data.(type) {
		case faas.PhaseDone:
			if d.Name == faas.PhaseUnpack {
				if d.Start.After(at) {
					t.Errorf("unpack begins %v after the pull", d.Start.Sub(at))
				}
			} else if !d.Start.Equal(at) {
				t.Errorf("phase %s begins at %v, the one before ended at %v", d.Name, d.Start, at)
			}
			at = d.End
		case faas.Ready:
			if !e.Time.Equal(at) {
				t.Errorf("ready at %v, init ended at %v", e.Time, at)
			}
		case faas.InvocationStarted:
			if !e.Time.After(at) {
				t.Errorf("invocation starts at %v, not after %v", e.Time, at)
			}
			at = e.Time
		case faas.InvocationEnded:
			if !e.Time.After(d.StartedAt) || !d.StartedAt.Equal(at) {
				t.Errorf("invocation ends at %v; started at %v, it says %v", e.Time, at, d.StartedAt)
			}
			at = e.Time
		}
	}
}

func TestCrashIsNoticedAndTheNextRequestStartsCold(t *testing.T) {
	eachRuntime(t, func(t *testing.T, runtime string) {
		h, c := runHost(t, Config{Runtime: runtime})
		deploy(t, h, Function{})
		resp, err := h.Invoke(t.Context(), "default/fn", Request{Path: "/?exit=3"})
		if err == nil || !strings.Contains(err.Error(), "exited with code 3") || resp.Status != faas.StatusError {
			t.Errorf("got %v, %+v", err, resp)
		}
		next := invoke(t, h, "/")
		if !next.Cold || next.Instance == resp.Instance {
			t.Errorf("next %+v", next)
		}
		stopped := c.awaitStopped(t, resp.Instance)
		if stopped.Reason != "error" || stopped.ExitCode == nil || *stopped.ExitCode != 3 {
			t.Errorf("stopped %+v", stopped)
		}
		if got := types(c.of(resp.Instance)); !slices.Contains(got, "invocation.ended error") {
			t.Errorf("events %v", got)
		}
	})
}

func TestOutOfMemory(t *testing.T) {
	eachRuntime(t, func(t *testing.T, runtime string) {
		h, c := runHost(t, Config{Runtime: runtime})
		deploy(t, h, Function{MemoryLimit: 64 << 20})
		resp, err := h.Invoke(t.Context(), "default/fn", Request{Path: "/?mb=500"})
		if err == nil || resp.Status != faas.StatusOOM {
			t.Errorf("got %v, %+v", err, resp)
		}
		if stopped := c.awaitStopped(t, resp.Instance); stopped.Reason != "oom" || !stopped.OOM {
			t.Errorf("stopped %+v", stopped)
		}
	})
}

func TestTimeoutRecyclesTheInstance(t *testing.T) {
	h, c := runHost(t, Config{})
	deploy(t, h, Function{Timeout: 200 * time.Millisecond})
	resp, err := h.Invoke(t.Context(), "default/fn", Request{Path: "/?ms=60000"})
	if err == nil || resp.Status != faas.StatusTimeout {
		t.Errorf("got %v, %+v", err, resp)
	}
	if stopped := c.awaitStopped(t, resp.Instance); stopped.Reason != "timeout" {
		t.Errorf("stopped %+v", stopped)
	}
	if next := invoke(t, h, "/"); next.Instance == resp.Instance {
		t.Error("the next request went to the same instance")
	}
}

func TestStartsThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		fn       Function
		breakIt  func(t *testing.T, h *Host)
		phase    faas.Phase
		want     string
		exitCode bool
	}{
		"no such tag":     {fn: Function{Image: "test/function:2"}, phase: faas.PhaseResolve, want: "404"},
		"layer is lost":   {breakIt: loseBlobs, phase: faas.PhasePull, want: "pull"},
		"no such program": {fn: Function{Command: []string{"/bin/missing"}}, phase: faas.PhaseStart, want: "/bin/missing", exitCode: true},
		"exits":           {fn: Function{Args: []string{"-exit", "5"}, Command: []string{"function"}}, phase: faas.PhaseInit, want: "exited with code 5", exitCode: true},
		"never listens":   {fn: Function{Args: []string{"-deaf"}, Command: []string{"function"}, InitTimeout: 300 * time.Millisecond}, phase: faas.PhaseInit, want: "did not listen on port 9000", exitCode: true},
	} {
		t.Run(name, func(t *testing.T) {
			h, events := runHost(t, Config{})
			deploy(t, h, c.fn)
			if c.breakIt != nil {
				c.breakIt(t, h)
			}
			resp, err := h.Invoke(t.Context(), "default/fn", Request{})
			if !errors.Is(err, ErrStart) || !strings.Contains(err.Error(), c.want) || resp.Instance == "" || resp.RequestID == "" {
				t.Fatalf("got %v, %+v", err, resp)
			}
			stopped := events.awaitStopped(t, resp.Instance)
			if stopped.Reason != "start-failed" || (stopped.ExitCode != nil) != c.exitCode {
				t.Errorf("stopped %+v", stopped)
			}
			ended := events.await(t, resp.Instance, "the invocation's end", func(e faas.Event) bool { return e.Type() == faas.TypeInvocationEnded })
			if d := ended.Data.(faas.InvocationEnded); d.RequestID != resp.RequestID || !d.StartedAt.Equal(ended.Time) || d.Error == "" {
				t.Errorf("ended %+v at %v", d, ended.Time)
			}
			if got := types(events.of(resp.Instance)); !slices.Contains(got, "instance.phase "+string(c.phase)+" failed") {
				t.Errorf("events %v", got)
			}
		})
	}
}

// loseBlobs takes the layers out of the registry behind its back.
func loseBlobs(t *testing.T, h *Host) {
	t.Helper()
	blobs, err := filepath.Glob(filepath.Join(h.cfg.DataDir, "registry", "sha256", "*"))
	if err != nil || len(blobs) == 0 {
		t.Fatalf("blobs %v %v", blobs, err)
	}
	for _, b := range blobs {
		if info, err := os.Stat(b); err == nil && info.Size() > 1<<20 {
			if err := os.Remove(b); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// many sends n requests at once.
func many(t *testing.T, h *Host, n int, path string) []Response {
	t.Helper()
	out := make([]Response, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var err error
			out[i], err = h.Invoke(t.Context(), "default/fn", Request{Path: path})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	return out
}

func instances(responses []Response) int {
	seen := map[string]bool{}
	for _, r := range responses {
		seen[r.Instance] = true
	}
	return len(seen)
}

func overlap(a, b Response) bool {
	return a.Instance == b.Instance && a.StartedAt.Before(b.EndedAt) && b.StartedAt.Before(a.EndedAt)
}

func TestOneRequestAtATimePerInstance(t *testing.T) {
	h, _ := runHost(t, Config{})
	deploy(t, h, Function{MaxInstances: 2})
	all := many(t, h, 8, "/?ms=20")
	if n := instances(all); n != 2 {
		t.Errorf("%d instances served, want 2", n)
	}
	for i := range all {
		for j := range i {
			if overlap(all[i], all[j]) {
				t.Errorf("%+v and %+v overlap", all[i], all[j])
			}
		}
	}
}

func TestConcurrencyTwo(t *testing.T) {
	h, _ := runHost(t, Config{})
	deploy(t, h, Function{Concurrency: 2, MaxInstances: 1})
	all := many(t, h, 2, "/?ms=300")
	if n := instances(all); n != 1 || !overlap(all[0], all[1]) || !all[0].Cold || !all[1].Cold {
		t.Errorf("%d instances, %+v", n, all)
	}
}

func TestQueueIsBounded(t *testing.T) {
	h, _ := runHost(t, Config{})
	deploy(t, h, Function{MaxInstances: 1, QueueLimit: 1})
	var wg sync.WaitGroup
	errs := make([]error, 5)
	for i := range errs {
		wg.Go(func() { _, errs[i] = h.Invoke(t.Context(), "default/fn", Request{Path: "/?ms=50"}) })
	}
	wg.Wait()
	throttled := 0
	for _, err := range errs {
		if errors.Is(err, ErrThrottled) {
			throttled++
		}
	}
	if throttled != 3 {
		t.Errorf("%d of 5 requests were throttled, want 3: %v", throttled, errs)
	}
}

func TestProvisionedInstance(t *testing.T) {
	h, c := runHost(t, Config{IdleTimeout: 100 * time.Millisecond})
	deploy(t, h, Function{Provisioned: 1, MaxInstances: 2})
	ready := c.await(t, "", "a provisioned instance", func(e faas.Event) bool { return e.Type() == faas.TypeReady })
	if d := c.of(ready.Instance)[0].Data.(faas.Demanded); d.Initialization != faas.Provisioned || d.RequestID != "" {
		t.Errorf("demanded %+v", d)
	}
	if resp := invoke(t, h, "/"); resp.Cold || resp.Instance != ready.Instance {
		t.Errorf("got %+v", resp)
	}
	both := many(t, h, 2, "/?ms=50")
	other := both[0]
	if other.Instance == ready.Instance {
		other = both[1]
	}
	if stopped := c.awaitStopped(t, other.Instance); stopped.Reason != "idle" {
		t.Errorf("the on-demand instance: %+v", stopped)
	}
	if resp := invoke(t, h, "/"); resp.Cold || resp.Instance != ready.Instance {
		t.Errorf("after the other was reaped: %+v", resp)
	}
	// One that dies is replaced.
	_, _ = h.Invoke(t.Context(), "default/fn", Request{Path: "/?exit=1"})
	c.await(t, "", "another provisioned instance", func(e faas.Event) bool {
		return e.Type() == faas.TypeReady && e.Instance != ready.Instance && e.Time.After(other.EndedAt)
	})
}

func TestDeployReplaces(t *testing.T) {
	h, c := runHost(t, Config{IdleTimeout: time.Second})
	deploy(t, h, Function{})
	old := invoke(t, h, "/")
	deploy(t, h, Function{Version: "2", Kind: KindEvent})
	resp := invoke(t, h, "/ignored")
	if resp.Instance == old.Instance || string(resp.Body) != "fn POST /event-invoke" {
		t.Errorf("got %+v", resp)
	}
	if stopped := c.awaitStopped(t, old.Instance); stopped.Reason != "replaced" {
		t.Errorf("the old instance: %+v", stopped)
	}
	if _, err := h.Invoke(t.Context(), "default/other", Request{}); !errors.Is(err, ErrUnknownFunction) {
		t.Errorf("got %v", err)
	}
}

func TestEventsSurviveACollectorThatIsDown(t *testing.T) {
	h, c := runHost(t, Config{})
	deploy(t, h, Function{})
	c.refuseWith(errors.New("restarting"))
	first := invoke(t, h, "/") // not held up by it
	second := invoke(t, h, "/")
	c.refuseWith(nil)
	c.await(t, second.Instance, "the second request's end", func(e faas.Event) bool {
		d, ok := e.Data.(faas.InvocationEnded)
		return ok && d.RequestID == second.RequestID
	})
	events := c.of(first.Instance)
	if events[0].Type() != faas.TypeDemanded {
		t.Errorf("events %v", types(events))
	}
	checkTiling(t, events)
}

func TestProcessIsolation(t *testing.T) {
	h, c := runHost(t, Config{})
	deploy(t, h, Function{})
	for path, want := range map[string]string{
		"/?read=/etc/secret":                "no such file", // taken away by a whiteout
		"/?read=/etc/passwd":                "fn:x:1234",
		"/?read=/proc/sys/kernel/osrelease": "<nil>",
		"/?write=/etc/x":                    "permission denied",
		"/?write=/tmp/x":                    "<nil>",
		"/?read=" + h.cfg.DataDir:           "no such file",
	} {
		if resp := invoke(t, h, path); !strings.Contains(string(resp.Body), want) {
			t.Errorf("%s: %s, want %s", path, resp.Body, want)
		}
	}
	resp := invoke(t, h, "/?long=40000")
	log := readLog(t, h, resp.Instance)
	if want := "boot 1234 1 fn"; log[0].text != want || log[0].stream != "stdout" || log[0].tag != "F" {
		t.Errorf("first line %+v, want %s", log[0], want)
	}
	var chunks []string
	for _, l := range log {
		if strings.HasPrefix(l.text, "xxx") {
			chunks = append(chunks, fmt.Sprintf("%s%d", l.tag, len(l.text)))
		}
	}
	if diff := cmp.Diff([]string{"P16384", "P16384", "F7232"}, chunks); diff != "" {
		t.Error(diff)
	}
	status := string(invoke(t, h, "/?read=/proc/self/status").Body)
	for _, want := range []string{"NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapBnd:\t00000000a00425fb"} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	_ = c
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"nothing":         {},
		"unknown runtime": {DataDir: t.TempDir(), Events: newCollector(t).client, Runtime: "podman"},
	} {
		if _, err := New(t.Context(), cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	h := &Host{functions: map[string]*pool{}}
	for _, f := range []Function{{Name: "a/b", Image: "x"}, {Name: "a"}, {Name: "a_b", Image: "x"}, {Name: "a", Image: "x", Kind: "job"}, {Name: "a", Image: "x", Provisioned: 99}} {
		if err := h.Deploy(t.Context(), f); err == nil {
			t.Errorf("deployed %+v", f)
		}
	}
}

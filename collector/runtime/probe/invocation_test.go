package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/coldscope/coldscope/internal/faas"
)

// ownGroups moves the child into control groups of its own.
func (f *function) ownGroups() {
	f.t.Helper()
	for _, controller := range []string{"memory", "cpuacct"} {
		dir := filepath.Join("/sys/fs/cgroup", controller, fmt.Sprintf("coldscope-probe-%d", f.cmd.Process.Pid))
		if err := os.Mkdir(dir, 0o755); err != nil {
			f.t.Skipf("control groups cannot be made here (root and cgroup v1 are needed): %v", err)
		}
		f.t.Cleanup(func() {
			f.end()
			for range 500 {
				if err := os.Remove(dir); err == nil || os.IsNotExist(err) {
					return
				}
				<-time.After(10 * time.Millisecond)
			}
			f.t.Errorf("control group %s is still in use", dir)
		})
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(f.cmd.Process.Pid)), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
}

// removeGroups does what a runtime does when the function's process has ended.
func (f *function) removeGroups() {
	for _, controller := range []string{"memory", "cpuacct"} {
		dir := filepath.Join("/sys/fs/cgroup", controller, fmt.Sprintf("coldscope-probe-%d", f.process.PID))
		for os.Remove(dir) != nil {
			<-time.After(time.Millisecond)
		}
	}
}

// platform tells of invocations of a function.
type platform struct {
	p   *Prober
	ref faas.Ref
}

func (pl platform) started(request string, lag time.Duration) time.Time {
	at := time.Now().Add(-lag)
	ref := pl.ref
	ref.Tenant = faas.DefaultTenant // as the platform's events may say, and the runtime's not
	ref.Version = "7"
	pl.p.Invocation(&faas.Event{ID: request + "/s", Source: "platform", Time: at, Ref: ref, Data: faas.InvocationStarted{RequestID: request}})
	return at
}

func (pl platform) ended(request string, startedAt time.Time, lag time.Duration, end faas.InvocationEnded) {
	end.RequestID, end.StartedAt, end.Status = request, startedAt, faas.StatusOK
	pl.p.Invocation(&faas.Event{ID: request + "/e", Source: "platform", Time: time.Now().Add(-lag), Ref: pl.ref, Data: end})
}

// watched is a function with control groups and a Prober that knows it. Events may be
// as late as a loaded machine makes them.
func watched(t *testing.T) (*function, platform, *recorder) {
	t.Helper()
	p, r := run(t, Options{MaxEventLag: 10 * time.Second})
	f := startFunction(t, server{}, true, (*function).ownGroups)
	f.process.StartedAt = f.process.StartedAt.Add(-time.Hour) // its readiness does not matter
	p.Running(f.process)
	return f, platform{p, f.process.Ref}, r
}

func nextUsage(t *testing.T, r *recorder) faas.InvocationUsage {
	t.Helper()
	e := r.next(t)
	u, ok := e.Data.(faas.InvocationUsage)
	if !ok {
		t.Fatalf("event is %+v", e)
	}
	return u
}

func TestInvocationUsage(t *testing.T) {
	f, pl, r := watched(t)
	f.do("alloc 100000000") // before; not the invocation's
	at := pl.started("one", 0)
	f.do("alloc 64000000")
	f.do("burn 200ms")
	pl.ended("one", at, 0, faas.InvocationEnded{})
	one := nextUsage(t, r)
	if one.RequestID != "one" || !one.StartedAt.Equal(at) || one.Shared {
		t.Errorf("usage is %+v", one)
	}
	if one.MemoryPeak < 64e6 || one.MemoryPeak >= 100e6 {
		t.Errorf("peak is %d, want that of 64 MB", one.MemoryPeak)
	}
	if one.CPUTime < 0.2 || one.CPUTime > 5 {
		t.Errorf("CPU time is %g s, want 0.2", one.CPUTime)
	}

	// The life's is not spoilt by the windows.
	usage := pl.p.Exited(f.process.ContainerID)
	if usage.MemoryPeak < 100e6 || usage.CPUTime < 200*time.Millisecond {
		t.Errorf("the instance's usage is %+v", usage)
	}
	if again := pl.p.Exited(f.process.ContainerID); again.MemoryPeak != 0 {
		t.Errorf("an unknown container used %+v", again)
	}
	pl.started("two", 0) // after its end: nobody knows it
	if n := testutil.ToFloat64(pl.p.metrics.open); n != 0 {
		t.Errorf("%g invocations are open", n)
	}
}

// TestConcurrentInvocations: one's peak counts for those that ran at the time, and for no other.
func TestConcurrentInvocations(t *testing.T) {
	f, pl, r := watched(t)
	long := pl.started("long", 0)
	f.do("alloc 64000000")
	second := pl.started("second", 0)
	f.do("alloc 16000000")
	pl.ended("second", second, 0, faas.InvocationEnded{})
	u2 := nextUsage(t, r)
	pl.ended("long", long, 0, faas.InvocationEnded{})
	u1 := nextUsage(t, r)
	alone := pl.started("alone", 0)
	pl.ended("alone", alone, 0, faas.InvocationEnded{CPUTime: 3})
	u3 := nextUsage(t, r)
	if !u1.Shared || !u2.Shared || u3.Shared {
		t.Errorf("shared are %+v, %+v, %+v", u1, u2, u3)
	}
	if u1.MemoryPeak < 64e6 || u2.MemoryPeak < 16e6 || u2.MemoryPeak >= 64e6 || u3.MemoryPeak >= 16e6 {
		t.Errorf("peaks are %d, %d, %d", u1.MemoryPeak, u2.MemoryPeak, u3.MemoryPeak)
	}
	if u3.CPUTime != 0 || u3.MemoryPeak == 0 {
		t.Errorf("what the platform told itself is told again, or the rest is missing: %+v", u3)
	}
}

// TestInvocationsNotMeasured: what would say something wrong is not said, and counted.
func TestInvocationsNotMeasured(t *testing.T) {
	f, pl, r := watched(t)
	result := func(what string) float64 {
		return testutil.ToFloat64(pl.p.metrics.invocations.WithLabelValues(what))
	}
	at := pl.started("late start", 11*time.Second)
	pl.ended("late start", at, 0, faas.InvocationEnded{})
	at = pl.started("late end", 0)
	pl.ended("late end", at, 11*time.Second, faas.InvocationEnded{})
	at = pl.started("short", time.Second) // it was over before anybody looked
	pl.ended("short", at, 900*time.Millisecond, faas.InvocationEnded{})
	if n := result(resultLate); n != 3 {
		t.Errorf("%g are late, want 3", n)
	}
	pl.ended("no start", at, 0, faas.InvocationEnded{})
	platform{pl.p, faas.Ref{Function: "f", Instance: "unknown"}}.started("unknown", 0)
	if n := result(resultUnmatched); n != 2 {
		t.Errorf("%g are unmatched, want 2", n)
	}
	at = pl.started("told", 0)
	pl.ended("told", at, 0, faas.InvocationEnded{MemoryPeak: 1, CPUTime: 1})
	if pl.started("spared", 0); testutil.ToFloat64(pl.p.metrics.open) != 0 {
		t.Error("groups are read for a platform that tells usage itself")
	}
	pl.ended("not told", at, 0, faas.InvocationEnded{}) // it tells no more
	for n := range maxOpenInstance + 10 {
		pl.started(fmt.Sprint("never ends ", n), 0)
	}
	if open, dropped := testutil.ToFloat64(pl.p.metrics.open), result(resultDropped); open != maxOpenInstance || dropped != 10 {
		t.Errorf("%g are open, %g dropped", open, dropped)
	}
	pl.p.Exited(f.process.ContainerID)
	if n := testutil.ToFloat64(pl.p.metrics.open); n != 0 {
		t.Errorf("%g are open after the exit", n)
	}
	if len(r.all) != 0 {
		t.Errorf("events %+v", r.all)
	}
}

// TestUsageAtExit: what is asked for at the process's exit is of its whole life.
func TestUsageAtExit(t *testing.T) {
	f, pl, _ := watched(t)
	f.do("alloc 64000000")
	f.do("burn 100ms")
	f.end()
	usage := pl.p.Exited(f.process.ContainerID)
	if usage.MemoryPeak < 64e6 || usage.MemoryPeak > 256e6 || usage.CPUTime < 100*time.Millisecond {
		t.Errorf("usage is %+v", usage)
	}
}

// TestUsageAfterRemoval: a runtime tells of an end when it has removed the groups.
func TestUsageAfterRemoval(t *testing.T) {
	f, pl, _ := watched(t)
	f.do("alloc 50000000")
	pl.p.mu.Lock()
	i := pl.p.instances[f.process.ContainerID]
	pl.p.mu.Unlock()
	f.end()
	for !i.read.Load() {
		<-time.After(time.Millisecond)
	}
	f.removeGroups()
	usage := pl.p.Exited(f.process.ContainerID)
	if usage.MemoryPeak < 50e6 || usage.CPUTime <= 0 {
		t.Errorf("the instance's usage is %+v", usage)
	}
	if n := testutil.ToFloat64(pl.p.metrics.failures.WithLabelValues("usage")); n != 0 {
		t.Errorf("%g failures", n)
	}
}

// TestUsageSampled: where the runtime was faster than the read at the process's end,
// what was read while it ran is told.
func TestUsageSampled(t *testing.T) {
	f, pl, _ := watched(t)
	f.do("alloc 50000000")
	f.do("burn 50ms")
	pl.p.mu.Lock()
	i := pl.p.instances[f.process.ContainerID]
	pl.p.mu.Unlock()
	pl.p.forgetExit(i)
	pl.p.sampleAll(time.Now().Add(sampleEvery))
	f.end()
	f.removeGroups()
	usage := pl.p.Exited(f.process.ContainerID)
	if usage.MemoryPeak < 50e6 || usage.CPUTime < 50*time.Millisecond {
		t.Errorf("the instance's usage is %+v", usage)
	}
	if n := testutil.ToFloat64(pl.p.metrics.failures.WithLabelValues("usage")); n != 1 {
		t.Errorf("%g failures, want the one of the read at the end", n)
	}
}

package probe

import (
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

func needTrace(t testing.TB) {
	t.Helper()
	tr, err := openTrace()
	if err != nil {
		t.Skipf("no tracepoint programs here: %v", err)
	}
	tr.close()
}

// TestTrace: the kernel tells when a server listens, even one that did before
// its runtime told of it.
func TestTrace(t *testing.T) {
	needTrace(t)
	for name, s := range map[string]server{
		"MPTCP":           {Listen: []string{"tcp :9000"}},
		"TCP":             {Listen: []string{"tcp4 :9000"}, Plain: true},
		"a child process": {Listen: []string{"tcp :9000"}, Fork: true},
	} {
		for _, early := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				p, r := run(t, Options{EBPF: EBPFOn})
				for !p.pushed.Load() {
					<-time.After(time.Millisecond)
				}
				s.After = 150 * time.Millisecond
				f := startFunction(t, s, false, (*function).ownGroups) // by which processes are known besides the first
				var begin, end time.Time
				if early {
					begin, end = f.listened()
					p.Running(f.process)
				} else {
					p.Running(f.process)
					begin, end = f.listened()
				}
				e, phase := r.nextPhase(t)
				if phase.Attributes["method"] != methodEBPF {
					t.Fatalf("phase is %+v", phase)
				}
				// Two clocks are read one after the other.
				const apart = time.Millisecond
				if e.Time.Before(begin.Add(-apart)) || e.Time.After(end.Add(apart)) {
					t.Errorf("ready at %s, listened from %s to %s", e.Time, begin, end)
				}
				found := r.all[0]
				if _, ok := found.Data.(faas.Ready); !ok || !found.Time.Equal(e.Time) {
					t.Errorf("event is %+v", found)
				}
				p.Exited(f.process.ContainerID)
			})
		}
	}
}

// BenchmarkTrace is the time from a server's listen() to the event's emission.
func BenchmarkTrace(b *testing.B) { benchmarkLag(b, EBPFOn) }

// BenchmarkPoll is the same without the kernel's help, for a server that listens 100ms after its start.
func BenchmarkPoll(b *testing.B) { benchmarkLag(b, EBPFOff) }

func benchmarkLag(b *testing.B, mode EBPF) {
	if mode == EBPFOn {
		needTrace(b)
	}
	p, r := run(b, Options{EBPF: mode})
	var seen, told time.Duration
	for b.Loop() {
		f := startFunction(b, server{After: 100 * time.Millisecond, Listen: []string{"tcp :9000"}}, false)
		f.process.StartedAt = time.Now()
		p.Running(f.process)
		ready := r.next(b)
		told += time.Since(ready.Time)
		r.next(b)
		_, end := f.listened()
		seen += ready.Time.Sub(end)
		p.Exited(f.process.ContainerID)
		f.end()
	}
	b.ReportMetric(float64(seen.Microseconds())/float64(b.N), "µs-seen")
	b.ReportMetric(float64(told.Microseconds())/float64(b.N), "µs-told")
}

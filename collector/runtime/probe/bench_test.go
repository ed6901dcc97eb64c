package probe

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/workload"
)

// inNamespace is a socket in a namespace of its own, with one process there.
func inNamespace(b *testing.B) (*diagSocket, *function) {
	f := startFunction(b, server{Listen: []string{"tcp 127.0.0.1:8080"}}, false)
	f.listened()
	ns, err := openNetns("/proc")
	if err != nil {
		b.Fatal(err)
	}
	defer ns.close()
	s, _, err := ns.open(f.process.PID, make([]byte, replySize))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.close)
	return s, f
}

func BenchmarkLook(b *testing.B) {
	s, f := inNamespace(b)
	b.Run("quick", func(b *testing.B) {
		for b.Loop() {
			for _, family := range []byte{unix.AF_INET6, unix.AF_INET} {
				if _, ok, err := s.wildcard(family, 9000); ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		}
	})
	b.Run("full", func(b *testing.B) {
		for b.Loop() {
			if all, err := s.listeners(nil, 0); len(all) != 1 || err != nil {
				b.Fatal(all, err)
			}
		}
	})
	b.Run("proc", func(b *testing.B) {
		for b.Loop() {
			if all, err := procListeners("/proc", f.process.PID); len(all) != 1 || err != nil {
				b.Fatal(all, err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		ns, err := openNetns("/proc")
		if err != nil {
			b.Fatal(err)
		}
		defer ns.close()
		buf := make([]byte, replySize)
		for b.Loop() {
			s, _, err := ns.open(f.process.PID, buf)
			if err != nil {
				b.Fatal(err)
			}
			s.close()
		}
	})
	b.Run("owner", func(b *testing.B) {
		for b.Loop() {
			if held, err := sockets("/proc", f.process.PID, nil); len(held) == 0 || err != nil {
				b.Fatal(held, err)
			}
		}
	})
}

func cpuTime() time.Duration {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now)
	return time.Duration(now.Nano())
}

// BenchmarkStarting is what instances cost that start for a second, all at once
// and from their first moment on; and what those cost that are ready.
func BenchmarkStarting(b *testing.B) {
	f := startFunction(b, server{}, false)
	for _, mode := range []EBPF{EBPFOff, EBPFOn} {
		for _, n := range []int{0, 1, 200} {
			b.Run(fmt.Sprintf("ebpf=%s/%d", mode, n), func(b *testing.B) {
				if mode == EBPFOn {
					needTrace(b)
				}
				p, _ := run(b, Options{EBPF: mode})
				var used time.Duration
				for b.Loop() {
					<-time.After(10 * time.Millisecond)
					begin := cpuTime()
					for i := range n {
						p.Running(workload.Process{
							Ref: f.process.Ref, ContainerID: strconv.Itoa(i), PID: f.process.PID, StartedAt: time.Now(),
						})
					}
					<-time.After(time.Second)
					used += cpuTime() - begin
					for i := range n {
						p.Exited(strconv.Itoa(i))
					}
				}
				b.ReportMetric(used.Seconds()/float64(b.N)*100, "%core")
			})
		}
	}
}

// BenchmarkReady is 200 instances that are ready: nothing should be done for them.
func BenchmarkReady(b *testing.B) {
	f := startFunction(b, server{Listen: []string{"tcp :9000"}}, false)
	f.listened()
	p, r := run(b, Options{})
	for i := range 200 {
		process := f.process
		process.ContainerID, process.StartedAt = strconv.Itoa(i), time.Now()
		p.Running(process)
	}
	for range 400 {
		r.next(b)
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		b.Fatal(err)
	}
	var used time.Duration
	for b.Loop() {
		begin := cpuTime()
		<-time.After(time.Second)
		used += cpuTime() - begin
	}
	b.ReportMetric(used.Seconds()/float64(b.N)*100, "%core")
	b.ReportMetric(float64(len(fds)), "fds")
}

package probe

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/coldscope/coldscope/internal/faas"
)

// TestReady: the moment at which a server listens, however it does.
func TestReady(t *testing.T) {
	for name, s := range map[string]server{
		"MPTCP, all addresses": {Listen: []string{"tcp :9000"}},
		"TCP, all addresses":   {Listen: []string{"tcp :9000"}, Plain: true},
		"IPv4 only":            {Listen: []string{"tcp4 0.0.0.0:9000"}},
		"IPv6 only":            {Listen: []string{"tcp6 [::]:9000"}},
		"a child process":      {Listen: []string{"tcp :9000"}, Fork: true},
		"two ports":            {Listen: []string{"tcp 127.0.0.1:8080", "tcp :9000"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, r := run(t, Options{})
			s.After = 150 * time.Millisecond
			f := startFunction(t, s, false)
			p.Running(f.process)
			begin, _ := f.listened()
			for range s.Listen[1:] {
				begin, _ = f.listened()
			}

			ready := r.next(t)
			if _, ok := ready.Data.(faas.Ready); !ok {
				t.Fatalf("first event is %T", ready.Data)
			}
			if ready.Time.Before(begin) {
				t.Errorf("ready at %s, before the server listened at %s", ready.Time, begin)
			}
			e, phase := r.nextPhase(t)
			if phase.Error != "" || phase.Name != faas.PhaseInit || !phase.Start.Equal(f.process.StartedAt) || !phase.End.Equal(ready.Time) {
				t.Errorf("phase is %+v", phase)
			}
			var accuracy float64
			if _, err := fmt.Sscan(phase.Attributes["accuracy_ms"], &accuracy); err != nil || phase.Attributes["method"] != "sock_diag" {
				t.Errorf("attributes are %v", phase.Attributes)
			}
			if lag := ready.Time.Sub(begin); lag > time.Duration((accuracy+1)*1e6) {
				t.Errorf("seen %s after the server listened, but accurate to %g ms", lag, accuracy)
			} else {
				t.Logf("seen %s after the server listened, accurate to %g ms", lag, accuracy)
			}
			key := fmt.Sprintf("%s/%d/", f.process.ContainerID, f.process.StartedAt.UnixNano())
			if ready.ID != key+"ready" || e.ID != key+"init" || e.Source != "host-1" {
				t.Errorf("IDs are %q and %q", ready.ID, e.ID)
			}
			if d := cmp.Diff(f.process.Ref, e.Ref); d != "" {
				t.Error(d)
			}
			p.Exited(f.process.ContainerID)
			if n := testutil.ToFloat64(p.metrics.starting); n != 0 {
				t.Errorf("%g instances are starting", n)
			}
		})
	}
}

// TestNoReadinessInvented: a server that was there before us is not said to have become ready now.
func TestNoReadinessInvented(t *testing.T) {
	p, r := run(t, Options{})
	f := startFunction(t, server{Listen: []string{"tcp :9000"}}, false)
	f.listened()
	f.process.StartedAt = f.process.StartedAt.Add(-2 * firstLook)
	p.Running(f.process)
	p.Running(f.process) // told twice: the same
	for testutil.ToFloat64(p.metrics.missed) != 1 {
		select {
		case e := <-r.events:
			t.Fatalf("event %+v", e)
		case <-time.After(time.Millisecond):
		}
	}
	p.Exited(f.process.ContainerID)
	// A young one is told of, as accurately as can be said.
	young := startFunction(t, server{Listen: []string{"tcp :9000"}}, false)
	young.listened()
	p.Running(young.process)
	_, phase := r.nextPhase(t)
	if phase.Error != "" || phase.End.Sub(phase.Start) > firstLook+100*time.Millisecond {
		t.Errorf("phase is %+v", phase)
	}
	if n := len(r.all); n != 2 {
		t.Errorf("%d events: %+v", n, r.all)
	}
}

func TestDiagnoses(t *testing.T) {
	for name, c := range map[string]struct {
		server    server
		listening string
		diagnosis string
		sentence  string
	}{
		"loopback":   {server{Listen: []string{"tcp 127.0.0.1:9000"}}, "127.0.0.1:9000", "loopback", "listens on 127.0.0.1:9000 only; bind 0.0.0.0:9000"},
		"loopback 6": {server{Listen: []string{"tcp [::1]:9000"}}, "[::1]:9000", "loopback", "listens on [::1]:9000 only; bind 0.0.0.0:9000"},
		"other port": {server{Listen: []string{"tcp :8080", "tcp 127.0.0.1:6060"}}, "127.0.0.1:6060, *:8080", "other_port", "listens on 127.0.0.1:6060, *:8080, not on port 9000"},
		"nothing":    {server{}, "", "nothing", "listens on no port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, r := run(t, Options{Timeout: 500 * time.Millisecond})
			c.server.Later = []string{"tcp4 0.0.0.0:9000"}
			if name == "loopback" {
				c.server.Later = []string{"tcp4 127.0.0.2:9000"} // still nothing that can be reached
			}
			f := startFunction(t, c.server, false)
			p.Running(f.process)
			e, phase := r.nextPhase(t)
			if !phase.Start.Equal(f.process.StartedAt) || phase.End.Sub(phase.Start) != 500*time.Millisecond {
				t.Errorf("phase is from %s to %s", phase.Start, phase.End)
			}
			if !strings.Contains(phase.Error, c.sentence) {
				t.Errorf("sentence is %q, want %q", phase.Error, c.sentence)
			}
			if d := cmp.Diff(faas.Attributes{"diagnosis": c.diagnosis, "listening": c.listening}, phase.Attributes); d != "" {
				t.Error(d)
			}
			fmt.Fprintln(f.in, "listen")
			if name == "loopback" {
				f.end()
				p.Exited(f.process.ContainerID) // nothing new
				if n := len(r.all); n != 1 {
					t.Errorf("%d events: %+v", n, r.all)
				}
				return
			}
			if ready := r.next(t); ready.Type() != faas.TypeReady {
				t.Fatalf("event is %+v", ready)
			}
			late, phase := r.nextPhase(t)
			if late.ID == e.ID || !phase.Start.Equal(f.process.StartedAt) || phase.Attributes["diagnosis"] != "late" ||
				!strings.Contains(phase.Error, "over the init timeout of 500ms") {
				t.Errorf("late phase %s is %+v", late.ID, phase)
			}
		})
	}
}

func TestExitedBeforeReady(t *testing.T) {
	for name, c := range map[string]struct {
		server   server
		sentence string
	}{
		"silent":   {server{}, "before it was seen to listen on port 9000"},
		"loopback": {server{Listen: []string{"tcp 127.0.0.1:9000"}}, "not ready: listens on 127.0.0.1:9000 only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, r := run(t, Options{})
			f := startFunction(t, c.server, false)
			p.Running(f.process)
			if c.server.Listen != nil {
				f.listened()
			}
			// A full look must have come since.
			full := testutil.ToFloat64(p.metrics.looks.full)
			for testutil.ToFloat64(p.metrics.looks.full) < full+2 {
				<-time.After(5 * time.Millisecond)
			}
			f.end()
			p.Exited(f.process.ContainerID)
			_, phase := r.nextPhase(t)
			if phase.Attributes["diagnosis"] != "exited" || !strings.Contains(phase.Error, c.sentence) {
				t.Errorf("phase is %+v", phase)
			}
		})
	}
}

// TestSharedNamespace: in a network namespace that others share, only its own sockets count.
func TestSharedNamespace(t *testing.T) {
	p, r := run(t, Options{Timeout: 700 * time.Millisecond})
	other := startFunction(t, server{Listen: []string{"tcp 127.0.0.1:0", "tcp 127.0.0.1:0"}}, true)
	defer other.end()
	other.listened()
	other.listened()
	ns, err := openNetns("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.close()
	s, host, err := ns.open(other.process.PID, make([]byte, replySize))
	if err != nil || !host {
		t.Fatalf("open: %t, %v", host, err)
	}
	defer s.close()
	all, err := s.listeners(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	held, err := sockets("/proc", other.process.PID, nil)
	if err != nil {
		t.Fatal(err)
	}
	var theirs []int
	for _, l := range all {
		if held[l.inode] {
			theirs = append(theirs, int(l.addr.Port()))
		}
	}
	if len(theirs) != 2 {
		t.Fatalf("two sockets of a process were found as %v", theirs)
	}

	// Theirs is not ready for ours...
	f := startFunction(t, server{Later: []string{fmt.Sprintf("tcp 127.0.0.2:%d", theirs[0])}}, true)
	f.process.Ports = theirs[:1]
	p.Running(f.process)
	_, phase := r.nextPhase(t)
	if phase.Attributes["diagnosis"] != "nothing" || !strings.Contains(phase.Error, "another process of this network namespace listens on port") {
		t.Errorf("phase is %+v", phase)
	}
	// ...until ours listens, on the loopback even, since the platform shares it.
	fmt.Fprintln(f.in, "listen")
	begin, _ := f.listened()
	ready := r.next(t)
	if ready.Type() != faas.TypeReady || ready.Time.Before(begin) {
		t.Errorf("event is %+v", ready)
	}
	// And theirs is for them.
	other.process.Ports = theirs[1:]
	p.Exited(f.process.ContainerID)
	other.process.StartedAt = time.Now()
	p.Running(other.process)
	for e := r.next(t); e.Instance != other.process.Instance; e = r.next(t) {
	}
}

package ship

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/faas"
)

func named(names ...string) []*target {
	var out []*target
	for _, n := range names {
		out = append(out, &target{name: n})
	}
	return out
}

// One target more moves what comes to it, and nothing else; all get their share.
func TestRank(t *testing.T) {
	three := named("http://a", "http://b", "http://c")
	four := append(three[:3:3], named("http://d")...)
	const n = 30_000
	share := map[string]int{}
	for i := range n {
		key := NewStream(faas.Ref{Instance: fmt.Sprint("instance-", i)}, faas.Stdout, "h").key
		before, after := rank(three, key), rank(four, key)
		share[after[0].name]++
		if after[0] != before[0] && after[0].name != "http://d" {
			t.Fatalf("instance %d moved from %s to %s", i, before[0].name, after[0].name)
		}
		// Who lists them in another order chooses the same.
		if other := rank([]*target{four[2], four[3], four[0], four[1]}, key); other[0] != after[0] || other[3] != after[3] {
			t.Fatal("the order of the targets matters")
		}
	}
	for name, k := range share {
		if math.Abs(float64(k)-n/4) > n/4*0.05 {
			t.Errorf("%s has %d of %d", name, k, n)
		}
	}
	// This choice is shared with all other senders: it must not change.
	key := NewStream(faas.Ref{Instance: "8f1c"}, faas.Platform, "h").key
	var order []string
	for _, x := range rank(four, key) {
		order = append(order, x.name)
	}
	if got := strings.Join(order, " "); got != fixedOrder {
		t.Errorf("order %s, want %s", got, fixedOrder)
	}
}

const fixedOrder = "http://d http://b http://a http://c"

// cluster is several targets of which some may be down.
type cluster struct {
	mu   sync.Mutex
	down map[string]bool
	got  map[string][]string // lines by target
}

func (c *cluster) targets(names ...string) []Target {
	var out []Target
	for _, name := range names {
		out = append(out, Target{name, sink(func(_ context.Context, _ string, req *push.PushRequest) error {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.down[name] {
				return errors.New("connection refused")
			}
			for _, s := range req.Streams {
				for _, e := range s.Entries {
					c.got[name] = append(c.got[name], e.Line)
				}
			}
			return nil
		})})
	}
	return out
}

func (c *cluster) set(name string, down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down[name] = down
}

func (c *cluster) lines(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got[name])
}

// instances are files whose lines say whose they are.
type instances struct {
	t       *testing.T
	s       *Shipper
	writers []*Writer
	streams [][2]*Stream
	home    []string
	n       int
}

func newInstances(t *testing.T, s *Shipper, n int) *instances {
	t.Helper()
	in := &instances{t: t, s: s}
	for i := range n {
		ref := faas.Ref{Function: "f", Instance: fmt.Sprint("instance-", i)}
		in.writers = append(in.writers, s.Writer(NewFile(uint64(i), 0)))
		pair := [2]*Stream{NewStream(ref, faas.Platform, "h"), NewStream(ref, faas.Stderr, "h")}
		in.streams = append(in.streams, pair)
		in.home = append(in.home, rank(s.targets, pair[0].key)[0].name)
	}
	return in
}

// write adds an event and a line of each instance.
func (in *instances) write() {
	in.t.Helper()
	for i, w := range in.writers {
		for k, to := range in.streams[i] {
			l := line(in.n, fmt.Sprintf("%d/%d", i, 2*in.n+k))
			if err := w.Add(in.t.Context(), to, l); err != nil {
				in.t.Fatal(err)
			}
		}
		if err := w.Flush(in.t.Context()); err != nil {
			in.t.Fatal(err)
		}
	}
	in.n++
}

// committed reports how many instances are acknowledged whole.
func (in *instances) committed() int {
	n := 0
	for _, w := range in.writers {
		if w.file.Committed() == int64(10*in.n) {
			n++
		}
	}
	return n
}

func newCluster(t *testing.T, opts Options, names ...string) (*cluster, *Shipper) {
	t.Helper()
	c := &cluster{down: map[string]bool{}, got: map[string][]string{}}
	dead := NewDeadLetters(filepath.Join(t.TempDir(), "dead"), 1<<20)
	t.Cleanup(func() { dead.Close() })
	s, err := New(opts, c.targets(names...), dead, quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// All of an instance goes to one target, and waits for it while it is down.
func TestTargetsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newCluster(t, Options{}, "a", "b", "c")
		defer running(s)()
		in := newInstances(t, s, 60)
		c.set("b", true)
		for range 5 {
			in.write()
			sleep(time.Second)
		}
		atB := 0
		for _, home := range in.home {
			if home == "b" {
				atB++
			}
		}
		if got := in.committed(); atB < 5 || got != 60-atB {
			t.Errorf("%d are committed, %d belong to b", got, atB)
		}
		sleep(time.Hour)
		if c.lines("b") != 0 || in.committed() != 60-atB {
			t.Error("somebody moved")
		}
		c.set("b", false)
		if err := s.Drain(t.Context()); err != nil || in.committed() != 60 {
			t.Errorf("%d are committed, %v", in.committed(), err)
		}
		for name, lines := range c.got {
			for _, l := range lines {
				var i, k int
				_, _ = fmt.Sscanf(l, "%d/%d", &i, &k)
				if in.home[i] != name {
					t.Errorf("%s of %s at %s", l, in.home[i], name)
				}
			}
		}
	})
}

// With failover the instances of a target that is down for long go to their
// next ones, what is under way too, and come back when it does.
func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newCluster(t, Options{Failover: 30 * time.Second}, "a", "b", "c")
		defer running(s)()
		in := newInstances(t, s, 60)
		c.set("b", true)
		in.write()
		sleep(20 * time.Second)
		if in.committed() == 60 {
			t.Error("moved too early")
		}
		for range 30 {
			in.write()
			sleep(time.Second)
		}
		sleep(20 * time.Second)
		if got := in.committed(); got != 60 || c.lines("b") != 0 {
			t.Errorf("%d are committed, %d lines at b", got, c.lines("b"))
		}
		// Its instances are spread over all others, not sent to one.
		a, cc := c.lines("a"), c.lines("c")
		if a+cc != 60*2*in.n || a < 60*2*in.n/5 || cc < 60*2*in.n/5 {
			t.Errorf("a has %d, c has %d of %d", a, cc, 60*2*in.n)
		}
		c.set("b", false)
		for range 30 {
			in.write()
			sleep(time.Second)
		}
		before := c.lines("b")
		in.write()
		sleep(time.Second)
		want := 0
		for _, home := range in.home {
			if home == "b" {
				want += 2
			}
		}
		if got := c.lines("b") - before; got != want {
			t.Errorf("%d lines at b again, want %d", got, want)
		}
		// All down: everything waits, and comes through.
		for _, name := range []string{"a", "b", "c"} {
			c.set(name, true)
		}
		in.write()
		sleep(10 * time.Minute)
		in.write()
		c.set("c", false)
		sleep(time.Minute)
		if err := s.Drain(t.Context()); err != nil || in.committed() != 60 {
			t.Errorf("%d are committed, %v", in.committed(), err)
		}
	})
}

func TestTargetsAreNamed(t *testing.T) {
	c := new(cluster)
	for _, targets := range [][]Target{nil, c.targets("a", "b", "a")} {
		if _, err := New(Options{}, targets, nil, quiet, nil); err == nil {
			t.Errorf("%d targets were taken", len(targets))
		}
	}
}

package probe

import (
	"container/heap"
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/cgroup"
	"github.com/coldscope/coldscope/internal/workload"
)

// instance is one container's process. What stands above mu is not changed
// once others know it.
type instance struct {
	process     workload.Process
	ports       []uint16
	group       *cgroup.Group // nil: it has none of its own
	groupName   string
	seen        time.Time
	age         time.Duration // at seen
	invocations invocations
	end         *os.File    // of its process; nil: cannot be seen. Guarded by the Prober's mu
	read        atomic.Bool // its groups were, when its process had ended

	mu         sync.Mutex
	starting   bool // looks are due
	overdue    bool // it was said why nothing listens
	socket     *diagSocket
	procNet    bool // no socket may be opened: /proc/PID/net is read
	host       bool // it is in the network namespace of the collector or the host
	unverified bool // whose the sockets are cannot be told

	sampled   time.Time // when its usage was read
	waited    bool      // for traceGrace
	lastLook  time.Time // begin of the last one that found nothing
	lastFull  time.Time
	listening []listener      // what the last full look found, ready or not
	foreign   map[uint32]bool // sockets at our ports of other processes
	foreignAt time.Time
}

// elapsed is the time since the process's start; steps of the clock do not change it.
func (i *instance) elapsed(now time.Time) time.Duration { return i.age + now.Sub(i.seen) }

// view is what Run's goroutine looks with.
type view struct {
	netns  *netns
	proc   string
	buf    []byte
	budget time.Duration // for looks, may be owed
	spent  time.Time
}

// spend takes the time of a round off the budget, which grows by a share of
// the time that passes, and says how long to pause if it is used up.
func (v *view) spend(end time.Time, took time.Duration) (pause time.Duration) {
	v.budget = min(maxBudget, v.budget+end.Sub(v.spent)/idleShare) - took
	v.budget = max(v.budget, -maxPause/idleShare)
	v.spent = end
	return max(0, -v.budget*idleShare)
}

// round looks at every instance that is due and says when the next one is.
func (p *Prober) round(v *view) (next time.Time, ok bool) {
	begin := time.Now()
	p.mu.Lock()
	var now []dueItem
	for len(p.due) > 0 && !p.due[0].at.After(begin.Add(p.opts.PollMin/2)) {
		now = append(now, heap.Pop(&p.due).(dueItem))
	}
	p.mu.Unlock()
	again := now[:0]
	for _, item := range now {
		if at, ok := p.lookAt(v, item.i); ok {
			again = append(again, dueItem{item.i, at})
		}
	}
	end := time.Now()
	resume := end.Add(v.spend(end, end.Sub(begin)))
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, item := range again {
		if item.at.Before(resume) {
			item.at = resume
		}
		heap.Push(&p.due, item)
	}
	if len(p.due) == 0 {
		return time.Time{}, false
	}
	return p.due[0].at, true
}

// lookAt looks at one instance; false: it needs no further look.
func (p *Prober) lookAt(v *view, i *instance) (next time.Time, again bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.starting {
		return time.Time{}, false
	}
	begin := time.Now()
	i.sample(begin)
	timedOut := !i.overdue && i.elapsed(begin) >= p.opts.Timeout
	since, at, found, err := p.find(v, i, begin, timedOut)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH):
		// The process has ended; Exited will say so.
		return begin.Add(max(p.interval(i, begin), time.Second)), true
	case err != nil:
		p.metrics.failures.WithLabelValues("socket").Inc()
		p.log.Debug("listening sockets cannot be read", "container_id", i.process.ContainerID, "error", err)
		return begin.Add(max(p.interval(i, begin), time.Second)), true
	case found && since.IsZero() && p.pushed.Load() && !i.waited:
		// It listened before anybody looked: the kernel may be about to tell when.
		i.waited, i.lastFull = true, time.Time{}
		return begin.Add(traceGrace), true
	case found:
		i.sampled = time.Time{} // a start may have been the most that it will ever use
		i.sample(begin)
		p.ready(i, since, at)
		p.settle(i)
		return time.Time{}, false
	}
	i.lastLook = begin
	if timedOut {
		p.emitTimeout(v, i)
		i.overdue = true
	}
	if i.overdue && i.socket != nil { // from here on looks are rare: a descriptor is dearer than opening it again
		i.socket.close()
		i.socket = nil
	}
	return begin.Add(p.interval(i, begin)), true
}

// interval until the next look: the shorter, the younger the start.
func (p *Prober) interval(i *instance, now time.Time) time.Duration {
	shortest, longest := p.opts.PollMin, p.opts.PollMax
	if p.pushed.Load() {
		shortest, longest = longest, 10*longest
	}
	if i.procNet {
		shortest = max(shortest, 100*time.Millisecond)
		longest = max(longest, shortest)
	}
	elapsed := i.elapsed(now)
	if i.overdue {
		return min(max(elapsed/patience, shortest), latePoll)
	}
	d := min(max(elapsed/patience, shortest), longest)
	if left := p.opts.Timeout - elapsed; left > 0 {
		d = min(d, left)
	}
	return d
}

// settle ends the looks at an instance, whose mu is held.
func (p *Prober) settle(i *instance) {
	if i.socket != nil {
		i.socket.close()
		i.socket = nil
	}
	if i.starting {
		i.starting = false
		p.metrics.starting.Dec()
	}
	i.listening, i.foreign = nil, nil
}

// find looks for a socket of the instance that takes connections at one of its
// ports, and says between which times it began to: that of the last look that
// would have seen it, and that of the kernel's answer.
func (p *Prober) find(v *view, i *instance, now time.Time, full bool) (since, at time.Time, found bool, err error) {
	if err := p.open(v, i); err != nil {
		return since, at, false, err
	}
	if now.Sub(i.foreignAt) > time.Second { // sockets are handed on; rarely
		i.foreign, i.foreignAt = map[uint32]bool{}, now
	}
	full = full || i.host || i.procNet || i.lastFull.IsZero() || now.Sub(i.lastFull) >= max(100*time.Millisecond, i.elapsed(now)/16)
	if !full {
		at, found, err = p.findWildcard(v, i)
		return i.lastLook, at, found, err
	}
	all, err := p.listAll(v, i)
	if err != nil {
		return since, at, false, err
	}
	at = time.Now()
	since, i.lastFull, i.listening = i.lastFull, now, all
	var candidates []listener
	for _, l := range all {
		if slices.Contains(i.ports, l.addr.Port()) && (p.opts.Loopback || i.host || !l.addr.Addr().IsLoopback()) {
			candidates = append(candidates, l)
			if l.addr.Addr().IsUnspecified() {
				since = i.lastLook
			}
		}
	}
	return since, at, p.owned(v, i, candidates), nil
}

// findWildcard looks for nothing but a server on all addresses, as nearly every one is.
func (p *Prober) findWildcard(v *view, i *instance) (at time.Time, found bool, err error) {
	p.metrics.looks.quick.Inc()
	for _, port := range i.ports {
		for _, family := range []byte{unix.AF_INET6, unix.AF_INET} {
			l, ok, err := i.socket.wildcard(family, port)
			if err != nil {
				return at, false, err
			}
			at = time.Now()
			if ok && p.owned(v, i, []listener{l}) {
				i.listening = []listener{l}
				return at, true, nil
			}
		}
	}
	return at, false, nil
}

// open opens the netlink socket in the process's network namespace, once.
func (p *Prober) open(v *view, i *instance) error {
	if i.socket != nil || i.procNet {
		return nil
	}
	s, host, err := v.netns.open(i.process.PID, v.buf)
	if errors.Is(err, errNetns) {
		p.denied.say(lostNetns, err)
		i.procNet, i.host = true, host
		return nil
	}
	if err != nil {
		return err
	}
	i.socket, i.host = s, host
	return nil
}

// listAll lists what listens in the namespace: in the host's, where that may be
// thousands, only at the instance's ports.
func (p *Prober) listAll(v *view, i *instance) (all []listener, err error) {
	if i.procNet {
		p.metrics.looks.proc.Inc()
		return procListeners(v.proc, i.process.PID)
	}
	p.metrics.looks.full.Inc()
	if !i.host {
		return i.socket.listeners(nil, 0)
	}
	for _, port := range i.ports {
		if all, err = i.socket.listeners(all, port); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// owned reports whether one of the candidates is held by the instance's
// processes. Others share its network namespace: the host's, or those of its
// pod. What was not its own is not asked about again for a second.
func (p *Prober) owned(v *view, i *instance, candidates []listener) bool {
	candidates = slices.DeleteFunc(candidates, func(l listener) bool { return i.foreign[l.inode] })
	if len(candidates) == 0 {
		return false
	}
	held := map[uint32]bool{}
	ours := func(l listener) bool { return held[l.inode] }
	err := socketsOf(v.proc, i.process.PID, held) // as a rule it is the first process
	if err == nil && !slices.ContainsFunc(candidates, ours) {
		held, err = sockets(v.proc, i.process.PID, i.group)
	}
	if slices.ContainsFunc(candidates, ours) {
		return true
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		p.denied.say(lostOwner, err)
		i.unverified = true
		return !i.host // where nobody else should be, it is believed
	case err != nil: // it has ended
		return false
	}
	for _, l := range candidates {
		i.foreign[l.inode] = true
	}
	return false
}

package probe

import (
	"container/heap"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf/ringbuf"
)

// listen is a process that began to listen on something.
type listen struct {
	pid   int
	group string // name of its control groups
	at    time.Time
}

// listens are the latest ones of the host: a server may listen before its
// runtime tells of its process. The oldest is overwritten.
type listens struct {
	ring [256]listen
	next int
}

func (l *listens) add(e listen) {
	l.ring[l.next%len(l.ring)] = e
	l.next++
}

func (e *listen) of(i *instance) bool {
	return e.pid == i.process.PID || e.group != "" && e.group == i.groupName
}

// listened gives the first and the last time after since that the instance began to listen on something.
func (p *Prober) listened(i *instance, since time.Time) (first, last time.Time, ok bool) {
	if since.IsZero() {
		// A runtime says when it saw that the process had started, which may
		// be after it listened.
		since = i.process.StartedAt.Add(-firstLook)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := range p.listens.ring {
		e := &p.listens.ring[n]
		if !e.at.After(since) || !e.of(i) {
			continue
		}
		if !ok || e.at.Before(first) {
			first = e.at
		}
		if e.at.After(last) {
			last = e.at
		}
		ok = true
	}
	return first, last, ok
}

// tracesPerSecond bounds what a process costs that listens again and again.
const tracesPerSecond = 2000

// startTrace asks the kernel to tell when a process listens. Stop ends that,
// before running is waited for.
func (p *Prober) startTrace(running *sync.WaitGroup) (stop func(), err error) {
	if p.opts.EBPF == EBPFOff {
		return func() {}, nil
	}
	t, err := openTrace()
	if err != nil {
		if p.opts.EBPF == EBPFOn {
			return nil, err
		}
		p.denied.say(lostEBPF, err)
		return func() {}, nil
	}
	p.pushed.Store(true)
	p.metrics.ebpf.Set(1)
	running.Go(func() { p.readTrace(t) })
	return func() {
		t.close()
		p.metrics.ebpf.Set(0)
	}, nil
}

func (p *Prober) readTrace(t *trace) {
	defer p.pushed.Store(false) // looks become frequent again
	var rec ringbuf.Record
	var second time.Time
	count := 0
	for {
		pid, at, err := t.read(&rec)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			p.denied.say(lostEBPF, err)
			return
		}
		if now := time.Now(); now.Sub(second) > time.Second {
			second, count = now, 0
		}
		if count++; count > tracesPerSecond {
			continue // the looks find it all the same
		}
		group, err := p.tree.Name(pid)
		if err != nil {
			group = "" // it has ended
		}
		p.push(listen{pid, group, at})
	}
}

// push looks at once at the starting instances to which the process belongs.
func (p *Prober) push(e listen) {
	p.mu.Lock()
	p.listens.add(e)
	found := false
	for n := range p.due {
		if e.of(p.due[n].i) {
			p.due[n].at = e.at
			found = true
		}
	}
	if found {
		heap.Init(&p.due)
	}
	p.mu.Unlock()
	if found {
		p.look()
	}
}

package probe

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// A runtime tells of a process's end when it has cleaned up after it: dockerd,
// for one, removes the control groups first. So the kernel is asked to tell
// (pidfd_open(2)), and the groups are read at that moment. What was read then
// is what Exited gives. On a loaded host even that can come too late: then it
// gives what was read last while the process ran.

// sampleEvery is how often what an instance uses is read while it runs, which
// takes some 5µs, and sampleSome how often it is looked whose turn it is.
const (
	sampleEvery = 10 * time.Second
	sampleSome  = time.Second
)

// sampleAll reads what those instances use whose turn it is.
func (p *Prober) sampleAll(now time.Time) {
	p.mu.Lock()
	all := slices.Collect(maps.Values(p.instances))
	p.mu.Unlock()
	for _, i := range all {
		i.mu.Lock()
		i.sample(now)
		i.mu.Unlock()
	}
}

// sample reads what the instance uses, the less often, the older it is: twice
// as old as at the last time, or after sampleEvery. Its mu is held.
func (i *instance) sample(now time.Time) {
	since := now.Sub(i.sampled)
	if i.group == nil || since < sampleEvery && since < i.elapsed(i.sampled) {
		return
	}
	i.sampled = now
	_, _ = i.group.Usage() // which remembers it; of a process that has ended it can fail
}

// watchExit has the instance's groups read when its process ends, where that
// can be known: not where the host's processes have other numbers here.
func (p *Prober) watchExit(i *instance) {
	if i.group == nil || !p.samePIDs() {
		return
	}
	fd, err := unix.PidfdOpen(i.process.PID, 0) // closed on exec
	if err == nil {
		err = unix.SetNonblock(fd, true) // for the poller
	}
	if err != nil {
		p.metrics.failures.WithLabelValues("exit").Inc()
		p.log.Debug("the process's end will not be seen", "container_id", i.process.ContainerID, "error", err)
		return
	}
	end := os.NewFile(uintptr(fd), "pidfd")
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		end.Close()
		return
	}
	i.end = end
	p.exits.Go(func() { i.readAtExit(end) })
}

// readAtExit waits for the process's end, or until end is closed.
func (i *instance) readAtExit(end *os.File) {
	conn, err := end.SyscallConn()
	if err != nil {
		return // closed
	}
	ended := func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return err == nil && n == 1
	}
	if conn.Read(ended) != nil {
		return // closed
	}
	if _, err := i.group.Usage(); err == nil { // which remembers it
		i.read.Store(true)
	}
}

// forgetExit ends the wait of readAtExit.
func (p *Prober) forgetExit(i *instance) {
	p.mu.Lock()
	end := i.end
	p.mu.Unlock()
	if end != nil {
		end.Close()
	}
}

// samePIDs reports whether the host's processes have the same numbers here.
func (p *Prober) samePIDs() bool {
	self, err := os.Readlink(filepath.Join(p.opts.ProcRoot, "self"))
	return err == nil && self == strconv.Itoa(os.Getpid())
}

package probe

import (
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// A runtime tells of a process's end when it has cleaned up after it: dockerd,
// for one, removes the control groups first. So the kernel is asked to tell
// (pidfd_open(2)), and the groups are read at that moment. What was read then
// is what Exited gives.

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

// Package cgroup reads what a container has used from its control groups, of
// version 1, version 2, or both at once (the controllers in version 1 beside an
// empty version 2 tree, as hybrid hosts have them).
//
// Sources: /proc/PID/cgroup (cgroups(7)); version 1: memory.max_usage_in_bytes,
// memory.oom_control, cpuacct.usage (Documentation/admin-guide/cgroup-v1);
// version 2: memory.peak, memory.events, cpu.stat (admin-guide/cgroup-v2). The
// peaks of both versions count the page cache of what the container read and
// wrote, as its memory limit does.
//
// A group's files cannot be read once the runtime has removed it, not even
// through open descriptors (ENODEV): what it used must be read at the process's
// exit, before the runtime has cleaned up.
package cgroup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/workload"
)

// ErrShared is the error of Open for a process that has no group of its own:
// what its group uses is not one container's use.
var ErrShared = errors.New("the process has no control group of its own")

// Tree is where processes and control groups are seen. Zero values take the
// defaults.
type Tree struct {
	Proc string // of the host's PID namespace; default /proc
	Root string // the host's cgroup mount; default /sys/fs/cgroup
}

// Group is the open control groups of one container. It is safe for concurrent
// use.
type Group struct {
	path     string                      // of a directory with the process list
	parseCPU func([]byte) (int64, error) // to nanoseconds

	mu                        sync.Mutex
	peak, window, cpu, events *file // nil: the host does not have it
	// peak is of the whole life, in version 1 since the last reset. window is
	// since the last reset: in version 1 the same file.
	last workload.Usage // MemoryPeak: of all windows
}

// Open opens the groups of the process pid. What the host does not have is left
// out of the usage; it is an error only if nothing can be read.
func (t Tree) Open(pid int) (*Group, error) {
	own, err := t.memberships("thread-self")
	if err != nil {
		return nil, err
	}
	of, err := t.memberships(strconv.Itoa(pid))
	if err != nil {
		return nil, err
	}
	g := &Group{}
	if path, ok := of["memory"]; ok && distinct(path, own, "memory") {
		g.openMemory1(filepath.Join(t.root(), "memory", path))
	}
	if path, ok := of["cpuacct"]; ok && distinct(path, own, "cpuacct") {
		g.openCPU1(filepath.Join(t.cpuacct(), path))
	}
	if path, ok := of[""]; ok && distinct(path, own, "") {
		g.open2(filepath.Join(t.unified(), path))
	}
	if g.path == "" {
		if of.own(own) {
			return nil, fmt.Errorf("open control group of process %d: %w (groups %s)", pid, fs.ErrNotExist, of)
		}
		return nil, fmt.Errorf("open control group of process %d: %w", pid, ErrShared)
	}
	return g, nil
}

func (t Tree) proc() string { return orDefault(t.Proc, "/proc") }
func (t Tree) root() string { return orDefault(t.Root, "/sys/fs/cgroup") }

// unified is the version 2 tree: the root itself, or beside version 1's.
func (t Tree) unified() string {
	if _, err := os.Stat(filepath.Join(t.root(), "cgroup.controllers")); err == nil {
		return t.root()
	}
	return filepath.Join(t.root(), "unified")
}

// cpuacct is where version 1 accounts for CPU time, perhaps together with another controller.
func (t Tree) cpuacct() string {
	dir := filepath.Join(t.root(), "cpuacct")
	if _, err := os.Stat(dir); err != nil {
		return filepath.Join(t.root(), "cpu,cpuacct")
	}
	return dir
}

func (g *Group) openMemory1(dir string) {
	path := filepath.Join(dir, "memory.max_usage_in_bytes")
	if g.peak = open(path, unix.O_RDWR); g.peak != nil {
		g.window = g.peak
	} else if g.peak = open(path, unix.O_RDONLY); g.peak == nil {
		return
	}
	g.path = dir
	g.events = open(filepath.Join(dir, "memory.oom_control"), unix.O_RDONLY)
}

func (g *Group) openCPU1(dir string) {
	if g.cpu = open(filepath.Join(dir, "cpuacct.usage"), unix.O_RDONLY); g.cpu == nil {
		return
	}
	g.parseCPU = parseNumber
	if g.path == "" {
		g.path = dir
	}
}

// open2 opens what version 2 has and version 1 has not.
func (g *Group) open2(dir string) {
	if g.peak == nil {
		peak := filepath.Join(dir, "memory.peak") // since Linux 5.19
		if g.peak = open(peak, unix.O_RDONLY); g.peak != nil {
			g.events = open(filepath.Join(dir, "memory.events"), unix.O_RDONLY)
			// Since Linux 6.12 a write resets the peak for this descriptor
			// alone; before, the file cannot be opened for writing.
			g.window = open(peak, unix.O_RDWR)
		}
	}
	if g.cpu == nil {
		g.cpu = open(filepath.Join(dir, "cpu.stat"), unix.O_RDONLY)
		g.parseCPU = parseUsageUsec
	}
	if g.path == "" && (g.peak != nil || g.cpu != nil) {
		g.path = dir
	}
}

// Usage is what the container has used until now. When its groups are gone, it
// is what the last call found, with the error of the read.
func (g *Group) Usage() (workload.Usage, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.usage()
}

func (g *Group) usage() (workload.Usage, error) {
	var failed error
	read := func(f *file, parse func([]byte) (int64, error), to *int64) {
		if f == nil {
			return
		}
		n, err := f.number(parse)
		if err != nil {
			failed = err
			return
		}
		*to = max(*to, n)
	}
	read(g.peak, parseNumber, &g.last.MemoryPeak)
	read(g.events, field("oom_kill"), &g.last.OOMKills)
	cpu := int64(g.last.CPUTime)
	read(g.cpu, g.parseCPU, &cpu)
	g.last.CPUTime = time.Duration(cpu)
	return g.last, failed
}

// Window is what the container has used until now, with the memory peak since
// the last call of Window, which it begins anew; false says that this peak cannot be
// told here (no permission, or version 2 before Linux 6.12). The life's peak, as Usage
// gives it, is not touched.
func (g *Group) Window() (u workload.Usage, peak int64, ok bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if u, err = g.usage(); err != nil || g.window == nil {
		return u, 0, false, err
	}
	if peak, err = g.window.number(parseNumber); err != nil {
		return u, 0, false, err
	}
	// Between the read and the reset memory can rise and fall again unseen:
	// some microseconds.
	if _, err := unix.Pwrite(g.window.fd, []byte("0"), 0); err != nil {
		if g.window != g.peak {
			g.window.close()
		}
		g.window = nil // nor will it be possible later
		return u, 0, false, nil
	}
	return u, peak, true, nil
}

// PIDs are the processes of the group now, as the PID namespace of the caller
// numbers them; those outside of it are left out.
func (g *Group) PIDs() ([]int, error) {
	b, err := os.ReadFile(filepath.Join(g.path, "cgroup.procs"))
	if err != nil {
		return nil, fmt.Errorf("list processes of control group: %w", err)
	}
	return parsePIDs(b), nil
}

// Close closes the group's files.
func (g *Group) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.window != g.peak {
		g.window.close()
	}
	for _, f := range []*file{g.peak, g.cpu, g.events} {
		f.close()
	}
	g.peak, g.window, g.cpu, g.events = nil, nil, nil, nil
}

// file is an open file of a kernel file system. It is not an os.File: those
// would be put into the runtime's poller, which each change of such a file wakes.
type file struct {
	fd   int
	name string
}

// open is nil if the file cannot be opened.
func open(name string, mode int) *file {
	for {
		fd, err := unix.Open(name, mode|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil
		}
		return &file{fd, name}
	}
}

func (f *file) close() {
	if f != nil {
		_ = unix.Close(f.fd) // only read
	}
}

// number reads the file from its start.
func (f *file) number(parse func([]byte) (int64, error)) (int64, error) {
	var buf [4096]byte
	n, err := unix.Pread(f.fd, buf[:], 0)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Pread(f.fd, buf[:], 0)
	}
	if err == nil && n == 0 {
		err = io.ErrUnexpectedEOF
	}
	var v int64
	if err == nil {
		v, err = parse(buf[:n])
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", f.name, err)
	}
	return v, nil
}

func orDefault(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

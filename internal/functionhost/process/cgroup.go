package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memoryGroup is an instance's memory cgroup, version 1 or 2.
type memoryGroup struct {
	dir string
	v2  bool
}

// memoryRoot finds where memory cgroups can be made.
func memoryRoot() (dir string, v2 bool, err error) {
	if controllers, err := os.ReadFile("/sys/fs/cgroup/cgroup.subtree_control"); err == nil {
		if !strings.Contains(string(controllers), "memory") {
			return "", true, errors.New("cgroup v2 without the memory controller in /sys/fs/cgroup/cgroup.subtree_control")
		}
		return "/sys/fs/cgroup", true, nil
	}
	const v1 = "/sys/fs/cgroup/memory"
	if _, err := os.Stat(filepath.Join(v1, "memory.limit_in_bytes")); err != nil {
		return "", false, fmt.Errorf("no memory cgroup: %w", err)
	}
	return v1, false, nil
}

// newMemoryGroup makes the cgroup name; limit 0 means none.
func newMemoryGroup(name string, limit int64) (*memoryGroup, error) {
	root, v2, err := memoryRoot()
	if err != nil {
		return nil, err
	}
	g := &memoryGroup{dir: filepath.Join(root, name), v2: v2}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make memory cgroup: %w", err)
	}
	if limit > 0 {
		file := "memory.limit_in_bytes"
		if v2 {
			file = "memory.max"
		}
		if err := g.write(file, strconv.FormatInt(limit, 10)); err != nil {
			return nil, errors.Join(fmt.Errorf("set memory limit: %w", err), g.remove())
		}
	}
	return g, nil
}

func (g *memoryGroup) add(pid int) error {
	if err := g.write("cgroup.procs", strconv.Itoa(pid)); err != nil {
		return fmt.Errorf("enter memory cgroup: %w", err)
	}
	return nil
}

func (g *memoryGroup) write(file, value string) error {
	return os.WriteFile(filepath.Join(g.dir, file), []byte(value), 0o644)
}

// peak is the most bytes that were in use at a time, 0 if not known.
func (g *memoryGroup) peak() int64 {
	file := "memory.max_usage_in_bytes"
	if g.v2 {
		file = "memory.peak"
	}
	b, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// oomKilled reports whether the kernel killed a process for want of memory.
func (g *memoryGroup) oomKilled() bool {
	file := "memory.oom_control"
	if g.v2 {
		file = "memory.events"
	}
	b, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return false
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strings.TrimSpace(n) != "0"
		}
	}
	return false
}

func (g *memoryGroup) remove() error {
	if err := os.Remove(g.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove memory cgroup: %w", err)
	}
	return nil
}

// removeMemoryGroups removes the groups prefix+INSTANCE of instances that are
// not live: what a host that was killed left. Groups with processes in them stay.
func removeMemoryGroups(prefix string, live func(instance string) bool) {
	root, _, err := memoryRoot()
	if err != nil {
		return
	}
	old, err := filepath.Glob(filepath.Join(root, prefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range old {
		if !live(strings.TrimPrefix(filepath.Base(dir), prefix)) {
			_ = os.Remove(dir) // tried again by the next Sweep
		}
	}
}

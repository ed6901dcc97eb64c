package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/workload"
)

// childEnv makes the test binary a process that uses memory and CPU time on command.
const childEnv = "COLDSCOPE_TEST_CGROUP_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child obeys "alloc BYTES" (takes and gives back at once) and "burn DURATION" of its input.
func child() {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		what, arg, _ := strings.Cut(in.Text(), " ")
		switch what {
		case "alloc":
			n, _ := strconv.Atoi(arg)
			if err := touch(n); err != nil {
				fmt.Fprintln(os.Stdout, err)
				continue
			}
		case "burn":
			d, _ := time.ParseDuration(arg)
			burn(d)
		}
		fmt.Fprintln(os.Stdout, "done")
	}
}

type process struct {
	t   *testing.T
	pid int
	in  io.Writer
	out *bufio.Scanner
}

// start starts a child in fresh groups, which are removed at the test's end.
func start(t *testing.T, dirs ...string) *process {
	t.Helper()
	for _, dir := range dirs {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("control groups cannot be made here (root and cgroup v1 are needed): %v", err)
		}
		t.Cleanup(func() { removeGroup(t, dir) })
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for _, dir := range dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &process{t, cmd.Process.Pid, in, bufio.NewScanner(out)}
}

// removeGroup waits for the kernel to have seen the last process off.
func removeGroup(t *testing.T, dir string) {
	for range 500 {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, os.ErrNotExist) {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
	t.Errorf("control group %s is still in use", dir)
}

func (p *process) do(command string) {
	p.t.Helper()
	fmt.Fprintln(p.in, command)
	if !p.out.Scan() || p.out.Text() != "done" {
		p.t.Fatalf("%s: %q", command, p.out.Text())
	}
}

func name(t *testing.T) string {
	return fmt.Sprintf("coldscope-%s-%d", strings.ToLower(t.Name()), os.Getpid())
}

func TestVersion1(t *testing.T) {
	memory := filepath.Join("/sys/fs/cgroup/memory", name(t))
	p := start(t, memory, filepath.Join("/sys/fs/cgroup/cpuacct", name(t)))
	g, err := Tree{}.Open(p.pid)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	pids, err := g.PIDs()
	if err != nil || !slices.Equal(pids, []int{p.pid}) {
		t.Errorf("processes are %v, %v, want %d", pids, err, p.pid)
	}

	const big, small = 64 << 20, 16 << 20
	window := func() (workload.Usage, int64) {
		t.Helper()
		u, peak, ok, err := g.Window()
		if err != nil || !ok {
			t.Fatalf("Window: %t, %v", ok, err)
		}
		return u, peak
	}
	window()
	p.do(fmt.Sprint("alloc ", big))
	_, first := window()
	p.do(fmt.Sprint("alloc ", small))
	before, second := window()
	p.do("burn 300ms")
	after, _ := window()
	if first < big || first > 2*big {
		t.Errorf("peak while %d bytes were taken is %d", big, first)
	}
	if second < small || second > first-small {
		t.Errorf("peak while %d bytes were taken is %d, after one of %d", small, second, first)
	}
	if after.MemoryPeak < first {
		t.Errorf("the life's peak %d is below a window's %d", after.MemoryPeak, first)
	}
	if burnt := after.CPUTime - before.CPUTime; burnt < 300*time.Millisecond || burnt > 3*time.Second {
		t.Errorf("300ms of work took %s of CPU time", burnt)
	}

	if err := os.WriteFile(filepath.Join("/sys/fs/cgroup/memory/cgroup.procs"), []byte(strconv.Itoa(p.pid)), 0o644); err != nil {
		t.Fatal(err)
	}
	removeGroup(t, memory)
	gone, err := g.Usage()
	if err == nil {
		t.Error("a group that was removed can be read: then it need not be read in a hurry")
	}
	if gone.MemoryPeak != after.MemoryPeak || gone.CPUTime < after.CPUTime {
		t.Errorf("usage after the removal is %+v, before %+v", gone, after)
	}
}

func TestVersion1KillsForWantOfMemory(t *testing.T) {
	dir := filepath.Join("/sys/fs/cgroup/memory", name(t))
	p := start(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), []byte("33554432"), 0o644); err != nil {
		t.Skip("no memory limits here")
	}
	g, err := Tree{}.Open(p.pid)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	fmt.Fprintln(p.in, "alloc", 256<<20)
	if p.out.Scan() && p.out.Text() == "done" {
		t.Skip("memory limits are not enforced here")
	}
	u, err := g.Usage()
	if err != nil || u.OOMKills != 1 {
		t.Errorf("usage %+v, %v, want one kill", u, err)
	}
}

// TestHybrid: the version 2 tree beside version 1's accounts for CPU time without any controller.
func TestHybrid(t *testing.T) {
	p := start(t, filepath.Join("/sys/fs/cgroup/unified", name(t)))
	g, err := Tree{}.Open(p.pid)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	p.do("burn 200ms")
	u, err := g.Usage()
	if err != nil || u.CPUTime < 200*time.Millisecond {
		t.Errorf("usage is %+v, %v", u, err)
	}
}

func TestShared(t *testing.T) {
	_, err := Tree{}.Open(os.Getpid())
	if !errors.Is(err, ErrShared) {
		t.Errorf("our own process: %v, want ErrShared", err)
	}
	p := start(t)
	ours, err := Tree{}.Name(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if childs, err := (Tree{}).Name(p.pid); err != nil || childs != ours {
		t.Errorf("the child's groups are %q, %v, its parent's %q", childs, err, ours)
	}
	if err := os.Mkdir("/sys/fs/cgroup/unified/"+name(t), 0o755); err == nil {
		t.Cleanup(func() { removeGroup(t, "/sys/fs/cgroup/unified/"+name(t)) })
		os.WriteFile("/sys/fs/cgroup/unified/"+name(t)+"/cgroup.procs", []byte(strconv.Itoa(p.pid)), 0o644)
		if other, err := (Tree{}).Name(p.pid); err != nil || other == ours {
			t.Errorf("in another group the child has the same name %q, %v", other, err)
		}
	}
}

// tree writes a fixture; keys are paths below its root.
func tree(t *testing.T, files map[string]string) Tree {
	t.Helper()
	dir := t.TempDir()
	for path, content := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Tree{Proc: filepath.Join(dir, "proc"), Root: filepath.Join(dir, "cgroup")}
}

const stat = "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n"

func TestLayouts(t *testing.T) {
	const scope = "/kubepods.slice/kubepods-pod1.slice/cri-containerd-abc.scope"
	for name, c := range map[string]struct {
		files map[string]string
		want  workload.Usage
		pids  []int
		err   string
	}{
		"version 2": {
			files: map[string]string{
				"proc/thread-self/cgroup":           "0::/system.slice/coldscope.service\n",
				"proc/7/cgroup":                     "0::" + scope + "\n",
				"cgroup/cgroup.controllers":         "cpu memory\n",
				"cgroup" + scope + "/memory.peak":   "67108864\n",
				"cgroup" + scope + "/memory.events": "low 0\nhigh 0\nmax 9\noom 3\noom_kill 2\noom_group_kill 0\n",
				"cgroup" + scope + "/cpu.stat":      stat,
				"cgroup" + scope + "/cgroup.procs":  "7\n0\n9\n",
			},
			want: workload.Usage{MemoryPeak: 64 << 20, CPUTime: 1500 * time.Millisecond, OOMKills: 2}, pids: []int{7, 9},
		},
		"version 2 before memory.peak": {
			files: map[string]string{
				"proc/thread-self/cgroup":      "0::/\n",
				"proc/7/cgroup":                "0::" + scope + "\n",
				"cgroup/cgroup.controllers":    "cpu memory\n",
				"cgroup" + scope + "/cpu.stat": stat, "cgroup" + scope + "/cgroup.procs": "7\n",
			},
			want: workload.Usage{CPUTime: 1500 * time.Millisecond}, pids: []int{7},
		},
		"version 1 with joined controllers, hybrid": {
			files: map[string]string{
				"proc/thread-self/cgroup":                            "4:memory:/\n3:cpu,cpuacct:/\n0::/\n",
				"proc/7/cgroup":                                      "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n",
				"cgroup/memory/docker/abc/cgroup.procs":              "7\n",
				"cgroup/memory/docker/abc/memory.oom_control":        "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
				"cgroup/memory/docker/abc/memory.max_usage_in_bytes": "4096\n",
				"cgroup/cpu,cpuacct/docker/abc/cpuacct.usage":        "1234567\n",
			},
			want: workload.Usage{MemoryPeak: 4096, CPUTime: 1234567, OOMKills: 1}, pids: []int{7},
		},
		"memory in version 1, cpu in version 2": {
			files: map[string]string{
				"proc/thread-self/cgroup":                     "4:memory:/\n0::/\n",
				"proc/7/cgroup":                               "4:memory:/abc\n0::/abc\n",
				"cgroup/memory/abc/memory.max_usage_in_bytes": "4096\n",
				"cgroup/memory/abc/cgroup.procs":              "7\n",
				"cgroup/unified/abc/cpu.stat":                 stat,
			},
			want: workload.Usage{MemoryPeak: 4096, CPUTime: 1500 * time.Millisecond}, pids: []int{7},
		},
		"the collector's own": {
			files: map[string]string{"proc/thread-self/cgroup": "0::/x\n", "proc/7/cgroup": "0::/x\n"},
			err:   "no control group of its own",
		},
		"not mounted": {
			files: map[string]string{"proc/thread-self/cgroup": "0::/x\n", "proc/7/cgroup": "0::/y\n"},
			err:   "does not exist",
		},
		"another cgroup namespace": {
			files: map[string]string{"proc/thread-self/cgroup": "0::/\n", "proc/7/cgroup": "0::/../y\n"},
			err:   "run the collector in the host's",
		},
		"no such process": {
			files: map[string]string{"proc/thread-self/cgroup": "0::/\n"},
			err:   "find control group",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := tree(t, c.files).Open(7)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error is %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			got, err := g.Usage()
			if d := cmp.Diff(c.want, got); d != "" || err != nil {
				t.Errorf("usage: %v\n%s", err, d)
			}
			if pids, err := g.PIDs(); err != nil || !slices.Equal(pids, c.pids) {
				t.Errorf("processes are %v, %v, want %v", pids, err, c.pids)
			}
		})
	}
}

// TestVersion2Window: the window's peak has a descriptor of its own, and is
// given up where that cannot be written.
func TestVersion2Window(t *testing.T) {
	tr := tree(t, map[string]string{
		"proc/thread-self/cgroup": "0::/\n", "proc/7/cgroup": "0::/a\n", "cgroup/cgroup.controllers": "",
		"cgroup/a/memory.peak": "8192\n", "cgroup/a/cpu.stat": stat,
	})
	g, err := tr.Open(7)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	u, peak, ok, err := g.Window()
	if err != nil || !ok || peak != 8192 || u.MemoryPeak != 8192 {
		t.Fatalf("Window: %+v, %d, %t, %v", u, peak, ok, err)
	}
	// The kernel would reset this descriptor's peak; a file shows what was written.
	if b, err := os.ReadFile(filepath.Join(tr.Root, "a/memory.peak")); err != nil || string(b) != "0192\n" {
		t.Errorf("the peak was not reset: %q, %v", b, err)
	}
	g.window.close()
	g.window = open(filepath.Join(tr.Root, "a/memory.peak"), os.O_RDONLY) // as a kernel that refuses
	if u, _, ok, err = g.Window(); err != nil || ok || u.MemoryPeak != 8192 {
		t.Errorf("Window without permission: %+v, %t, %v", u, ok, err)
	}
	if _, _, ok, err = g.Window(); err != nil || ok {
		t.Errorf("second Window without permission: %t, %v", ok, err)
	}
}

func FuzzMemberships(f *testing.F) {
	f.Add([]byte("4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n"))
	f.Add([]byte("0::/../../x (deleted)\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMemberships(b)
		if err != nil {
			return
		}
		for _, path := range m {
			if joined := filepath.Join("/root", path); joined != "/root" && !strings.HasPrefix(joined, "/root/") {
				t.Errorf("path %q leaves the tree", path)
			}
		}
	})
}

func FuzzNumbers(f *testing.F) {
	f.Add([]byte("oom_kill 3\nusage_usec 99999999999999999\n0\n12\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) (int64, error){parseNumber, parseUsageUsec, field("oom_kill")} {
			if n, err := parse(b); err == nil && n < 0 {
				t.Errorf("%q gives %d", b, n)
			}
		}
		for _, pid := range parsePIDs(b) {
			if pid <= 0 {
				t.Errorf("%q gives process %d", b, pid)
			}
		}
	})
}

func BenchmarkWindow(b *testing.B) {
	dirs := []string{"memory", "cpuacct"}
	for i, c := range dirs {
		dirs[i] = filepath.Join("/sys/fs/cgroup", c, fmt.Sprint("coldscope-bench-", os.Getpid()))
		if err := os.Mkdir(dirs[i], 0o755); err != nil {
			b.Skip("control groups cannot be made here")
		}
		defer os.Remove(dirs[i])
	}
	g := &Group{}
	g.openMemory1(dirs[0])
	g.openCPU1(dirs[1])
	defer g.Close()
	for b.Loop() {
		if _, _, _, err := g.Window(); err != nil {
			b.Fatal(err)
		}
	}
}

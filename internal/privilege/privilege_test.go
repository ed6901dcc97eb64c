package privilege_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/privilege"
)

// dropper builds the program that drops: capabilities are a process's, and the
// test's own process needs its. It lies where any user can run it.
func dropper(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "dropper")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./testdata/dropper")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func run(t *testing.T, attr *syscall.SysProcAttr, env string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.SysProcAttr, cmd.Dir = attr, "/"
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// state is what all threads have that the program showed.
type state struct {
	threads int
	values  map[string]string // key to value, the same of all threads
}

func states(t *testing.T, out, when string) state {
	t.Helper()
	s := state{values: map[string]string{}}
	for line := range strings.Lines(out) {
		rest, ok := strings.CutPrefix(line, when+" ")
		if !ok {
			continue
		}
		s.threads++
		for field := range strings.FieldsSeq(rest) {
			key, value, ok := strings.Cut(field, "=")
			if !ok {
				continue
			}
			if other, ok := s.values[key]; ok && other != value {
				t.Errorf("%s: a thread has %s %s, another one %s", when, key, value, other)
			}
			s.values[key] = value
		}
	}
	if s.threads < 6 {
		t.Errorf("%s: %d threads are too few to show anything:\n%s", when, s.threads, out)
	}
	return s
}

func hex(capabilities ...int) string {
	s := strconv.FormatUint(uint64(privilege.SetOf(capabilities...)), 16)
	return strings.Repeat("0", 16-len(s)) + s
}

func asRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root has something to drop")
	}
	have, err := privilege.Permitted()
	if want := privilege.SetOf(unix.CAP_SETPCAP, unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_PTRACE, unix.CAP_SETUID); err != nil || have&want != want {
		t.Skipf("this root has too little to drop: %s (%v)", have, err)
	}
}

func TestDrop(t *testing.T) {
	asRoot(t)
	program := dropper(t)
	nobody := &syscall.Credential{Uid: 65534, Gid: 65534}
	readSearch, ptrace := strconv.Itoa(unix.CAP_DAC_READ_SEARCH), strconv.Itoa(unix.CAP_SYS_PTRACE)
	for _, c := range []struct {
		name  string
		attr  *syscall.SysProcAttr
		args  []string
		left  []int
		shown string
		bound bool // may keep its bounding set
	}{
		{"all of root's", nil, nil, nil, "none", false},
		{"all but two of root's", nil, []string{readSearch, ptrace}, []int{unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_PTRACE}, "CAP_DAC_READ_SEARCH CAP_SYS_PTRACE", false},
		{"nobody has none to keep", &syscall.SysProcAttr{Credential: nobody}, []string{readSearch}, nil, "none", true},
		{
			"nobody keeps what it was given",
			&syscall.SysProcAttr{Credential: nobody, AmbientCaps: []uintptr{unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_PTRACE}},
			[]string{readSearch},
			[]int{unix.CAP_DAC_READ_SEARCH},
			"CAP_DAC_READ_SEARCH",
			true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := run(t, c.attr, "", append([]string{program}, c.args...)...)
			before, after := states(t, out, "before"), states(t, out, "after")
			if before.values["NoNewPrivs"] != "0" {
				t.Skip("this test runs with no_new_privs itself")
			}
			want := map[string]string{
				"CapInh": hex(), "CapPrm": hex(c.left...), "CapEff": hex(c.left...), "CapBnd": hex(), "CapAmb": hex(), "NoNewPrivs": "1",
			}
			if c.bound {
				want["CapBnd"] = before.values["CapBnd"]
			}
			for key, value := range want {
				if after.values[key] != value {
					t.Errorf("%s is %s, want %s (was %s)", key, after.values[key], value, before.values[key])
				}
			}
			if !strings.Contains(out, "left "+c.shown+" <nil>\n") {
				t.Errorf("want %s to be left:\n%s", c.shown, out)
			}
			if !regexp.MustCompile(`(?m)^child CapEff: 0{16} <nil>$`).MatchString(out) {
				t.Errorf("a child has capabilities:\n%s", out)
			}
			// Root's files are root's still; others need the capability.
			if read := strings.Contains(out, "shadow <nil>"); read != (c.attr == nil || c.left != nil) {
				t.Errorf("reads /etc/shadow: %t", read)
			}
		})
	}
}

// A process in a control group namespace of its own, as containers are, gets
// into that of the process which is the first one of the /proc it is given.
func TestEnterCgroupNamespace(t *testing.T) {
	asRoot(t)
	own, err := os.Readlink("/proc/self/ns/cgroup")
	if err != nil {
		t.Skip("this kernel has no control group namespaces")
	}
	proc := t.TempDir()
	if err := os.Symlink("/proc/"+strconv.Itoa(os.Getpid()), filepath.Join(proc, "1")); err != nil {
		t.Fatal(err)
	}
	program := dropper(t)
	for moved, attr := range map[string]*syscall.SysProcAttr{"false": nil, "true": {Cloneflags: unix.CLONE_NEWCGROUP}} {
		out := run(t, attr, "DROPPER_PROC="+proc, program, "cgroup")
		if !strings.Contains(out, "moved "+moved+" <nil>\n") {
			t.Errorf("want moved %s without an error:\n%s", moved, out)
		}
		if got := states(t, out, "after").values["cgroup"]; got != own {
			t.Errorf("threads are in %s, want %s", got, own)
		}
	}
	if out := run(t, nil, "DROPPER_PROC=/nowhere", program, "cgroup"); !strings.Contains(out, "moved false <nil>\n") {
		t.Errorf("without such a process:\n%s", out)
	}
}

func TestString(t *testing.T) {
	for want, s := range map[string]privilege.Set{
		"none":                    0,
		"CAP_CHOWN CAP_SETPCAP":   privilege.SetOf(unix.CAP_CHOWN, unix.CAP_SETPCAP),
		"CAP_PERFMON CAP_BPF":     privilege.SetOf(unix.CAP_BPF, unix.CAP_PERFMON),
		"CAP_CHECKPOINT_RESTORE":  privilege.SetOf(unix.CAP_LAST_CAP),
		"CAP_CHOWN capability 63": privilege.SetOf(unix.CAP_CHOWN, 63),
	} {
		if got := s.String(); got != want {
			t.Errorf("%b is %q, want %q", s, got, want)
		}
	}
}

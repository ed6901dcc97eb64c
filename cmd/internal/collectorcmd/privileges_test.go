package collectorcmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/privilege"
)

// The collector's own binary, as root and as nobody: it ships what it may
// read, and has nothing that it has no use for.
func TestPrivileges(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has capabilities to drop and can become nobody")
	}
	have, err := privilege.Permitted()
	if err != nil || have&privilege.SetOf(unix.CAP_SETPCAP, unix.CAP_SETUID, unix.CAP_DAC_READ_SEARCH) == 0 {
		t.Skipf("this root has too little to drop: %s (%v)", have, err)
	}
	program := buildCollector(t)
	watching := "{containerd: off, cri: off, kubernetes: off, docker_socket: unix:///nowhere.sock, init_timeout: 1s}"
	nothing := "{docker: off, containerd: off, cri: off}"
	needed := privilege.SetOf(unix.CAP_DAC_READ_SEARCH, unix.CAP_SYS_PTRACE, unix.CAP_SYS_ADMIN, unix.CAP_BPF, unix.CAP_PERFMON)
	for _, c := range []struct {
		name, runtimes string
		args           []string
		nobody         bool
		left           privilege.Set
	}{
		{"root", watching, nil, false, needed & have},
		{"root without runtimes", nothing, nil, false, privilege.SetOf(unix.CAP_DAC_READ_SEARCH)},
		{"root at a port below 1024", nothing, []string{"--listen", "127.0.0.1:999"}, false, privilege.SetOf(unix.CAP_DAC_READ_SEARCH, unix.CAP_NET_BIND_SERVICE)},
		{"root keeps all", nothing, []string{"--keep-capabilities"}, false, have},
		{"nobody", watching, nil, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			url, got := sink(t)
			config, logs := filepath.Join(dir, "coldscope.yaml"), filepath.Join(dir, "logs")
			mustWrite(t, config, fmt.Sprintf("target: %s\ncollector:\n  socket: %s/s\n  cri: []\n  docker: []\n"+
				"  runtimes: %s\n  files: [{paths: [%s/*.log]}]\n", url, dir, c.runtimes, logs))
			mustWrite(t, filepath.Join(logs, "a.log"), "a line of "+c.name+"\n")
			args := append([]string{"--config", config, "--data-dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0"}, c.args...)
			cmd := exec.CommandContext(t.Context(), program, args...)
			var stdout, stderr output
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if c.nobody {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				for _, path := range []string{dir, config, logs, filepath.Join(logs, "a.log")} {
					if err := os.Chown(path, 65534, 65534); err != nil {
						t.Fatal(err)
					}
				}
				openWay(t, dir)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Error(err)
				}
				if err := cmd.Wait(); err != nil {
					t.Errorf("%v\n%s", err, stderr.String())
				}
			}()
			eventually(t, "the line arrives", func() bool { return strings.Contains(got(), "a line of "+c.name) })
			eventually(t, "it is ready", func() bool { return strings.Contains(stdout.String(), "ready ") })
			nnp := "1"
			if c.left == have {
				nnp = "0"
			}
			for _, status := range threads(t, cmd.Process.Pid) {
				for _, set := range []string{"CapPrm", "CapEff"} {
					if want := fmt.Sprintf("%s:\t%016x\n", set, uint64(c.left)); !strings.Contains(status, want) {
						t.Errorf("a thread has not %s of %s but\n%s", c.left, want, status)
					}
				}
				if !strings.Contains(status, "NoNewPrivs:\t"+nnp+"\n") {
					t.Errorf("no_new_privs is not %s:\n%s", nnp, status)
				}
			}
		})
	}
}

// A data directory of somebody else's is refused with what to do about it.
func TestSomebodyElsesDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root could use it, if it did not drop its rights")
	}
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), buildCollector(t), "--target", "http://127.0.0.1:9", "--data-dir", data, "--listen", "127.0.0.1:0")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "permission denied") || !strings.Contains(string(out), "--keep-capabilities") {
		t.Errorf("%v\n%s", err, out)
	}
}

func mustWrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// openWay lets everybody pass the test's own directories.
func openWay(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
}

func buildCollector(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	openWay(t, dir)
	path := filepath.Join(dir, "coldscope-collector")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../../coldscope-collector")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

var lines = regexp.MustCompile(`(?m)^(Cap\w+|NoNewPrivs):.*\n`)

// threads gives the lines of all threads' states that are about privileges.
func threads(t *testing.T, pid int) (out []string) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		if b, err := os.ReadFile(task); err == nil { // else it has ended
			out = append(out, strings.Join(lines.FindAllString(string(b), -1), ""))
		}
	}
	if len(out) < 3 {
		t.Fatalf("only %d threads of %d", len(out), pid)
	}
	return out
}

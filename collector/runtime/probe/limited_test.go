package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// limitedEnv makes the test binary a prober without some capabilities: JSON of limited.
const limitedEnv = "COLDSCOPE_TEST_PROBE_LIMITED"

type limited struct {
	Drop    []uintptr // capabilities; then the program is executed again
	Process workload.Process
	EBPF    EBPF
}

// runLimited watches one process until it is ready. What it logs and emits goes to stdout as JSON.
func runLimited(raw string) error {
	var l limited
	if err := json.Unmarshal([]byte(raw), &l); err != nil {
		return err
	}
	if len(l.Drop) > 0 {
		runtime.LockOSThread() // the bounding set is a thread's
		for _, c := range l.Drop {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				return fmt.Errorf("drop capability %d: %w", c, err)
			}
		}
		l.Drop = nil
		raw, err := json.Marshal(l)
		if err != nil {
			return err
		}
		if err := os.Setenv(limitedEnv, string(raw)); err != nil {
			return err
		}
		return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	p, err := New(Options{
		Source: "host-1", EBPF: l.EBPF,
		Logger: slog.New(slog.NewJSONHandler(os.Stdout, nil)),
		Emit: func(_ context.Context, events ...faas.Event) error {
			for _, e := range events {
				if d, ok := e.Data.(faas.PhaseDone); ok {
					json.NewEncoder(os.Stdout).Encode(d)
					cancel()
				}
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	p.Running(l.Process)
	p.Run(ctx)
	p.Exited(l.Process.ContainerID)
	return nil
}

// TestLimited: what is lost without capabilities is said once, and the rest works.
func TestLimited(t *testing.T) {
	needRoot(t)
	const (
		sysPtrace = unix.CAP_SYS_PTRACE
		sysAdmin  = unix.CAP_SYS_ADMIN
	)
	for name, c := range map[string]struct {
		drop     []uintptr
		nobody   bool
		ebpf     EBPF
		lost     []string
		method   string
		verified string
	}{
		"all":                           {ebpf: EBPFOff, method: methodDiag},
		"no CAP_SYS_ADMIN":              {drop: []uintptr{sysAdmin}, ebpf: EBPFOff, lost: []string{"network_namespace"}, method: methodProc},
		"no CAP_SYS_PTRACE":             {drop: []uintptr{sysPtrace}, ebpf: EBPFOff, lost: []string{"network_namespace", "socket_owner"}, method: methodProc, verified: "false"},
		"another user":                  {nobody: true, ebpf: EBPFAuto, lost: []string{"ebpf", "network_namespace", "socket_owner"}, method: methodProc, verified: "false"},
		"no CAP_BPF nor CAP_SYS_ADMIN":  {drop: []uintptr{sysAdmin, unix.CAP_BPF}, ebpf: EBPFAuto, lost: []string{"ebpf", "network_namespace"}, method: methodProc},
		"no CAP_NET_ADMIN, not needed":  {drop: []uintptr{unix.CAP_NET_ADMIN}, ebpf: EBPFOff, method: methodDiag},
		"the two that are needed alone": {drop: allBut(sysAdmin, sysPtrace), ebpf: EBPFOff, method: methodDiag},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFunction(t, server{After: 500 * time.Millisecond, Listen: []string{"tcp :9000"}}, false)
			raw, err := json.Marshal(limited{Drop: c.drop, Process: f.process, EBPF: c.ebpf})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "/proc/self/exe")
			cmd.Env = append(os.Environ(), limitedEnv+"="+string(raw))
			if c.nobody {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			var lost []string
			var phase faas.PhaseDone
			for line := range strings.Lines(string(out)) {
				var entry struct {
					Msg, Lost, Needs string
					Name             faas.Phase
				}
				if err := json.Unmarshal([]byte(line), &entry); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if entry.Name != "" {
					json.Unmarshal([]byte(line), &phase)
					continue
				}
				if !strings.Contains(entry.Needs, "CAP_") {
					t.Errorf("no capability is named: %s", line)
				}
				lost = append(lost, entry.Lost)
			}
			slices.Sort(lost)
			if !slices.Equal(lost, c.lost) {
				t.Errorf("lost %v, want %v: %s", lost, c.lost, out)
			}
			if a := phase.Attributes; phase.Error != "" || a["method"] != c.method || a["verified"] != c.verified {
				t.Errorf("phase is %+v", phase)
			}
		})
	}
}

// allBut lists all capabilities that this kernel lets us have but those.
func allBut(keep ...uintptr) (drop []uintptr) {
	for c := range uintptr(unix.CAP_LAST_CAP + 1) {
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0); err == nil && has == 1 && !slices.Contains(keep, c) {
			drop = append(drop, c)
		}
	}
	// Dropping takes this one.
	slices.SortFunc(drop, func(a, b uintptr) int {
		switch uintptr(unix.CAP_SETPCAP) {
		case a:
			return 1
		case b:
			return -1
		}
		return 0
	})
	return drop
}

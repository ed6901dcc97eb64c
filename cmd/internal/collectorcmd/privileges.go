package collectorcmd

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"

	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/internal/privilege"
)

// off is how something is left alone.
const off = "off"

// needed are the capabilities for which a collector with c has a use.
// collector/runtime/probe says what is lost without which.
func needed(c *process.Config) privilege.Set {
	set := privilege.SetOf(unix.CAP_DAC_READ_SEARCH) // others' log files, and what Docker keeps beside them
	if c.Collector.Runtimes.WatchesProcesses() {
		set |= privilege.SetOf(unix.CAP_SYS_PTRACE, unix.CAP_SYS_ADMIN)
		if c.Collector.Runtimes.EBPF != off {
			set |= privilege.SetOf(unix.CAP_BPF, unix.CAP_PERFMON)
		}
		if os.Geteuid() != 0 { // control groups are root's; who resets their peaks is root, or is allowed to
			set |= privilege.SetOf(unix.CAP_DAC_OVERRIDE)
		}
	}
	if _, port, err := net.SplitHostPort(c.Listen); err == nil {
		if n, err := strconv.Atoi(port); err == nil && n > 0 && n < 1024 {
			set |= privilege.SetOf(unix.CAP_NET_BIND_SERVICE)
		}
	}
	return set
}

// enterHost does what needs capabilities once, so that it is done before they
// are dropped.
func enterHost(ctx context.Context, p *process.Process, c *process.Config) {
	if !c.Collector.Runtimes.WatchesProcesses() {
		return
	}
	proc := c.Collector.Runtimes.ProcRoot
	if proc == "" {
		proc = "/proc"
	}
	switch moved, err := privilege.EnterCgroupNamespace(proc); {
	case errors.Is(err, os.ErrPermission), errors.Is(err, errors.ErrUnsupported):
		p.Logger.DebugContext(ctx, "control group namespace stays as it is", "error", err)
	case err != nil:
		p.Logger.WarnContext(ctx, "control group namespace stays as it is", "error", err)
	case moved:
		p.Logger.DebugContext(ctx, "entered the host's control group namespace")
	}
	// Kernels before 5.11 count BPF maps against this limit. If it cannot be
	// raised, the prober says what it does without.
	_ = rlimit.RemoveMemlock()
}

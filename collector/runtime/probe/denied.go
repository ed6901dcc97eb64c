package probe

import (
	"log/slog"
	"sync"
)

// lost is something that the prober cannot do on this host, and what would allow it.
type lost struct{ name, needs, effect string }

// What may be missing.
var (
	lostNetns = lost{
		"network_namespace", "CAP_SYS_ADMIN and CAP_SYS_PTRACE",
		"readiness is read from /proc/PID/net/tcp, ten times a second at most and at a cost of some milliseconds each time",
	}
	lostOwner = lost{
		"socket_owner", "CAP_SYS_PTRACE",
		"whatever listens in a container's network namespace is taken for its own",
	}
	lostEBPF = lost{
		"ebpf", "Linux 5.8 with CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN",
		"readiness is as accurate as the looks are frequent, and servers that listen before the runtime tells of them are seen late",
	}
)

// denials tells each loss once.
type denials struct {
	log     *slog.Logger
	metrics *metrics

	mu   sync.Mutex
	told map[string]bool
}

func (d *denials) say(l lost, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.told[l.name] {
		return
	}
	if d.told == nil {
		d.told = map[string]bool{}
	}
	d.told[l.name] = true
	d.metrics.degraded.WithLabelValues(l.name).Set(1)
	d.log.Info("prober does without", "lost", l.name, "needs", l.needs, "effect", l.effect, "error", err)
}

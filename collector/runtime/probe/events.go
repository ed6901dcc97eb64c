package probe

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// The methods by which readiness is seen.
const (
	methodDiag = "sock_diag"
	methodProc = "proc_net_tcp"
	methodEBPF = "ebpf"
)

// The diagnoses of a start that did not become ready in time.
const (
	diagnosisLoopback  = "loopback"
	diagnosisOtherPort = "other_port"
	diagnosisNothing   = "nothing"
	diagnosisLate      = "late"
	diagnosisExited    = "exited"
)

var diagnoses = []string{diagnosisLoopback, diagnosisOtherPort, diagnosisNothing, diagnosisLate, diagnosisExited}

// ready is called, with i.mu held, when a socket was found at now that was not
// there at since (zero: nobody had looked).
func (p *Prober) ready(i *instance, since, now time.Time) {
	method := methodDiag
	if i.procNet {
		method = methodProc
	}
	at, accuracy := now, now.Sub(since)
	if since.IsZero() {
		accuracy = i.elapsed(now)
	}
	first, last, ok := p.listened(i, since)
	switch {
	case ok:
		// The last one: it listened by then. Another port may have come before.
		at, accuracy, method = last, max(last.Sub(first), 10*time.Microsecond), methodEBPF
	case since.IsZero() && accuracy > firstLook:
		p.metrics.missed.Inc()
		return
	}
	if at.Before(i.process.StartedAt) { // the clock was set back
		at = i.process.StartedAt
	}
	p.metrics.ready.Inc()
	attributes := faas.Attributes{"method": method, "accuracy_ms": milliseconds(accuracy)}
	if i.unverified {
		attributes["verified"] = "false"
	}
	phase := faas.PhaseDone{Name: faas.PhaseInit, Start: i.process.StartedAt, End: at, Attributes: attributes}
	if took := at.Sub(i.process.StartedAt); took > p.opts.Timeout {
		p.metrics.diagnoses.WithLabelValues(diagnosisLate).Inc()
		attributes["diagnosis"] = diagnosisLate
		attributes["listening"] = text(i.listening)
		phase.Error = fmt.Sprintf("listened on port %s only %s after the process's start, over the init timeout of %s: do less before the server listens, or raise the timeout",
			ports(i.ports), round(took), round(p.opts.Timeout))
	}
	p.emit(i, "ready", at, faas.Ready{})
	p.emit(i, "init", at, phase)
}

// emitTimeout is called, with i.mu held, when the time for the start is over.
func (p *Prober) emitTimeout(v *view, i *instance) {
	listening := i.listening
	if i.host && i.socket != nil {
		// Only its ports were looked at; now all are.
		listening, _ = i.socket.listeners(nil, 0)
	}
	taken := false
	if held, err := sockets(v.proc, i.process.PID, i.group); err == nil {
		listening = slices.DeleteFunc(slices.Clone(listening), func(l listener) bool {
			if !held[l.inode] {
				taken = taken || slices.Contains(i.ports, l.addr.Port())
				return true
			}
			return false
		})
	} else if i.host {
		listening = nil // of all the host's, nobody knows which are its own
	}
	diagnosis, sentence := diagnose(listening, i.ports)
	sentence = fmt.Sprintf("not ready %s after the process's start: %s", round(p.opts.Timeout), sentence)
	if taken {
		sentence += "; another process of this network namespace listens on port " + ports(i.ports)
	}
	end := i.process.StartedAt.Add(p.opts.Timeout)
	p.failed(i, "init/timeout", end, diagnosis, sentence, listening)
}

// emitExited is called, with i.mu held, when the process ended before it was ready or its time was over.
func (p *Prober) emitExited(i *instance, now time.Time) {
	end := now
	if end.Before(i.process.StartedAt) {
		end = i.process.StartedAt
	}
	listening := i.listening
	if i.host {
		listening = nil // they may be others'
	}
	sentence := fmt.Sprintf("the process ended %s after its start, before it was seen to listen on port %s: look at its last lines and its exit code",
		round(i.elapsed(now)), ports(i.ports))
	if reachable(listening) != nil {
		_, found := diagnose(listening, i.ports)
		sentence = fmt.Sprintf("the process ended %s after its start, not ready: %s", round(i.elapsed(now)), found)
	}
	p.failed(i, "init/exited", end, diagnosisExited, sentence, listening)
}

func (p *Prober) failed(i *instance, fact string, end time.Time, diagnosis, sentence string, listening []listener) {
	p.metrics.diagnoses.WithLabelValues(diagnosis).Inc()
	p.emit(i, fact, end, faas.PhaseDone{
		Name: faas.PhaseInit, Start: i.process.StartedAt, End: end, Error: sentence,
		Attributes: faas.Attributes{"diagnosis": diagnosis, "listening": text(listening)},
	})
}

// diagnose says why sockets that listen are not what the platform waits for.
func diagnose(listening []listener, wanted []uint16) (diagnosis, sentence string) {
	var loopback, other []listener
	for _, l := range reachable(listening) {
		switch {
		case !slices.Contains(wanted, l.addr.Port()):
			other = append(other, l)
		case l.addr.Addr().IsLoopback():
			loopback = append(loopback, l)
		}
	}
	bind := "0.0.0.0:" + strconv.Itoa(int(wanted[0]))
	switch {
	case loopback != nil:
		return diagnosisLoopback, fmt.Sprintf("listens on %s only; bind %s", text(loopback), bind)
	case other != nil:
		return diagnosisOtherPort, fmt.Sprintf("listens on %s, not on port %s; let the server bind %s", text(other), ports(wanted), bind)
	}
	return diagnosisNothing, fmt.Sprintf("listens on no port; see that Command and Args start a server that binds %s, and what its lines say", bind)
}

// reachable leaves out what is dockerd's own.
func reachable(listening []listener) []listener {
	var left []listener
	for _, l := range listening {
		if l.addr.Addr() != dockerDNS {
			left = append(left, l)
		}
	}
	return left
}

// dockerDNS is where dockerd itself listens inside its containers' network namespaces.
var dockerDNS = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// text lists addresses for people, by port; "*:8080" is all of a host's.
func text(listening []listener) string {
	listening = reachable(listening)
	slices.SortFunc(listening, func(a, b listener) int {
		return cmp.Or(cmp.Compare(a.addr.Port(), b.addr.Port()), a.addr.Compare(b.addr))
	})
	var all []string
	for _, l := range listening {
		s := l.addr.String()
		if l.addr.Addr().IsUnspecified() {
			s = "*:" + strconv.Itoa(int(l.addr.Port()))
		}
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
		if len(all) == 32 {
			all = append(all, "…")
			break
		}
	}
	return strings.Join(all, ", ")
}

func ports(all []uint16) string {
	var s []string
	for _, p := range all {
		s = append(s, strconv.Itoa(int(p)))
	}
	return strings.Join(s, " or ")
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 2, 64)
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Millisecond)
}

// emit hands an event about the instance's start on. Its ID is the same
// whenever the same fact of the same start is told.
func (p *Prober) emit(i *instance, fact string, at time.Time, data faas.Data) {
	p.out.add(faas.Event{
		ID:     fmt.Sprintf("%s/%d/%s", i.process.ContainerID, i.process.StartedAt.UnixNano(), fact),
		Source: p.opts.Source, Time: at, Ref: i.process.Ref, Data: data,
	})
}

package correlate

import (
	"fmt"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// The causes of an invocation's end that its instance's end tells.
const (
	closedByOOM     = "oom"
	closedByTimeout = "timeout"
	closedByCrash   = "crash" // the process ended by itself, or was killed
	closedByStop    = "stop"  // somebody stopped the instance
)

// close gives out what a life's end says of the invocations that were open
// then and of which nobody has told the end.
func (c *Correlator) close(i *instance, l *life) {
	if l.stopped.IsZero() {
		return
	}
	for n := i.before(l.stopped); n >= 0 && !i.invocations[n].start.Before(l.from); n-- {
		if i.invocations[n].end.IsZero() {
			c.closeOne(i, l, i.invocations[n])
		}
	}
}

func (c *Correlator) closeOne(i *instance, l *life, v *invocation) {
	by, status, text := cause(&l.row)
	at := l.stopped
	c.out.Invocations = append(c.out.Invocations, schema.InvocationRow{
		Tenant: i.key.Tenant, Namespace: i.key.Namespace, Function: i.key.Function,
		StartedAt: v.start, RequestID: v.requestID, Instance: i.key.Instance,
		ClosedAt: &at, ClosedStatus: &status, ClosedError: &text, ClosedBy: &by,
	})
}

// cause says what an instance's end means for a request that it was serving.
func cause(r *schema.ColdStartRow) (by, status, text string) {
	reason := ""
	if r.StopReason != nil {
		reason = *r.StopReason
	}
	how := ""
	if r.ExitCode != nil {
		how = exit(int(*r.ExitCode))
	}
	switch {
	case r.OOM != nil && *r.OOM || reason == "oom":
		by, status, text = closedByOOM, string(faas.StatusOOM), "the instance was killed during the request: out of memory"
	case reason == "timeout":
		by, status, text = closedByTimeout, string(faas.StatusTimeout), "the instance was stopped during the request: timeout"
	case reason == "error" || reason == "killed" || reason == "exited" || reason == "":
		by, status, text = closedByCrash, string(faas.StatusError), "the instance ended during the request"
	default:
		by, status, text = closedByStop, string(faas.StatusError), "the instance was stopped during the request"
		if reason != "" {
			text += ": " + reason
		}
	}
	if how != "" {
		text += " (" + how + ")"
	}
	return by, status, text
}

// exit says an exit code in words: above 128 it is a signal's.
func exit(code int) string {
	signals := map[int]string{
		1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE", 9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM",
	}
	if name := signals[code-128]; name != "" {
		return fmt.Sprintf("exit code %d, %s", code, name)
	}
	return fmt.Sprintf("exit code %d", code)
}

// closing reports whether v has no end of its own and lies in a life that has one.
func (i *instance) closing(v *invocation) (*life, bool) {
	if !v.end.IsZero() || len(i.lives) == 0 {
		return nil, false
	}
	l, _ := i.lifeAt(v.start)
	return l, l.stopped != time.Time{} && !l.stopped.Before(v.start)
}

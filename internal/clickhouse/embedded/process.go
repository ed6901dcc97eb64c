package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coldscope/coldscope/internal/clickhouse"
)

// child is one run of the engine's process, seen from the parent.
type child struct {
	cmd     *exec.Cmd
	stdin   io.Closer // its end is the order to stop
	output  *tail
	started time.Time
	version string        // of the engine
	exited  chan struct{} // closed when the process is gone
	waitErr error         // read after exited
}

// startChild starts the process and waits until it answers. On an error
// nothing of it is left.
func (e *Engine) startChild(ctx context.Context) (*child, error) {
	if err := waitForStore(ctx, e.dir); err != nil {
		return nil, err
	}
	exe, err := selfExe()
	if err != nil {
		return nil, fmt.Errorf("find own binary: %w", err)
	}
	c := &child{output: &tail{max: 8 << 10}, started: time.Now(), exited: make(chan struct{})}
	// Not CommandContext: the child outlives the context of its start.
	c.cmd = &exec.Cmd{
		Path:        exe,
		Args:        []string{childName, e.library, e.dir},
		Env:         childEnvironment(),
		Dir:         e.dir,
		Stderr:      c.output,                            // standard output is the chatter of an interactive session
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true}, // ^C in the terminal is for the parent
		WaitDelay:   time.Second,
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("open pipe: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", exe, err)
	}
	go func() { // ends with the process; stop and exited wait for it
		c.waitErr = c.cmd.Wait()
		close(c.exited)
	}()
	if err := e.waitReady(ctx, c); err != nil {
		killed := make(chan struct{})
		close(killed)
		c.stop(killed)
		return nil, err
	}
	return c, nil
}

// childEnvironment keeps what a C++ program needs to run and drops the rest:
// above all CLICKHOUSE_* variables, which would change its behaviour.
func childEnvironment() []string {
	env := []string{childEnv + "=1", "TERM=dumb"} // the latter for runChild's terminal
	for _, key := range []string{"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "GOCOVERDIR", "GORACE"} {
		if value, ok := os.LookupEnv(key); ok {
			env = append(env, key+"="+value)
		}
	}
	return env
}

// startFailed stands before the error of a statement in what an interactive
// engine says. It would go on without listening.
const startFailed = "Received exception"

// waitReady waits until the engine answers the real user.
func (e *Engine) waitReady(ctx context.Context, c *child) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("engine did not answer within %s", startTimeout))
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last := errors.New("not asked yet")
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)%s", context.Cause(ctx), last, c.said())
		case <-c.exited:
			return c.deathCause()
		case <-tick.C:
		}
		if strings.Contains(c.output.String(), startFailed) {
			return fmt.Errorf("engine process %d does not listen%s", c.pid(), c.said())
		}
		if last = c.ping(ctx, e.DSN()); last == nil {
			return nil
		}
	}
}

// ping asks the engine for its version.
func (c *child) ping(ctx context.Context, dsn string) error {
	conn, err := clickhouse.Open(ctx, dsn+"?max_open_conns=1&dial_timeout=2s")
	if err != nil {
		return err
	}
	err = conn.QueryRow(ctx, "SELECT version()").Scan(&c.version)
	return errors.Join(err, conn.Close())
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the process and waits until it is gone: in order, and by force
// when kill is closed.
func (c *child) stop(kill <-chan struct{}) {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may be gone already
	_ = c.stdin.Close()
	select {
	case <-c.exited:
		return
	case <-kill:
	}
	_ = c.cmd.Process.Kill()
	<-c.exited
}

// deathCause says how the process ended and what it said last. The process is
// gone.
func (c *child) deathCause() error {
	how := "ended by itself"
	if c.waitErr != nil {
		how = c.waitErr.Error()
	}
	return fmt.Errorf("engine process %d: %s%s", c.pid(), how, c.said())
}

// said is what the process printed, for the end of an error's text.
func (c *child) said() string {
	text := c.output.String()
	if _, after, found := strings.Cut(text, startFailed); found { // without the log before it
		text = strings.TrimPrefix(after, ":")
	}
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if cut, _, found := strings.Cut(line, ", Stack trace (when"); found {
			lines = append(lines, cut)
			break
		}
		// Left out: where it logs, and control sequences for a terminal.
		if line != "" && !strings.HasPrefix(line, "Logging ") && !strings.HasPrefix(line, "\x1b[") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return ", it said: " + strings.Join(lines, " ")
}

// tail keeps the last bytes written to it. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	max  int
	data []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if drop := len(t.data) - t.max; drop > 0 {
		t.data = append(t.data[:0], t.data[drop:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.data)
}

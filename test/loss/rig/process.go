package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is one of our long-running commands as a child.
type Process struct {
	URL  string
	name string
	cmd  *exec.Cmd
	log  *tailBuffer
	done chan struct{} // closed once it has ended
	err  error         // of Wait, then
}

// tailBuffer keeps the end of what is written.
type tailBuffer struct {
	to io.Writer
	b  []byte
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	const keep = 2000
	t.b = append(t.b, p...)
	if len(t.b) > 2*keep {
		t.b = append(t.b[:0], t.b[len(t.b)-keep:]...)
	}
	if t.to != nil {
		return t.to.Write(p)
	}
	return len(p), nil
}

// StartProcess starts a command and returns when it says that it is ready. It
// ends with Kill or Terminate, or with this program. Its log goes to stderr; if
// that is nil it is discarded, but its end stays for errors.
func StartProcess(ctx context.Context, stderr io.Writer, binary string, args ...string) (*Process, error) {
	p := &Process{name: filepath.Base(binary), cmd: exec.Command(binary, args...), log: &tailBuffer{to: stderr}, done: make(chan struct{})} //nolint:noctx // it outlives ctx: it is killed by name
	p.cmd.Stderr = p.log
	p.cmd.Env = append(os.Environ(), "HTTP_PROXY=", "http_proxy=")
	// A process that hangs at its start is a finding, not the end of the run.
	limit := time.AfterFunc(time.Minute, func() {
		if p.cmd.Process != nil {
			_ = p.cmd.Process.Kill()
		}
	})
	line, err := startAndRead(p.cmd)
	limit.Stop()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w: %s", p.name, err, bytes.TrimSpace(p.log.b))
	}
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ok {
		_ = p.cmd.Process.Kill()
		return nil, fmt.Errorf("start %s: it says %q", p.name, line)
	}
	p.URL = url
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return p, nil
}

// Kill is kill -9.
func (p *Process) Kill() error {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
	return nil
}

// Terminate asks the process to end; an error says that it did not, in
// order or in time.
func (p *Process) Terminate(limit time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("terminate %s: %w", p.name, err)
	}
	select {
	case <-p.done:
	case <-time.After(limit):
		_ = p.Kill()
		return fmt.Errorf("terminate %s: still there after %s", p.name, limit)
	}
	if p.err != nil {
		return fmt.Errorf("terminate %s: %w: %s", p.name, p.err, bytes.TrimSpace(p.log.b))
	}
	return nil
}

// Ended says whether the process has ended without being asked.
func (p *Process) Ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended: %w: %s", p.name, p.err, bytes.TrimSpace(p.log.b))
	default:
		return nil
	}
}

// Spent is the processor time of an ended process.
func (p *Process) Spent() (user, sys time.Duration) {
	<-p.done
	return p.cmd.ProcessState.UserTime(), p.cmd.ProcessState.SystemTime()
}

// PID is the process's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Processor is the processor time that the process has taken, in steps of
// 10 ms.
func (p *Process) Processor() (time.Duration, error) { return Processor(p.PID()) }

// Memory is the resident set in bytes: what it is, and the most it was.
func (p *Process) Memory() (now, peak int64, err error) { return Memory(p.PID()) }

// Children are the process's child processes, whichever of its threads started
// them.
func (p *Process) Children() ([]int, error) {
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.PID()))
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, list := range lists {
		b, err := os.ReadFile(list)
		if err != nil {
			return nil, err
		}
		for f := range strings.FieldsSeq(string(b)) {
			pid, err := strconv.Atoi(f)
			if err != nil {
				return nil, err
			}
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Processor is Process.Processor of any process.
func Processor(pid int) (time.Duration, error) {
	file := fmt.Sprintf("/proc/%d/stat", pid)
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(b, []byte(") "))
	f := bytes.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("%s: too short", file)
	}
	var ticks int64
	for _, w := range f[11:13] {
		n, err := strconv.ParseInt(string(w), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // USER_HZ is 100 on every Linux
}

// Memory is Process.Memory of any process.
func Memory(pid int) (now, peak int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(string(f[1]), 10, 64)
		switch string(f[0]) {
		case "VmRSS:":
			now = n << 10
		case "VmHWM:":
			peak = n << 10
		}
	}
	return now, peak, nil
}

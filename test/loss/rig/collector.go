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

// EnvBinary names a collector's binary that is to be used, and not built.
const EnvBinary = "COLDSCOPE_COLLECTOR"

// Binary gives the collector's binary: $COLDSCOPE_COLLECTOR, or one built into dir.
func Binary(ctx context.Context, dir string) (string, error) {
	if path := os.Getenv(EnvBinary); path != "" {
		return filepath.Abs(path)
	}
	path := filepath.Join(dir, "coldscope-collector")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path,
		"github.com/coldscope/coldscope/cmd/coldscope-collector")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build collector: %w: %s", err, out)
	}
	return path, nil
}

// Options say how a collector is started.
type Options struct {
	Binary  string
	DataDir string // its path is short: a Unix socket is in it
	Target  string
	Docker  []string // roots
	CRI     []string
	Config  string    // more of it, as YAML; empty: no file
	Stderr  io.Writer // its log; nil: discarded, but its end stays for errors
}

// Collector is a running collector.
type Collector struct {
	URL  string
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

// Start starts a collector and returns when it says that it is ready. It ends
// with Kill or Terminate, or with this program.
func Start(ctx context.Context, o Options) (*Collector, error) {
	args := []string{"--data-dir", o.DataDir, "--listen", "127.0.0.1:0", "--target", o.Target}
	none := filepath.Join(o.DataDir, "none") // or it would look at this host's own
	for flag, roots := range map[string][]string{"--docker-root": o.Docker, "--cri-root": o.CRI} {
		if len(roots) == 0 {
			roots = []string{none}
		}
		for _, root := range roots {
			args = append(args, flag, root)
		}
	}
	if o.Config != "" {
		file := o.DataDir + ".yaml"
		if err := os.WriteFile(file, []byte(o.Config), 0o600); err != nil {
			return nil, fmt.Errorf("start collector: %w", err)
		}
		args = append(args, "--config", file)
	}
	c := &Collector{cmd: exec.Command(o.Binary, args...), log: &tailBuffer{to: o.Stderr}, done: make(chan struct{})} //nolint:noctx // it outlives ctx: it is killed by name
	c.cmd.Stderr = c.log
	c.cmd.Env = append(os.Environ(), "HTTP_PROXY=", "http_proxy=")
	// A collector that hangs at its start is a finding, not the end of the run.
	limit := time.AfterFunc(time.Minute, func() {
		if c.cmd.Process != nil {
			_ = c.cmd.Process.Kill()
		}
	})
	line, err := startAndRead(c.cmd)
	limit.Stop()
	if err != nil {
		return nil, fmt.Errorf("start collector: %w: %s", err, bytes.TrimSpace(c.log.b))
	}
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ok {
		_ = c.cmd.Process.Kill()
		return nil, fmt.Errorf("start collector: it says %q", line)
	}
	c.URL = url
	go func() {
		defer close(c.done)
		c.err = c.cmd.Wait()
	}()
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(err, c.Kill())
	}
	return c, nil
}

// Kill is kill -9.
func (c *Collector) Kill() error {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.done
	return nil
}

// Terminate asks the collector to end; an error says that it did not, in
// order or in time.
func (c *Collector) Terminate(limit time.Duration) error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("terminate collector: %w", err)
	}
	select {
	case <-c.done:
	case <-time.After(limit):
		_ = c.Kill()
		return fmt.Errorf("terminate collector: still there after %s", limit)
	}
	if c.err != nil {
		return fmt.Errorf("terminate collector: %w: %s", c.err, bytes.TrimSpace(c.log.b))
	}
	return nil
}

// Ended says whether the collector has ended without being asked.
func (c *Collector) Ended() error {
	select {
	case <-c.done:
		return fmt.Errorf("collector ended: %w: %s", c.err, bytes.TrimSpace(c.log.b))
	default:
		return nil
	}
}

// Spent is the processor time of an ended collector.
func (c *Collector) Spent() (user, sys time.Duration) {
	<-c.done
	return c.cmd.ProcessState.UserTime(), c.cmd.ProcessState.SystemTime()
}

// Processor is the processor time that the collector has taken, in steps of
// 10 ms.
func (c *Collector) Processor() (time.Duration, error) {
	b, err := os.ReadFile(c.proc("stat"))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(b, []byte(") "))
	f := bytes.Fields(rest)
	if len(f) < 13 {
		return 0, fmt.Errorf("%s: too short", c.proc("stat"))
	}
	var ticks int64
	for _, w := range f[11:13] {
		n, err := strconv.ParseInt(string(w), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", c.proc("stat"), err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // USER_HZ is 100 on every Linux
}

func (c *Collector) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", c.cmd.Process.Pid, name)
}

// Memory is the resident set in bytes: what it is, and the most it was.
func (c *Collector) Memory() (now, peak int64, err error) {
	b, err := os.ReadFile(c.proc("status"))
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

// PlainConfig is the configuration with which a collector takes plain files in
// dir; empty for the formats that it finds by itself. The file's name is the
// instance.
func PlainConfig(f Format, dir string) string {
	if f != Plain {
		return ""
	}
	return fmt.Sprintf("collector:\n  files:\n    - paths: [%s/*.log]\n      function: plain\n      namespace: %s\n", dir, Namespace)
}

// LinksConfig is the configuration with which a collector reads kubelet's links
// in dir beside the files themselves.
func LinksConfig(dir string) string {
	return fmt.Sprintf("collector:\n  files:\n    - paths: [%s/*.log]\n      format: cri\n", dir)
}

// SpoolConfig is the configuration with which a collector copies deleted files
// that it could not send.
func SpoolConfig() string { return "collector:\n  spool_bytes: 100000000\n" }

package rig

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Sink is a sink in a process of its own.
type Sink struct {
	URL     string // for the collector's --target
	control string
	cmd     *exec.Cmd
}

// StartSink starts this program again as a sink; see SinkCommand. It ends with
// Close, or with this program.
func StartSink(ctx context.Context, args ...string) (*Sink, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start sink: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, append([]string{SinkCommand}, args...)...)
	cmd.Stderr = os.Stderr
	line, err := startAndRead(cmd)
	if err != nil {
		return nil, fmt.Errorf("start sink: %w", err)
	}
	push, control, ok := strings.Cut(strings.TrimSpace(line), " ")
	if !ok {
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("start sink: it says %q", line)
	}
	return &Sink{URL: "http://" + push, control: "http://" + control, cmd: cmd}, nil
}

// startAndRead starts a child that ends with this process, and reads its first line.
func startAndRead(cmd *exec.Cmd) (string, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Process.Kill()
		return "", fmt.Errorf("no first line: %w, %w", err, cmd.Wait())
	}
	return line, nil
}

// Set changes how the sink behaves.
func (s *Sink) Set(ctx context.Context, m Mode) error { return s.post(ctx, "/mode", m, nil) }

// Report tells what arrived, and what is missing of what was expected.
func (s *Sink) Report(ctx context.Context, expect map[string]int) (Report, error) {
	var r Report
	return r, s.post(ctx, "/report", expect, &r)
}

func (s *Sink) post(ctx context.Context, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.control+path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask sink: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask sink: %s", resp.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// Stop stops the process as it is, Continue lets it go on.
func (s *Sink) Stop() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Continue undoes Stop.
func (s *Sink) Continue() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Close ends the process.
func (s *Sink) Close() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Wait waits for a time, or until ctx ends.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

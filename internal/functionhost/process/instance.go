package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/functionhost/container"
)

// Instance is one container of this runtime.
type Instance struct {
	runtime *Runtime
	name    string
	plan    plan
	log     *logFile
	out     [2]*outlet // stdout, stderr
	theirs  [2]*os.File
	memory  *memoryGroup // nil: no cgroup here

	cmd   *exec.Cmd
	netns *os.File

	ending sync.WaitGroup
	exited chan struct{}
	exit   container.Exit // set before exited is closed
}

// Start runs the instance's process. It returns when the function's program
// has taken the place of our own in it.
func (i *Instance) Start(ctx context.Context) error {
	if err := i.start(ctx); err != nil {
		return fmt.Errorf("start instance %s: %w", i.name, err)
	}
	return nil
}

func (i *Instance) start(ctx context.Context) error {
	planR, planW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer planW.Close()
	statusR, statusW, err := os.Pipe()
	if err != nil {
		planR.Close()
		return err
	}
	defer statusR.Close()
	i.cmd = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{childName}, Dir: "/",
		Env:    []string{childEnv + "=1"},
		Stdout: i.theirs[0], Stderr: i.theirs[1],
		ExtraFiles: []*os.File{planR, statusW},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWNET,
			Pdeathsig:  unix.SIGKILL,
		},
	}
	err = i.runtime.spawn(ctx, i.cmd)
	for _, f := range []*os.File{planR, statusW, i.theirs[0], i.theirs[1]} {
		f.Close()
	}
	i.theirs = [2]*os.File{}
	if err != nil {
		i.out[0].close()
		i.out[1].close()
		return err
	}
	for _, o := range i.out {
		i.ending.Go(o.run)
	}
	go i.wait() // ends with the process; Remove waits for it
	if err := i.release(planW); err != nil {
		return errors.Join(err, i.kill())
	}
	// The pipe ends when the program is executed; until then it can only bring
	// bad news.
	failure, err := io.ReadAll(io.LimitReader(statusR, 4<<10))
	if err != nil {
		return errors.Join(err, i.kill())
	}
	if len(failure) > 0 {
		return errors.New(string(bytes.TrimSpace(failure)))
	}
	return nil
}

// release lets the child, which waits for its plan, go on.
func (i *Instance) release(planW *os.File) error {
	pid := i.cmd.Process.Pid
	var err error
	i.netns, err = os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return err
	}
	if i.memory != nil {
		if err := i.memory.add(pid); err != nil {
			return err
		}
	}
	if err := json.NewEncoder(planW).Encode(i.plan); err != nil {
		return fmt.Errorf("send plan: %w", err)
	}
	return planW.Close()
}

// wait notes how the process ended, after all of its output is in the log.
func (i *Instance) wait() {
	err := i.cmd.Wait()
	i.ending.Wait() // with the first process of the namespace all others have ended
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		i.exit.Err = err
	}
	if state := i.cmd.ProcessState; state != nil {
		i.exit.Code = state.ExitCode()
		if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			i.exit.Code = 128 + int(ws.Signal())
		}
		if usage, ok := state.SysUsage().(*syscall.Rusage); ok && i.memory == nil {
			i.exit.MemoryPeak = usage.Maxrss << 10
		}
	}
	if i.memory != nil {
		i.exit.MemoryPeak = i.memory.peak()
		i.exit.OOM = i.memory.oomKilled()
	}
	close(i.exited)
}

// Exited is closed when the process has ended and its output is in the log.
func (i *Instance) Exited() <-chan struct{} { return i.exited }

// Exit says how it ended; it may be called once Exited is closed.
func (i *Instance) Exit() container.Exit { return i.exit }

// Drain takes everything that the instance has written so far into its log.
func (i *Instance) Drain() {
	for _, o := range i.out {
		o.settle()
	}
}

// Settle drains: this runtime stamps lines itself, so there is nothing to wait for.
func (i *Instance) Settle(context.Context, time.Time) error {
	i.Drain()
	return nil
}

// Dial connects to the function's port, from inside the instance's network
// namespace: there is no way into it from outside.
func (i *Instance) Dial(ctx context.Context) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	// A goroutine of its own, so that its thread can be thrown away if it does
	// not find back.
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(i.netns.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			done <- result{err: fmt.Errorf("enter network namespace: %w", err)}
			return
		}
		// An IP address and one candidate: the socket is made by this thread.
		conn, err := new(net.Dialer).DialContext(ctx, "tcp4", "127.0.0.1:"+strconv.Itoa(container.Port))
		if back := unix.Setns(int(i.runtime.hostNetns.Fd()), unix.CLONE_NEWNET); back == nil {
			runtime.UnlockOSThread()
		}
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

// Stop asks the process to end and after grace makes it. It returns when the
// process has ended.
func (i *Instance) Stop(ctx context.Context, grace time.Duration) error {
	if i.cmd == nil || i.cmd.Process == nil {
		return nil // never ran
	}
	if err := i.cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop instance %s: %w", i.name, err)
	}
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-i.exited:
		return nil
	case <-t.C:
	case <-ctx.Done():
	}
	return i.kill()
}

func (i *Instance) kill() error {
	if err := i.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill instance %s: %w", i.name, err)
	}
	<-i.exited
	return nil
}

// Remove frees what the instance had, except for its log file, which Sweep
// removes when it is old.
func (i *Instance) Remove(context.Context) error {
	var errs []error
	if i.cmd != nil && i.cmd.Process != nil {
		errs = append(errs, i.kill())
		i.out[0].close()
		i.out[1].close()
	} else { // never started
		for n := range i.out {
			i.out[n].close()
			if i.theirs[n] != nil {
				i.theirs[n].Close()
			}
		}
	}
	if i.netns != nil {
		i.netns.Close()
	}
	errs = append(errs, i.log.close())
	if i.memory != nil {
		errs = append(errs, i.memory.remove())
	}
	errs = append(errs, os.RemoveAll(i.plan.Scratch))
	i.runtime.forget(i.name)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove instance %s: %w", i.name, err)
	}
	return nil
}

// newInstance makes everything but the process.
func (r *Runtime) newInstance(spec container.Spec, img *storedImage) (_ *Instance, err error) {
	i := &Instance{runtime: r, name: spec.Instance, exited: make(chan struct{})}
	args := spec.Command
	if args == nil {
		args = img.config.Entrypoint
	}
	rest := spec.Args
	if rest == nil && spec.Command == nil {
		rest = img.config.Cmd
	}
	args = append(append([]string(nil), args...), rest...)
	if len(args) == 0 {
		return nil, errors.New("neither the function nor its image says what to run")
	}
	i.plan = plan{
		LayersDir: r.images.layersDir(), Layers: img.layers,
		Hostname: hostname(spec.Instance), User: img.config.User, WorkingDir: img.config.WorkingDir,
		Args: args, Env: append(append([]string(nil), img.config.Env...), spec.Env...),
	}
	var undo []func()
	defer func() {
		if err != nil {
			for _, f := range slices.Backward(undo) {
				f()
			}
		}
	}()
	i.plan.Scratch = r.scratchDir(spec.Instance)
	if err := os.MkdirAll(i.plan.Scratch, 0o711); err != nil {
		return nil, err
	}
	undo = append(undo, func() { _ = os.RemoveAll(i.plan.Scratch) })
	i.log, err = createLog(r.logPath(spec.Ref), r.cfg.Now)
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() { _ = i.log.close() })
	for n, stream := range []faas.Stream{faas.Stdout, faas.Stderr} {
		i.out[n], i.theirs[n], err = newOutlet(stream, i.log)
		if err != nil {
			return nil, err
		}
		undo = append(undo, func() { i.out[n].close(); i.theirs[n].Close() })
	}
	i.memory, err = newMemoryGroup(r.groupPrefix()+spec.Instance, spec.MemoryLimit)
	if err != nil {
		r.cfg.Logger.Debug("memory limit and peak are not available", slog.Any("error", err))
		i.memory, err = nil, nil
	}
	return i, nil
}

// hostname makes a legal one: at most 64 bytes.
func hostname(instance string) string { return instance[:min(len(instance), 63)] }

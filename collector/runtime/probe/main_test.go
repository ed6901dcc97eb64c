package probe

import (
	"bufio"
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
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// childEnv makes the test binary a function's server: JSON of server.
const childEnv = "COLDSCOPE_TEST_PROBE_CHILD"

// server is what a child does: it waits, listens, says so on its stdout, and
// ends when its stdin does.
type server struct {
	After  time.Duration
	Listen []string // "NETWORK ADDRESS"
	Fork   bool     // a child of its own does it
	Plain  bool     // by TCP, not MPTCP
	Later  []string // after "listen" in its input
	open   []net.Listener
}

// The main thread stays out of all other goroutines' hands: it cannot end, so that
// TestThreadThatCannotGoBack could leave it in a foreign namespace.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	if raw := os.Getenv(childEnv); raw != "" {
		if err := serve(raw); err != nil {
			fmt.Fprintln(os.Stdout, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if raw := os.Getenv(limitedEnv); raw != "" {
		if err := runLimited(raw); err != nil {
			fmt.Fprintln(os.Stdout, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func serve(raw string) error {
	var s server
	if err := json.Unmarshal([]byte(raw), &s); err != nil {
		return err
	}
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil { // until it is where it should be
		return err
	}
	if s.Fork {
		s.Fork = false
		cmd := command(context.Background(), s)
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		cmd.Stdout = os.Stdout
		if err := cmd.Start(); err != nil {
			return err
		}
		fmt.Fprint(in, "!")
		_, err = io.Copy(in, os.Stdin)
		in.Close()
		return errors.Join(err, cmd.Wait())
	}
	<-time.After(s.After)
	if err := s.listen(s.Listen); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		what, arg, _ := strings.Cut(in.Text(), " ")
		var err error
		switch what {
		case "listen":
			err = s.listen(s.Later)
		case "alloc": // and give back
			err = touch(arg)
		case "burn":
			err = burn(arg)
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, "done")
	}
	return nil
}

func (s *server) listen(all []string) error {
	var lc net.ListenConfig
	lc.SetMultipathTCP(!s.Plain)
	for _, l := range all {
		network, addr, _ := strings.Cut(l, " ")
		begin := time.Now()
		listener, err := lc.Listen(context.Background(), network, addr)
		if err != nil {
			return err
		}
		s.open = append(s.open, listener)
		fmt.Fprintln(os.Stdout, "listening", begin.UnixNano(), time.Now().UnixNano())
	}
	return nil
}

func touch(bytes string) error {
	n, err := strconv.Atoi(bytes)
	if err != nil {
		return err
	}
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	for i := 0; i < n; i += 4096 {
		b[i] = 1
	}
	return unix.Munmap(b)
}

func burn(cpuTime string) error {
	d, err := time.ParseDuration(cpuTime)
	var begin, now unix.Timespec
	unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &begin)
	for now = begin; time.Duration(now.Nano()-begin.Nano()) < d; {
		unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now)
	}
	return err
}

func command(ctx context.Context, s server) *exec.Cmd {
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+string(raw))
	return cmd
}

// function is a running child.
type function struct {
	t       testing.TB
	cmd     *exec.Cmd
	out     *bufio.Scanner
	in      *os.File
	process workload.Process
}

// startFunction starts a child, in a network namespace of its own unless shared, and
// lets it run when it has been prepared.
func startFunction(t testing.TB, s server, shared bool, prepare ...func(*function)) *function {
	t.Helper()
	cmd := command(t.Context(), s)
	if !shared {
		needRoot(t)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	}
	stdin, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = stdin
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	err = cmd.Start()
	stdin.Close()
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("container-%d", cmd.Process.Pid)
	f := &function{t, cmd, bufio.NewScanner(out), in, workload.Process{
		Ref:         faas.Ref{Function: "f", Instance: id},
		ContainerID: id, PID: cmd.Process.Pid, StartedAt: time.Now(),
	}}
	t.Cleanup(f.end)
	if !shared {
		f.loopbackUp()
	}
	for _, do := range prepare {
		do(f)
	}
	fmt.Fprint(f.in, "!")
	return f
}

// loopbackUp gives the child's namespace its 127.0.0.1, as runtimes do.
func (f *function) loopbackUp() {
	ns, err := openNetns("/proc")
	if err != nil {
		f.t.Fatal(err)
	}
	defer ns.close()
	file, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", f.cmd.Process.Pid))
	if err != nil {
		f.t.Fatal(err)
	}
	defer file.Close()
	err = ns.inside(file, func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		ifr, err := unix.NewIfreq("lo")
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// end lets the child end and waits for it.
func (f *function) end() {
	f.in.Close()
	f.cmd.Wait()
}

// do lets the child obey a command.
func (f *function) do(what string) {
	f.t.Helper()
	fmt.Fprintln(f.in, what)
	if !f.out.Scan() || f.out.Text() != "done" {
		f.t.Fatalf("%s: %q", what, f.out.Text())
	}
}

// listened waits until the child listens, and gives when it began to and when it did.
func (f *function) listened() (begin, end time.Time) {
	f.t.Helper()
	var b, e int64
	if !f.out.Scan() {
		f.t.Fatal("the function ended")
	}
	if _, err := fmt.Sscanf(f.out.Text(), "listening %d %d", &b, &e); err != nil {
		f.t.Fatalf("the function says %q", f.out.Text())
	}
	return time.Unix(0, b), time.Unix(0, e)
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
}

// recorder takes events.
type recorder struct {
	events chan faas.Event
	mu     sync.Mutex
	all    []faas.Event
}

func (r *recorder) emit(ctx context.Context, events ...faas.Event) error {
	r.mu.Lock()
	r.all = append(r.all, events...)
	r.mu.Unlock()
	for _, e := range events {
		select {
		case r.events <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// next waits for the next event.
func (r *recorder) next(t testing.TB) faas.Event {
	t.Helper()
	select {
	case e := <-r.events:
		if err := e.Validate(); err != nil {
			t.Errorf("invalid event: %v", err)
		}
		return e
	case <-time.After(30 * time.Second):
		t.Fatal("no event")
		return faas.Event{}
	}
}

// nextPhase waits for the next PhaseDone and skips others.
func (r *recorder) nextPhase(t testing.TB) (faas.Event, faas.PhaseDone) {
	t.Helper()
	for {
		e := r.next(t)
		if d, ok := e.Data.(faas.PhaseDone); ok {
			return e, d
		}
	}
}

// run runs a Prober until the test's end.
func run(t testing.TB, opts Options) (*Prober, *recorder) {
	t.Helper()
	r := &recorder{events: make(chan faas.Event, 1024)}
	opts.Source, opts.Emit = "host-1", r.emit
	if opts.EBPF == "" {
		opts.EBPF = EBPFOff
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	p, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return p, r
}

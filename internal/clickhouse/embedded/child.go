package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"github.com/ebitengine/purego"
)

// How a process knows that it is the engine's child: both must hold.
const (
	childName = "coldscope-engine" // argv[0], also what ps shows
	childEnv  = "COLDSCOPE_ENGINE_CHILD"
)

// childStopTimeout is how long the child gives the engine to stop in order
// before it ends the process.
const childStopTimeout = 15 * time.Second

// noTerminal is what the child says, and the parent then logs, where it cannot
// do what runChild tells.
const noTerminal = "no terminal for the engine, so any failed login will abort and restart it:"

// RunChildIfAsked turns this process into the engine if it was started as
// that, and then never returns; otherwise it returns at once. It is the first
// statement of main and of TestMain in every binary that calls Start, because
// Start runs its own binary again as the child.
func RunChildIfAsked() {
	if os.Getenv(childEnv) == "" || len(os.Args) != 3 || os.Args[0] != childName {
		return
	}
	if err := runChild(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runChild is the engine's life: it loads the library and has it serve dir
// until SIGTERM or until standard input ends, which it does when the parent
// closes it or dies.
//
// The library is given two files of queries. The first starts the listener
// and ends. The second is a pipe of which this process holds the other end: the
// engine waits for a statement that never comes, and stops in order as soon as
// the pipe is closed.
//
// It is also told to be interactive, and given a terminal that nobody types
// on. Without one, clickhouse-local aborts the process over any error of a
// connection: a wrong password, a port scan, a client that goes while it
// logs in (ClickHouse issue 115666, fixed after the release that we pin). It
// reads the terminal when it is done with the files, also because the first
// one failed, and finds its end there.
func runChild(library, dir string) error {
	runtime.LockOSThread() // the engine keeps this thread's state for its whole life
	setComm(childName)
	syscall.Umask(0o077) // what the engine writes is for its owner only
	args := []string{
		childName,
		"--config-file", filepath.Join(dir, configFile),
		"--history_file", os.DevNull,
		"--disable_suggestion",
	}
	stdin, terminal, err := terminalAsStdin()
	if err == nil {
		args = append(args, "--interactive")
		if _, err := io.WriteString(terminal, "\x04"); err != nil { // ^D
			return fmt.Errorf("write terminal: %w", err)
		}
	} else {
		fmt.Fprintln(os.Stderr, noTerminal, err)
		stdin = os.Stdin
	}
	stopped := stopRequested(stdin)

	lib, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return fmt.Errorf("load %s: %w", library, err)
	}
	serve, err := bindLibrary(lib)
	if err != nil {
		return fmt.Errorf("load %s: %w", library, err)
	}

	startR, startW, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("open pipe: %w", err)
	}
	if _, err := io.WriteString(startW, "SYSTEM START LISTEN TCP;\n"); err != nil {
		return fmt.Errorf("write pipe: %w", err)
	}
	if err := startW.Close(); err != nil {
		return fmt.Errorf("close pipe: %w", err)
	}
	lifeR, lifeW, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("open pipe: %w", err)
	}
	// The engine opens /dev/fd/N anew and must see the end of file: the write
	// end below is the only one, and nothing is ever started from here.
	go func() {
		<-stopped
		_ = lifeW.Close()
		if terminal != nil {
			_ = terminal.Close()
		}
		<-time.After(childStopTimeout)
		fmt.Fprintf(os.Stderr, "engine did not stop within %s\n", childStopTimeout)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}()

	err = serve(append(args, "--queries-file", fdPath(startR), fdPath(lifeR)))
	runtime.KeepAlive(startR)
	runtime.KeepAlive(lifeR)
	return err
}

func fdPath(f *os.File) string { return "/dev/fd/" + strconv.Itoa(int(f.Fd())) }

// stopRequested returns a channel that is closed on SIGTERM and when standard
// input ends. Its goroutine lives as long as the process.
func stopRequested(stdin io.Reader) <-chan struct{} {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	parentGone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		close(parentGone)
	}()
	stopped := make(chan struct{})
	go func() {
		select {
		case <-signals:
		case <-parentGone:
		}
		close(stopped)
	}()
	return stopped
}

// bindLibrary looks up what we use of libchdb's C interface.
func bindLibrary(lib uintptr) (serve func(args []string) error, err error) {
	defer func() {
		if r := recover(); r != nil { // purego panics over a missing symbol
			err = fmt.Errorf("not a usable libchdb: %v", r)
		}
	}()
	var (
		queryCmdline func(argc int32, argv unsafe.Pointer) unsafe.Pointer
		resultError  func(result unsafe.Pointer) string
		setSignals   func(enabled bool)
	)
	purego.RegisterLibFunc(&queryCmdline, lib, "chdb_query_cmdline")
	purego.RegisterLibFunc(&resultError, lib, "chdb_result_error")
	// Go keeps SIGTERM: without this the engine takes the signal handlers.
	if _, err := purego.Dlsym(lib, "chdb_set_signal_handlers_enabled"); err == nil {
		purego.RegisterLibFunc(&setSignals, lib, "chdb_set_signal_handlers_enabled")
		setSignals(false)
	}
	return func(args []string) error {
		argv := make([]*byte, 0, len(args)+1)
		for _, arg := range args {
			argv = append(argv, unsafe.StringData(arg+"\x00"))
		}
		argv = append(argv, nil)
		var pin runtime.Pinner
		defer pin.Unpin()
		for _, p := range argv[:len(args)] {
			pin.Pin(p)
		}
		pin.Pin(&argv[0])
		result := queryCmdline(int32(len(args)), unsafe.Pointer(&argv[0]))
		if result == nil {
			return errors.New("engine returned nothing")
		}
		if message := resultError(result); message != "" {
			return errors.New(message)
		}
		return nil
	}, nil
}

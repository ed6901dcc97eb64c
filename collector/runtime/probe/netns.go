package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// namespace names a network namespace while it exists.
type namespace struct{ device, inode uint64 }

// netns knows the collector's own network namespace and enters others.
type netns struct {
	proc      string
	own       *os.File
	name      namespace
	hostsName namespace // zero: not known
}

func openNetns(proc string) (*netns, error) {
	// The thread's, not the process's: nothing says that the main thread
	// was not moved. And our own /proc: proc may be another PID namespace's.
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open network namespace: %w", err)
	}
	name, err := nameOf(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	n := &netns{proc: proc, own: f, name: name}
	if init, err := os.Open(filepath.Join(proc, "1/ns/net")); err == nil {
		n.hostsName, _ = nameOf(init)
		init.Close()
	}
	return n, nil
}

func (n *netns) close() { n.own.Close() }

func nameOf(f *os.File) (namespace, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return namespace{}, fmt.Errorf("stat network namespace: %w", err)
	}
	return namespace{st.Dev, st.Ino}, nil
}

// errNetns wraps what a missing capability forbids.
var errNetns = errors.New("network namespace cannot be entered")

// open opens a diagSocket in the network namespace of pid and says whether
// that is the host's or the collector's own. The error wraps errNetns if that is not permitted.
func (n *netns) open(pid int, buf []byte) (s *diagSocket, host bool, err error) {
	f, err := os.Open(filepath.Join(n.proc, strconv.Itoa(pid), "ns/net"))
	if errors.Is(err, os.ErrPermission) {
		return nil, false, fmt.Errorf("%w: %w", errNetns, err)
	}
	if err != nil {
		return nil, false, fmt.Errorf("open network namespace: %w", err)
	}
	defer f.Close()
	name, err := nameOf(f)
	if err != nil {
		return nil, false, err
	}
	if name == n.name {
		s, err = openDiag(buf)
		return s, true, err
	}
	err = n.inside(f, func() (err error) {
		s, err = openDiag(buf)
		return err
	})
	return s, name == n.hostsName, err
}

// inside runs do on a thread in the namespace. The thread does nothing else
// meanwhile, and if it cannot go back it ends with its goroutine, which stays
// locked to it: no other goroutine is ever run in a foreign namespace.
func (n *netns) inside(f *os.File, do func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			if errors.Is(err, unix.EPERM) {
				err = fmt.Errorf("%w: %w", errNetns, err)
			}
			result <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		err := do()
		if back := unix.Setns(int(n.own.Fd()), unix.CLONE_NEWNET); back == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

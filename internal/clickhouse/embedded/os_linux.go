package embedded

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// setComm names the process for top and pgrep, which would show "exe". A
// failure changes nothing but that name.
func setComm(name string) { _ = os.WriteFile("/proc/self/comm", []byte(name[:min(len(name), 15)]), 0) }

// selfExe is the running binary, even after an upgrade replaced its file.
func selfExe() (string, error) { return "/proc/self/exe", nil }

// freeBytes is what dir's disk has left for who is not root.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// terminalAsStdin puts a pseudo terminal of our own in the place of standard
// input, and returns what standard input was and the terminal's other end.
func terminalAsStdin() (stdin, master *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			_ = master.Close()
		}
	}()
	control, err := master.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	slave := -1
	var failed error
	err = control.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed != nil {
			return
		}
		// The other end by its handle, not by its name under /dev/pts, which
		// a container may not have.
		got, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
		if errno != 0 {
			failed = errno
			return
		}
		slave = int(got)
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, nil, fmt.Errorf("open terminal: %w", err)
	}
	defer unix.Close(slave) //nolint:errcheck // duplicated below
	was, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, nil, fmt.Errorf("duplicate standard input: %w", err)
	}
	if err := unix.Dup3(slave, 0, 0); err != nil {
		_ = unix.Close(was)
		return nil, nil, fmt.Errorf("replace standard input: %w", err)
	}
	return os.NewFile(uintptr(was), "stdin"), master, nil
}

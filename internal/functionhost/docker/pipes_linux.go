package docker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pipes are the ones that a container's output goes through on its way to
// dockerd: from the process to its shim, and from the shim to dockerd. What is
// in them has no time stamp yet.
type pipes []*os.File

// openPipes finds them in /proc. They are opened for reading, but never read;
// an open pipe can be asked how much is in it.
func openPipes(pid int, containerID string) (pipes, error) {
	proc := func(pid int, rest string) string { return filepath.Join("/proc", strconv.Itoa(pid), rest) }
	paths := []string{proc(pid, "fd/1"), proc(pid, "fd/2")}
	shim, err := parent(pid)
	if err != nil {
		return nil, err
	}
	fds, err := os.ReadDir(proc(shim, "fd"))
	if err != nil {
		return nil, fmt.Errorf("look at the shim's files: %w", err)
	}
	for _, fd := range fds {
		path := proc(shim, "fd/"+fd.Name())
		target, err := os.Readlink(path)
		if err != nil || !strings.Contains(target, containerID) {
			continue // closed meanwhile, or another's
		}
		if strings.HasSuffix(target, "-stdout") || strings.HasSuffix(target, "-stderr") {
			paths = append(paths, path)
		}
	}
	var open pipes
	for _, path := range paths {
		// Without O_NONBLOCK the open would wait for a writer.
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			open.close()
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
		open = append(open, os.NewFile(uintptr(fd), path))
	}
	return open, nil
}

func parent(pid int) (int, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, fmt.Errorf("find the container's shim: %w", err)
	}
	// PID (COMMAND) STATE PARENT …, and the command can have anything in it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 2 {
		return 0, errors.New("find the container's shim: strange /proc/PID/stat")
	}
	return strconv.Atoi(fields[1])
}

// empty reports whether all that was written has been taken out.
func (p pipes) empty() bool {
	for _, f := range p {
		n, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCINQ)
		if err == nil && n > 0 {
			return false
		}
	}
	return true
}

func (p pipes) close() {
	for _, f := range p {
		f.Close()
	}
}

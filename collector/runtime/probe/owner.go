package probe

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coldscope/coldscope/internal/cgroup"
)

// maxProcesses bounds how many processes of one container are searched for its sockets.
const maxProcesses = 1024

// sockets are the inodes of all sockets that the processes of a container hold.
// The processes are those of its control group, or, where it has none of its
// own, its first one's descendants.
func sockets(proc string, pid int, group *cgroup.Group) (map[uint32]bool, error) {
	held := map[uint32]bool{}
	if err := socketsOf(proc, pid, held); err != nil {
		return nil, err // of the first process at least
	}
	var denied error
	for _, p := range processes(proc, pid, group) {
		if err := socketsOf(proc, p, held); errors.Is(err, fs.ErrPermission) {
			denied = err
		}
	}
	return held, denied
}

// processes are those of a container besides its first.
func processes(proc string, pid int, group *cgroup.Group) []int {
	all := map[int]bool{pid: true}
	next := children(proc, pid)
	if group != nil {
		if pids, err := group.PIDs(); err == nil {
			next = append(next, pids...)
		}
	}
	var found []int
	for len(next) > 0 && len(all) < maxProcesses {
		p := next[len(next)-1]
		next = next[:len(next)-1]
		if all[p] {
			continue
		}
		all[p] = true
		found = append(found, p)
		next = append(next, children(proc, p)...)
	}
	return found
}

// children are the child processes of pid, none where the kernel does not tell
// (CONFIG_PROC_CHILDREN) or the process has ended.
func children(proc string, pid int) []int {
	tasks, _ := filepath.Glob(filepath.Join(proc, strconv.Itoa(pid), "task/*/children"))
	var pids []int
	for _, task := range tasks {
		b, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		for f := range bytes.FieldsSeq(b) {
			if n, err := strconv.Atoi(string(f)); err == nil && n > 0 {
				pids = append(pids, n)
			}
		}
	}
	return pids
}

func socketsOf(proc string, pid int, held map[uint32]bool) error {
	dir, err := os.Open(filepath.Join(proc, strconv.Itoa(pid), "fd"))
	if err != nil {
		return fmt.Errorf("list descriptors: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("list descriptors: %w", err)
	}
	for _, name := range names {
		link, err := os.Readlink(filepath.Join(dir.Name(), name))
		if errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("read descriptor: %w", err)
		}
		if inode, ok := socketInode(link); err == nil && ok {
			held[inode] = true
		}
	}
	return nil
}

// socketInode decodes the target of a link in /proc/PID/fd: "socket:[INODE]".
func socketInode(link string) (uint32, bool) {
	s, ok := strings.CutPrefix(link, "socket:[")
	if !ok {
		return 0, false
	}
	s, ok = strings.CutSuffix(s, "]")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n != 0
}

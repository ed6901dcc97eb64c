// Package privilege takes from the running process what it has no use for:
// capabilities(7) and the means to get them back. A process that reads what
// strangers write, and talks to a network, should not be able to do more on its
// host than its work needs.
//
// Capabilities and namespaces are those of threads, so all that is done here is
// done on every thread of the process, by the Go runtime's own means. Those do
// not work in a program with C code in it (cgo), whose threads the runtime may
// not know: there the functions change nothing and their error is
// errors.ErrUnsupported.
package privilege

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Set is a set of capabilities, the bit 1<<unix.CAP_X for each.
type Set uint64

// SetOf makes a Set of unix.CAP_X.
func SetOf(capabilities ...int) Set {
	var s Set
	for _, c := range capabilities {
		s |= 1 << c
	}
	return s
}

// names are those of capabilities(7), by number (linux/capability.h).
var names = [...]string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",
	"CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
	"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
	"CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}

// String lists the capabilities by name, "none" if there are none.
func (s Set) String() string {
	if s == 0 {
		return "none"
	}
	var out []string
	for c := range 64 {
		switch {
		case s&(1<<c) == 0:
		case c < len(names):
			out = append(out, names[c])
		default:
			out = append(out, fmt.Sprintf("capability %d", c))
		}
	}
	return strings.Join(out, " ")
}

// Permitted gives the capabilities that the calling thread has or may take.
func Permitted() (Set, error) {
	var data [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		return 0, fmt.Errorf("read own capabilities: %w", err)
	}
	return Set(data[0].Permitted) | Set(data[1].Permitted)<<32, nil
}

// Drop takes all capabilities from the process but those in keep, which it
// keeps only if it has them, and gives what is left. The bounding, inheritable
// and ambient sets become empty and no_new_privs is set: what the process may
// start has no capabilities at all, whoever's it is. There is no way back.
//
// A process that may not change its bounding set (CAP_SETPCAP) leaves it as it
// is, since no_new_privs makes it meaningless.
//
// The error is errors.ErrUnsupported, and nothing has changed, in a program
// with cgo.
func Drop(keep Set) (left Set, err error) {
	had, err := Permitted()
	if err != nil {
		return 0, err
	}
	// The first of these calls, which is the first to fail for want of
	// support, could only ever be refused by a kernel older than 3.5.
	if err := prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return had, fmt.Errorf("set no_new_privs: %w", err)
	}
	if err := prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return had, fmt.Errorf("clear ambient capabilities: %w", err)
	}
	if had&SetOf(unix.CAP_SETPCAP) != 0 {
		if err := clearBounding(); err != nil {
			return had, err
		}
	}
	left = had & keep
	low, high := uint32(left), uint32(left>>32)
	data := [2]unix.CapUserData{{Effective: low, Permitted: low}, {Effective: high, Permitted: high}}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET,
		uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		return had, fmt.Errorf("drop capabilities: %w", errno)
	}
	return left, nil
}

func clearBounding() error {
	for c := range 64 {
		in, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil // the kernel knows no more
		}
		if err == nil && in == 1 {
			err = prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0)
		}
		if err != nil {
			return fmt.Errorf("clear bounding set: %w", err)
		}
	}
	return nil
}

func prctl(option int, a, b uintptr) error {
	_, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, uintptr(option), a, b, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// EnterCgroupNamespace puts the process into the control group namespace of
// the first process of proc, a /proc: the host's, where PIDs are the host's.
// There /proc/PID/cgroup says where a group really is; a container that was
// given a namespace of its own sees paths that lead nowhere. It reports
// whether that was another namespace, needs CAP_SYS_ADMIN and CAP_SYS_PTRACE,
// and is errors.ErrUnsupported in a program with cgo.
func EnterCgroupNamespace(proc string) (moved bool, err error) {
	const namespace = "ns/cgroup"
	host := filepath.Join(proc, "1", namespace)
	its, err := os.Stat(host)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // before Linux 4.6 there are none
	}
	if err != nil {
		return false, fmt.Errorf("enter the host's control group namespace: %w", err)
	}
	own, err := os.Stat("/proc/thread-self/" + namespace)
	if err != nil {
		return false, fmt.Errorf("enter the host's control group namespace: %w", err)
	}
	if os.SameFile(own, its) {
		return false, nil
	}
	f, err := os.Open(host)
	if err != nil {
		return false, fmt.Errorf("enter the host's control group namespace: %w", err)
	}
	defer f.Close()
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_SETNS, f.Fd(), unix.CLONE_NEWCGROUP, 0); errno != 0 {
		return false, fmt.Errorf("enter the host's control group namespace: %w", errno)
	}
	return true, nil
}

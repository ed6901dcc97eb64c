package process

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// How a process knows that it is to become a function: both must hold.
const (
	childName = "coldscope-function" // argv[0]
	childEnv  = "COLDSCOPE_FUNCTION_CHILD"
)

// The child's extra descriptors.
const (
	planFD   = 3 // the plan as JSON; comes when the child may begin
	statusFD = 4 // what went wrong; closed by a successful exec
)

// plan is what the child needs to know.
type plan struct {
	Scratch    string // an empty directory, to mount things on
	LayersDir  string
	Layers     []string // names in LayersDir, lowest first
	Hostname   string
	User       string
	WorkingDir string
	Args       []string
	Env        []string
}

// scratchBytes bounds what an instance can write to its file system.
const scratchBytes = 512 << 20

// defaultCapabilities are what containers usually have, less the right to
// make device nodes.
var defaultCapabilities = [...]int{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FSETID, unix.CAP_FOWNER, unix.CAP_NET_RAW, unix.CAP_SETGID,
	unix.CAP_SETUID, unix.CAP_SETFCAP, unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT, unix.CAP_KILL, unix.CAP_AUDIT_WRITE,
}

// RunChildIfAsked turns this process into a function's instance if it was
// started as that, and then never returns; otherwise it returns at once. It
// is called first thing in main and TestMain of every binary that uses a
// Runtime, because that runs its own binary again as each instance's first
// process.
func RunChildIfAsked() {
	if os.Getenv(childEnv) == "" || len(os.Args) != 1 || os.Args[0] != childName {
		return
	}
	runtime.LockOSThread() // what is set below is set for this thread, which execs
	unix.CloseOnExec(planFD)
	unix.CloseOnExec(statusFD)
	err := becomeFunction()
	// Only reached if the exec failed.
	fmt.Fprint(os.NewFile(statusFD, "status"), err)
	os.Exit(127)
}

func becomeFunction() error {
	var p plan
	if err := json.NewDecoder(os.NewFile(planFD, "plan")).Decode(&p); err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	if err := enterRoot(&p); err != nil {
		return fmt.Errorf("prepare root file system: %w", err)
	}
	if err := mountSystem(); err != nil {
		return fmt.Errorf("prepare root file system: %w", err)
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	if err := unix.Sethostname([]byte(p.Hostname)); err != nil {
		return fmt.Errorf("set host name: %w", err)
	}
	program, err := findProgram(&p)
	if err != nil {
		return err
	}
	if err := dropPrivileges(p.User); err != nil {
		return fmt.Errorf("become user %q: %w", p.User, err)
	}
	return fmt.Errorf("execute %s: %w", program, unix.Exec(program, p.Args, p.Env))
}

// enterRoot makes the image's layers, with something to write on above them,
// the root of this mount namespace.
func enterRoot(p *plan) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("scratch", p.Scratch, "tmpfs", unix.MS_NODEV, "mode=0711,size="+strconv.Itoa(scratchBytes)); err != nil {
		return fmt.Errorf("mount scratch: %w", err)
	}
	for _, dir := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(p.Scratch, dir), 0o755); err != nil {
			return err
		}
	}
	// Relative names: the options of a mount have to fit into one page.
	if err := os.Chdir(p.LayersDir); err != nil {
		return err
	}
	var lower strings.Builder
	for _, layer := range slices.Backward(p.Layers) {
		if lower.Len() > 0 {
			lower.WriteByte(':')
		}
		lower.WriteString(layer)
	}
	root := filepath.Join(p.Scratch, "root")
	options := "lowerdir=" + lower.String() + ",upperdir=" + p.Scratch + "/upper,workdir=" + p.Scratch + "/work"
	if err := unix.Mount("overlay", root, "overlay", unix.MS_NODEV, options); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	// pivot_root(".", ".") stacks the old root upon the new one, from where it
	// is taken away: see pivot_root(2).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach old root: %w", err)
	}
	return os.Chdir("/")
}

// mountSystem gives the new root /proc, /sys and /dev.
func mountSystem() error {
	const quiet = unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV
	for _, m := range []struct {
		kind, on, options string
		flags             uintptr
	}{
		{"proc", "/proc", "", quiet},
		{"sysfs", "/sys", "", quiet | unix.MS_RDONLY},
		{"tmpfs", "/dev", "mode=0755,size=64k", unix.MS_NOSUID | unix.MS_NOEXEC},
		{"tmpfs", "/dev/shm", "mode=1777,size=64m", quiet},
	} {
		if err := os.MkdirAll(m.on, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.on, m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.on, err)
		}
	}
	old := unix.Umask(0)
	defer unix.Umask(old)
	for name, minor := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		if err := unix.Mknod("/dev/"+name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))); err != nil {
			return fmt.Errorf("make /dev/%s: %w", name, err)
		}
	}
	for name, target := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(target, "/dev/"+name); err != nil {
			return err
		}
	}
	// What in /proc belongs to the machine is not for instances to change or read.
	for _, path := range []string{"/proc/sys", "/proc/irq", "/proc/bus", "/proc/sysrq-trigger"} {
		if err := bind(path, path, unix.MS_RDONLY); err != nil {
			return err
		}
	}
	for _, path := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list"} {
		if err := bind("/dev/null", path, 0); err != nil {
			return err
		}
	}
	if err := os.MkdirAll("/etc", 0o755); err != nil {
		return err
	}
	if _, err := os.Lstat("/etc/hosts"); errors.Is(err, fs.ErrNotExist) {
		return os.WriteFile("/etc/hosts", []byte("127.0.0.1\tlocalhost\n"), 0o644)
	}
	return nil
}

func bind(from, on string, flags uintptr) error {
	if !exists(on) {
		return nil // not in this kernel
	}
	if err := unix.Mount(from, on, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cover %s: %w", on, err)
	}
	if flags == 0 {
		return nil
	}
	if err := unix.Mount("", on, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NODEV|flags, ""); err != nil {
		return fmt.Errorf("cover %s: %w", on, err)
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// findProgram resolves Args[0] as the image's environment says.
func findProgram(p *plan) (string, error) {
	dir := p.WorkingDir
	if dir == "" {
		dir = "/"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("enter working directory: %w", err)
	}
	if err := os.Chdir(dir); err != nil {
		return "", fmt.Errorf("enter working directory: %w", err)
	}
	os.Clearenv()
	for _, e := range p.Env {
		if path, ok := strings.CutPrefix(e, "PATH="); ok {
			if err := os.Setenv("PATH", path); err != nil {
				return "", err
			}
		}
	}
	program, err := exec.LookPath(p.Args[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", fmt.Errorf("find program: %w", err)
	}
	return program, nil
}

// dropPrivileges leaves the calling thread with the container's capabilities
// and user.
func dropPrivileges(user string) error {
	uid, gid, err := lookUpUser(user)
	if err != nil {
		return err
	}
	keep := map[int]bool{}
	for _, c := range defaultCapabilities {
		keep[c] = true
	}
	for c := range unix.CAP_LAST_CAP + 1 {
		if keep[c] {
			continue
		}
		// EINVAL: this kernel does not have it.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	// Raw system calls: the library's would change every thread, and only this
	// one becomes the function.
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); e != 0 {
		return fmt.Errorf("set groups: %w", e)
	}
	g, u := uintptr(gid), uintptr(uid)
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, g, g, g); e != 0 {
		return fmt.Errorf("set group: %w", e)
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, u, u, u); e != 0 {
		return fmt.Errorf("set user: %w", e)
	}
	if err := dropInheritable(); err != nil {
		return fmt.Errorf("drop inheritable capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	// A change of user clears it.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("set parent death signal: %w", err)
	}
	return nil
}

func dropInheritable() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	for i := range data {
		data[i].Inheritable = 0
	}
	_, _, e := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0)
	if e != 0 {
		return e
	}
	return nil
}

// lookUpUser resolves "", "user", "uid", "user:group" or "uid:gid" with the
// image's /etc/passwd and /etc/group.
func lookUpUser(spec string) (uid, gid int, err error) {
	if spec == "" {
		return 0, 0, nil
	}
	user, group, hasGroup := strings.Cut(spec, ":")
	uid, err = strconv.Atoi(user)
	if entry := findEntry("/etc/passwd", user, err == nil); len(entry) > 3 {
		uid, err = strconv.Atoi(entry[2])
		if err == nil {
			gid, err = strconv.Atoi(entry[3])
		}
	}
	if err != nil {
		return 0, 0, fmt.Errorf("no user %q in the image", user)
	}
	if !hasGroup {
		return uid, gid, nil
	}
	gid, err = strconv.Atoi(group)
	if err == nil {
		return uid, gid, nil
	}
	entry := findEntry("/etc/group", group, false)
	if entry == nil {
		return 0, 0, fmt.Errorf("no group %q in the image", group)
	}
	gid, err = strconv.Atoi(entry[2])
	return uid, gid, err
}

// findEntry finds a line of passwd or group by its name or by its number.
func findEntry(file, key string, byNumber bool) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) > 2 && (fields[0] == key && !byNumber || fields[2] == key && byNumber) {
			return fields
		}
	}
	return nil
}

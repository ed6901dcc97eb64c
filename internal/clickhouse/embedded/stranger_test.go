package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/clickhouse"
)

// strangerEnv has the test binary try, as another user of the host, all that is
// in it as JSON.
const strangerEnv = "COLDSCOPE_TEST_STRANGER"

// attempts is what a stranger tries.
type attempts struct {
	DSNs  []string // to log in
	Files []string // to open for reading, for writing, and to list
	Port  int      // to take over
	PID   int      // to signal and to trace
	Shown []string // what everybody may read
}

// findings is what a stranger got.
type findings struct {
	UID int
	Log []string // all that was tried
	In  []string // what should not have worked
	// Denied is how often the engine itself said no.
	Denied int
	Shown  map[string]string
}

// stranger tries everything.
func stranger(tasks string) {
	var a attempts
	if err := json.Unmarshal([]byte(tasks), &a); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	f := findings{UID: os.Getuid(), Shown: map[string]string{}}
	try := func(what string, refused bool, err error) {
		f.Log = append(f.Log, fmt.Sprintf("%s: %v", what, err))
		if !refused {
			f.In = append(f.In, fmt.Sprintf("%s: %v", what, err))
		}
	}
	for _, dsn := range a.DSNs {
		conn, err := clickhouse.Open(context.Background(), dsn)
		try("log in by "+dsn, err != nil, err)
		var exception *clickhousego.Exception
		switch {
		case err == nil:
			conn.Close()
		case errors.As(err, &exception):
			f.Denied++
		}
	}
	for _, path := range a.Files {
		for how, flags := range map[string]int{"read": os.O_RDONLY, "write": os.O_WRONLY} {
			file, err := os.OpenFile(path, flags, 0)
			try(how+" "+path, errors.Is(err, fs.ErrPermission) || how == "write" && errors.Is(err, syscall.EISDIR), err)
			file.Close()
		}
		_, err := os.ReadDir(path)
		try("list "+path, errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR), err)
	}
	for _, addr := range [][4]byte{{127, 0, 0, 1}, {}} {
		err := takePort(addr, a.Port)
		try(fmt.Sprint("listen on ", addr, " port ", a.Port), errors.Is(err, unix.EADDRINUSE), err)
	}
	err := syscall.Kill(a.PID, 0)
	try("signal", errors.Is(err, syscall.EPERM), err)
	err = syscall.PtraceAttach(a.PID)
	try("trace", errors.Is(err, syscall.EPERM), err)
	for _, path := range a.Shown {
		content, err := os.ReadFile(path)
		f.Shown[path] = fmt.Sprintf("%q %v", content, err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// takePort listens on a port, sharing it with whoever lets it.
func takePort(addr [4]byte, port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: addr}),
		unix.Listen(fd, 1))
}

// asStranger runs attempts as nobody.
func asStranger(t *testing.T, a attempts) findings {
	t.Helper()
	tasks, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	// By this name, since its own may lie where nobody else comes.
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), strangerEnv+"="+string(tasks))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	var f findings
	if err := json.Unmarshal(out, &f); err != nil {
		t.Fatal(err)
	}
	if f.UID != 65534 {
		t.Fatalf("the stranger is user %d", f.UID)
	}
	return f
}

// TestStranger: another user of the host gets nothing of the engine, neither
// while it runs nor while it is down.
func TestStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	parent := t.TempDir()
	for _, dir := range []string{parent, filepath.Dir(parent)} { // what is refused is to be the engine's own doing
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(parent, "engine")
	if err := os.Mkdir(dir, 0o777); err != nil { // as somebody may have made it
		t.Fatal(err)
	}
	e := startEngine(t, Options{DataDir: dir})
	conn := open(t, e.DSN())
	for _, sql := range []string{"CREATE TABLE secrets (s String) ENGINE = MergeTree ORDER BY s", "INSERT INTO secrets VALUES ('very secret')"} {
		if err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(e.DSN())
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	a := attempts{Port: e.access.Port, PID: e.PID()}
	for _, user := range []*url.Userinfo{
		nil, url.User("default"), url.UserPassword("default", password), url.User(userName), url.UserPassword(userName, "wrong"),
		url.UserPassword(userName, e.access.Password[1:]), url.UserPassword("root", password), url.UserPassword("", password),
	} {
		other := *u
		other.User = user
		a.DSNs = append(a.DSNs, other.String())
	}
	mustWalk(t, dir, func(path string, entry fs.DirEntry) {
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return // the engine cleans up
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 && info.Mode().Type() != fs.ModeSymlink {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		a.Files = append(a.Files, path)
	})
	if len(a.Files) < 20 {
		t.Errorf("only %d files", len(a.Files))
	}
	proc := "/proc/" + strconv.Itoa(a.PID)
	for _, name := range []string{"environ", "mem", "maps", "fd", "cwd", "root", "map_files"} {
		a.Files = append(a.Files, filepath.Join(proc, name))
	}
	terminal, err := os.Readlink(proc + "/fd/0")
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(terminal, "/dev/pts/") {
		a.Files = append(a.Files, terminal)
	}
	a.Shown = []string{proc + "/cmdline", proc + "/comm"}
	f := checkStranger(t, a, password)
	if len(f.Log) < len(a.DSNs)+3*len(a.Files) || f.Denied != len(a.DSNs) {
		t.Errorf("only %d attempts, %d of %d logins denied", len(f.Log), f.Denied, len(a.DSNs))
	}

	// Only the one port is open, and on loopback.
	if listens := listening(t, a.PID); len(listens) != 1 || listens[0] != fmt.Sprintf("0100007F:%04X", e.access.Port) {
		t.Errorf("it listens on %q", listens)
	}

	// While the child is dead, only its parent holds the port.
	if err := syscall.Kill(a.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for e.PID() == a.PID || e.PID() == 0 {
		checkStranger(t, attempts{Port: a.Port, PID: 1, DSNs: a.DSNs[:2]}, password)
	}
	open(t, e.DSN())
}

func checkStranger(t *testing.T, a attempts, password string) findings {
	t.Helper()
	f := asStranger(t, a)
	for _, in := range f.In {
		t.Errorf("a stranger may %s", in)
	}
	for path, shown := range f.Shown {
		if strings.Contains(shown, password) || strings.Contains(shown, "clickhouse://") {
			t.Errorf("%s shows %s", path, shown)
		}
	}
	return f
}

func mustWalk(t *testing.T, dir string, visit func(string, fs.DirEntry)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			visit(path, entry)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// listening gives the addresses on which a process listens, as the kernel
// writes them.
func listening(t *testing.T, pid int) (addrs []string) {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	var sockets []string
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "socket:[") {
			sockets = append(sockets, strings.Trim(to, "socket:[]"))
		}
	}
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(string(b)) {
			fields := strings.Fields(l)
			if len(fields) > 9 && fields[3] == "0A" && slices.Contains(sockets, fields[9]) {
				addrs = append(addrs, fields[1])
			}
		}
	}
	return addrs
}

package embedded

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"

	"golang.org/x/sys/unix"
)

// What lies in Options.DataDir, which only its owner can enter.
const (
	lockFile   = "lock"        // held by the process that owns the engine; holds its pid
	accessFile = "access.json" // port and password, to be the same after a restart
	dsnFile    = "dsn"         // what other processes of this user connect to
	configFile = "config.xml"
	usersFile  = "users.xml"
	logFile    = "engine.log"
	storeDir   = "store" // ClickHouse's own: databases, parts, status file
)

const (
	userName = "coldscope"
	host     = "127.0.0.1"
)

// access is how to reach the engine. It outlives child and parent, so that a
// DSN that another process was given stays true.
type access struct {
	Port     int    `json:"port"`
	Password string `json:"password"`
}

func (a access) addr() string { return net.JoinHostPort(host, strconv.Itoa(a.Port)) }

func (a access) dsn() string {
	u := url.URL{Scheme: "clickhouse", User: url.UserPassword(userName, a.Password), Host: a.addr(), Path: "/default"}
	return u.String()
}

// readAccess returns what an earlier run wrote. A missing or damaged file
// gives no access and no error: a new one is then made up.
func readAccess(dir string) access {
	var a access
	content, err := os.ReadFile(filepath.Join(dir, accessFile))
	if err != nil || json.Unmarshal(content, &a) != nil || a.Port < 1 || a.Port > 65535 || len(a.Password) < 32 {
		return access{}
	}
	return a
}

// settings fills in the two templates.
type settings struct {
	Dir, Host, User, PasswordSHA256 string
	Port                            int
	MemoryLimit                     int64
	OldParts                        int   // seconds
	Cold                            *Cold // nil: all stays on one disk
	Config                          string
}

// writeFiles writes everything the child reads, and the DSN.
func writeFiles(dir string, a access, opts *Options) error {
	sum := sha256.Sum256([]byte(a.Password))
	s := settings{
		Dir: dir, Host: host, User: userName, PasswordSHA256: hex.EncodeToString(sum[:]),
		Port: a.Port, MemoryLimit: opts.MemoryLimit, OldParts: int(oldPartsLifetime.Seconds()), Cold: opts.Cold, Config: opts.Config,
	}
	saved, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("encode %s: %w", accessFile, err)
	}
	contents := map[string][]byte{accessFile: saved, dsnFile: []byte(a.dsn() + "\n")}
	for name, t := range map[string]*template.Template{configFile: configTemplate, usersFile: usersTemplate} {
		var b bytes.Buffer
		if err := t.Execute(&b, s); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		contents[name] = b.Bytes()
	}
	for name, content := range contents {
		if err := writePrivate(filepath.Join(dir, name), content); err != nil {
			return err
		}
	}
	return nil
}

// writePrivate replaces path in one step with a file only its owner can read.
func writePrivate(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// flock opens path and locks it for this process, or returns errLocked. The
// lock goes with the returned file, also when the process dies.
func flock(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

var errLocked = errors.New("locked by another process")

// lockDir makes this process the owner of dir, or returns ErrInUse.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := flock(path, os.O_CREATE)
	if errors.Is(err, errLocked) {
		return nil, inUse(dir, pidIn(path, ""))
	}
	if err != nil {
		return nil, err
	}
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
	}
	if _, err := f.WriteAt(pid, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
	}
	return f, nil
}

// storeInUse reports whether an engine holds dir's store, and its pid (0 if
// not known). It asks for the lock on ClickHouse's own status file.
func storeInUse(dir string) (bool, int, error) {
	path := filepath.Join(dir, storeDir, "status")
	f, err := flock(path, 0)
	switch {
	case errors.Is(err, errLocked):
		return true, pidIn(path, "PID:"), nil
	case errors.Is(err, fs.ErrNotExist):
		return false, 0, nil
	case err != nil:
		return false, 0, err
	}
	return false, 0, f.Close()
}

func inUse(dir string, pid int) error {
	who := "another process"
	if pid > 0 {
		who = fmt.Sprintf("process %d", pid)
	}
	return fmt.Errorf("%w: %s is used by %s: stop that process first, or choose another directory with --data-dir", ErrInUse, dir, who)
}

// pidIn finds the number after prefix at the start of one of the file's
// lines; 0 if there is none.
func pidIn(path, prefix string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(content)) {
		rest, ok := strings.CutPrefix(line, prefix)
		if pid, err := strconv.Atoi(strings.TrimSpace(rest)); ok && err == nil {
			return pid
		}
	}
	return 0
}

func xmlText(s string) (string, error) {
	var b strings.Builder
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}

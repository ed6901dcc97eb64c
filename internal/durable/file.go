package durable

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

var (
	// ErrCorrupt is wrapped by what is read back and is not what was written.
	ErrCorrupt = errors.New("checksum does not match")
	// ErrFull is wrapped when a Log has reached its size on disk.
	ErrFull = errors.New("log is full")
	// ErrInUse is wrapped when another process holds a directory.
	ErrInUse = errors.New("in use by another process")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const fileHeader = "coldscope-file 1 %08x %d\n"

// WriteFile replaces the file at path by payload, or leaves it as it was:
// after a crash at any moment ReadFile gives the old or the new payload.
func WriteFile(path string, payload []byte, perm fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // fails once it is renamed
	if err := fill(tmp, payload, perm); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

func fill(tmp *os.File, payload []byte, perm fs.FileMode) error {
	buf := make([]byte, 0, len(payload)+48)
	buf = fmt.Appendf(buf, fileHeader, crc32.Checksum(payload, castagnoli), len(payload))
	_, err := tmp.Write(append(buf, payload...))
	if err == nil {
		err = tmp.Chmod(perm)
	}
	if err == nil {
		err = tmp.Sync()
	}
	return errors.Join(err, tmp.Close())
}

// ReadFile gives the payload that WriteFile wrote. The error wraps
// fs.ErrNotExist or ErrCorrupt.
func ReadFile(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	head, payload, ok := bytes.Cut(b, []byte("\n"))
	if !ok {
		return nil, fmt.Errorf("read %s: no header: %w", path, ErrCorrupt)
	}
	var sum uint32
	var size int
	if _, err := fmt.Sscanf(string(head)+"\n", fileHeader, &sum, &size); err != nil {
		return nil, fmt.Errorf("read %s: bad header: %w", path, ErrCorrupt)
	}
	if size != len(payload) || sum != crc32.Checksum(payload, castagnoli) {
		return nil, fmt.Errorf("read %s: %w", path, ErrCorrupt)
	}
	return payload, nil
}

// SyncDir makes creations, renames and removals in dir durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}

// Lock is a held directory. It ends with the process, however that ends.
type Lock struct{ f *os.File }

// LockDir takes dir for this process. The error wraps ErrInUse if another one has it.
func LockDir(dir string) (*Lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return &Lock{f}, nil
}

// Release gives the directory back.
func (l *Lock) Release() error { return l.f.Close() }

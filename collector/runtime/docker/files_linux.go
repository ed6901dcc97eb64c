package docker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func stampsOf(path string) (stamps, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st); err != nil {
		return stamps{}, &os.PathError{Op: "statx", Path: path, Err: err}
	}
	return fromStatx(&st), nil
}

func stampsOfFile(f *os.File) (stamps, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return stamps{}, err
	}
	var st unix.Statx_t
	var statErr error
	err = raw.Control(func(fd uintptr) {
		statErr = unix.Statx(int(fd), "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st)
	})
	return fromStatx(&st), errors.Join(err, statErr)
}

func fromStatx(st *unix.Statx_t) stamps {
	out := stamps{written: fromStamp(st.Mtime), changed: fromStamp(st.Ctime), size: int64(st.Size), links: st.Nlink}
	if st.Mask&unix.STATX_BTIME != 0 {
		out.born = fromStamp(st.Btime)
	}
	return out
}

func fromStamp(t unix.StatxTimestamp) time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

// notifier is one inotify descriptor.
type notifier struct{ file *os.File }

func (w *blobWatch) open() error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("open inotify: %w", err)
	}
	w.notify = &notifier{file: os.NewFile(uintptr(fd), "inotify")}
	return nil
}

var errNoNotifier = errors.New("files cannot be watched")

// add watches a directory and gives the kernel's number for it.
func (n *notifier) add(dir string) (id int, err error) {
	if n == nil {
		return 0, errNoNotifier
	}
	raw, err := n.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var addErr error
	err = raw.Control(func(fd uintptr) {
		id, addErr = unix.InotifyAddWatch(int(fd), dir, unix.IN_CREATE|unix.IN_DELETE|unix.IN_ONLYDIR)
	})
	if err := errors.Join(err, addErr); err != nil {
		return 0, fmt.Errorf("watch %s: %w", dir, err)
	}
	return id, nil
}

// run takes notice of files until ctx ends.
func (w *blobWatch) run(ctx context.Context) {
	defer w.close()
	if w.notify == nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = w.notify.file.Close() }) // ends the read below
	defer stop()
	buf := make([]byte, 64<<10)
	for {
		n, err := w.notify.file.Read(buf)
		if err != nil {
			if ctx.Err() == nil {
				w.log.Warn("docker: pull times are not reported any more: files cannot be watched", "error", err)
			}
			return
		}
		w.take(buf[:n])
	}
}

// take handles what one read gave.
func (w *blobWatch) take(b []byte) {
	gone := false
	for len(b) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(b[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
		if end > len(b) {
			break
		}
		name := string(bytes.TrimRight(b[unix.SizeofInotifyEvent:end], "\x00"))
		b = b[end:]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			if err := w.scan(); err != nil {
				w.log.Debug("docker: layers' files cannot be listed", "error", err)
			}
		case mask&unix.IN_CREATE != 0:
			w.appeared(name, time.Now())
		case mask&unix.IN_DELETE != 0:
			gone = true
		}
	}
	if gone {
		w.removed()
	}
}

// Package notify tells early that directories have changed and that files were
// written to. It is a hint and never the truth: who asks it also looks for
// itself from time to time, since the kernel may drop hints and some file
// systems give none. All watches share one inotify descriptor, of which a user
// has few (fs.inotify.max_user_instances).
package notify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// dirMask is what makes a directory worth a look. Writes to files in it are
// not: they would flood the queue.
const dirMask = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_ONLYDIR | unix.IN_DELETE_SELF

// Notifier is safe for concurrent use. Without a descriptor, since the kernel
// gave none, it gives no hints.
type Notifier struct {
	f        *os.File // nil: no hints
	fd       int      // of f
	limited  atomic.Bool
	overflow atomic.Uint64

	mu     sync.Mutex
	closed bool             // fd is somebody else's
	dirs   map[int32]string // by watch descriptor
	known  map[string]int32
	files  map[int32]func()
}

// New opens the descriptor. If that fails, the Notifier works without hints
// and the error says why: it is a warning.
func New() (*Notifier, error) {
	n := &Notifier{dirs: map[int32]string{}, known: map[string]int32{}, files: map[int32]func(){}}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return n, fmt.Errorf("watch files with inotify: %w", err)
	}
	n.f, n.fd = os.NewFile(uintptr(fd), "inotify"), fd
	return n, nil
}

// Works reports whether hints can be expected: there is a descriptor, and the
// kernel has taken every watch until now.
func (n *Notifier) Works() bool { return n.f != nil && !n.limited.Load() }

// Overflows counts how often the kernel dropped hints.
func (n *Notifier) Overflows() uint64 { return n.overflow.Load() }

// Dir watches a directory for new names. It is cheap for one that is watched.
func (n *Notifier) Dir(path string) {
	if n.f == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.known[path]; ok || n.closed {
		return
	}
	wd, err := unix.InotifyAddWatch(n.fd, path, dirMask)
	if err != nil {
		n.refused(err)
		return
	}
	// A directory that was moved has the watch of its old name.
	if old, ok := n.dirs[int32(wd)]; ok {
		delete(n.known, old)
	}
	n.dirs[int32(wd)], n.known[path] = path, int32(wd)
}

// File calls wake once, when f is written to, from Run's goroutine: it must
// not block. False says that there will be no call.
func (n *Notifier) File(f *os.File, wake func()) bool {
	if n.f == nil {
		return false
	}
	// By its descriptor: the name may be another file's by now.
	path := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	wd, err := unix.InotifyAddWatch(n.fd, path, unix.IN_MODIFY|unix.IN_ONESHOT)
	if err != nil {
		n.refused(err)
		return false
	}
	n.files[int32(wd)] = wake
	return true
}

// refused notes that the kernel takes no more watches. n.mu is held.
func (n *Notifier) refused(err error) {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.ENOMEM) {
		n.limited.Store(true)
	}
}

// Run hands over hints until ctx ends: directories that have new names, or all
// with true if the kernel dropped some.
func (n *Notifier) Run(ctx context.Context, changed func(dirs []string, all bool)) {
	if n.f == nil {
		<-ctx.Done()
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = n.Close() }) // ends Read
	defer stop()
	buf := make([]byte, 64<<10)
	for {
		k, err := n.f.Read(buf)
		if err != nil {
			if ctx.Err() == nil {
				n.limited.Store(true) // who looks for itself goes on
				<-ctx.Done()
			}
			return
		}
		dirs, wakes, all := n.read(buf[:k])
		for _, wake := range wakes {
			wake()
		}
		if len(dirs) > 0 || all {
			changed(dirs, all)
		}
	}
}

// read takes the kernel's events apart (inotify(7)).
func (n *Notifier) read(b []byte) (dirs []string, wakes []func(), all bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen := map[int32]bool{}
	for len(b) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(b))
		mask := binary.NativeEndian.Uint32(b[4:])
		name := binary.NativeEndian.Uint32(b[12:])
		b = b[min(len(b), unix.SizeofInotifyEvent+int(name)):]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			n.overflow.Add(1)
			all = true
			for _, wake := range n.files {
				wakes = append(wakes, wake)
			}
			continue
		case mask&unix.IN_IGNORED != 0: // the watch is gone
			if path, ok := n.dirs[wd]; ok {
				delete(n.dirs, wd)
				delete(n.known, path)
			}
			delete(n.files, wd)
			continue
		}
		if wake, ok := n.files[wd]; ok {
			delete(n.files, wd)
			wakes = append(wakes, wake)
		} else if path, ok := n.dirs[wd]; ok && !seen[wd] {
			seen[wd] = true
			dirs = append(dirs, path)
		}
	}
	return dirs, wakes, all
}

// Close gives the descriptor back. Run does it itself.
func (n *Notifier) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.f == nil || n.closed {
		return nil
	}
	n.closed = true
	return n.f.Close()
}

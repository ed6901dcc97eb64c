package docker

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	blobPrefix = "GetImageBlob"
	// keepBlobs is how long the stamps of a blob are of use after its removal.
	keepBlobs = 15 * time.Minute
	// maxBlobs bounds the blobs that are held and those that are remembered.
	maxBlobs = 1024
)

// blobWatch keeps the stamps of the files that dockerd downloads layers to. It
// holds each open from its creation to its end: the kernel goes on stamping a
// file that has no name any more, and so it does not matter how late we look.
// It is safe for concurrent use.
type blobWatch struct {
	log    *slog.Logger
	notify *notifier // nil: files cannot be watched

	mu sync.Mutex
	// guarded by mu:
	dir   string    // <data root>/tmp
	dirID int       // the kernel's: another one if dir is another directory
	since time.Time // since when dir is watched
	held  map[string]heldBlob
	ended []blob
}

type heldBlob struct {
	file *os.File
	seen time.Time // appearing; zero: was there already
}

func newBlobWatch(log *slog.Logger) *blobWatch {
	return &blobWatch{log: log, held: map[string]heldBlob{}}
}

// watch begins to watch a daemon's data directory; again is harmless, and
// necessary when the daemon was restarted: it makes the directory anew.
func (w *blobWatch) watch(root string) error {
	dir := filepath.Join(root, "tmp")
	// Is what we need to read readable at all?
	if _, err := os.ReadDir(filepath.Join(root, "image")); err != nil {
		return err
	}
	id, err := w.notify.add(dir)
	if err != nil {
		return err
	}
	w.mu.Lock()
	if w.dir != dir || w.dirID != id {
		w.dir, w.dirID, w.since = dir, id, time.Now()
	}
	w.mu.Unlock()
	return w.scan()
}

// scan takes what is there already.
func (w *blobWatch) scan() error {
	w.mu.Lock()
	dir := w.dir
	w.mu.Unlock()
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		w.appeared(n.Name(), time.Time{})
	}
	return nil
}

// appeared holds a blob's file.
func (w *blobWatch) appeared(name string, at time.Time) {
	if !strings.HasPrefix(name, blobPrefix) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.held[name]; ok || len(w.held) >= maxBlobs {
		return
	}
	f, err := os.Open(filepath.Join(w.dir, name))
	if err != nil {
		w.log.Debug("docker: a layer's file was gone before it could be opened", "file", name, "error", err)
		return
	}
	w.held[name] = heldBlob{f, at}
}

// all gives the blobs that are gone by now, and since when none was missed.
func (w *blobWatch) all() ([]blob, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	return append([]blob(nil), w.ended...), w.since
}

// removed notes the end of a blob and lets its disk space go.
func (w *blobWatch) removed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
}

// settle is called with mu held.
func (w *blobWatch) settle() {
	var newest time.Time
	for name, h := range w.held {
		st, err := stampsOfFile(h.file)
		if err == nil && st.links > 0 {
			continue
		}
		_ = h.file.Close() // was only read
		delete(w.held, name)
		if st.born.IsZero() {
			st.born = h.seen
		}
		if err == nil && !st.born.IsZero() {
			w.ended = append(w.ended, blob{size: st.size, created: st.born, written: st.written, removed: st.changed})
			newest = later(newest, st.changed)
		}
	}
	if newest.IsZero() {
		return
	}
	old := 0
	for old < len(w.ended) && (newest.Sub(w.ended[old].removed) > keepBlobs || len(w.ended)-old > maxBlobs) {
		old++
	}
	w.ended = w.ended[old:]
}

func (w *blobWatch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, h := range w.held {
		_ = h.file.Close() // was only read
		delete(w.held, name)
	}
}

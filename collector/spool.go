package collector

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/collector/discover"
	"github.com/coldscope/coldscope/internal/durable"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// pinned is a deleted file that is held since it is not acknowledged.
type pinned struct {
	*generation
	*view
	size     int64
	modified time.Time
}

// deleted looks for such files itself: a chain that waits for the sink looks at
// nothing.
func (c *Collector) deleted() []pinned {
	var out []pinned
	var held int64
	for _, ch := range c.allChains() {
		for _, g := range ch.generations() {
			v := g.view.Load()
			if v.window == nil || g.found.Saved != nil || g.givenUp.Load() != nil || v.window.Committed() >= v.state.Size {
				continue
			}
			info, err := g.found.File.Stat()
			if err != nil {
				continue // it was closed
			}
			if sys, ok := info.Sys().(*syscall.Stat_t); ok && sys.Nlink == 0 {
				out = append(out, pinned{g, v, info.Size(), info.ModTime()})
				held += info.Size()
			}
		}
	}
	c.metrics.pinned.Set(float64(held))
	return out
}

// unpin gives up deleted files that hold more than they may, the oldest first.
func (c *Collector) unpin(deleted []pinned) {
	var held int64
	for _, p := range deleted {
		held += p.size
	}
	slices.SortFunc(deleted, func(a, b pinned) int { return a.modified.Compare(b.modified) })
	for _, p := range deleted {
		if held <= c.cfg.PinnedBytes {
			return
		}
		held -= p.size
		p.abandon(faas.GapPinned)
	}
}

// The spool has copies of what is not acknowledged of deleted files. The
// descriptor is what is read as long as the collector lives; the copy is for
// the next one, if this one is killed.

// spoolAfter is how long a deleted file is quiet until it is copied: most are
// acknowledged by then.
const spoolAfter = 2 * time.Second

func (c *Collector) spoolDir() string { return filepath.Join(c.cfg.DataDir, "spool") }

// spool copies what should be, within the spool's size.
func (c *Collector) spool(now time.Time, deleted []pinned) {
	if c.cfg.SpoolBytes == 0 {
		return
	}
	used, err := c.spoolSize(now)
	if err != nil {
		c.sayOnce(&c.spoolFailed, "spool cannot be read", err)
		return
	}
	for _, p := range deleted {
		n := p.size - p.view.window.Committed()
		if p.found.Compressed || p.saved.Load() != nil || n <= 0 || now.Sub(p.modified) < spoolAfter {
			continue
		}
		if used+n > c.cfg.SpoolBytes {
			c.sayOnce(&c.spoolFailed, "spool is full: a restart would lose deleted files that are not stored",
				fmt.Errorf("%d of %d bytes are used, %s needs %d", used, c.cfg.SpoolBytes, p.found.Path, n))
			continue
		}
		if err := c.save(p); err != nil {
			c.sayOnce(&c.spoolFailed, "deleted file cannot be copied to the spool", err)
			continue
		}
		used += n
	}
	c.metrics.spooled.Set(float64(used))
}

// save copies what is not acknowledged of g to a file of its own.
func (c *Collector) save(p pinned) (err error) {
	g := p.generation
	offset := p.view.window.Committed()
	head, err := discover.Saved{
		ID: p.view.id, Format: g.found.Format, Offset: offset, Key: g.found.Container.Key, Owner: g.found.Container.Owner,
		Path: g.found.Path, Ref: g.found.Container.Ref,
	}.Encode()
	if err != nil {
		return err
	}
	path := filepath.Join(c.spoolDir(), wire.FormatFileID(p.view.id)+discover.SavedSuffix)
	temporary := path + ".tmp"
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("save %s: %w", g.found.Path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("save %s: %w", g.found.Path, err), f.Close(), os.Remove(temporary))
		}
	}()
	if _, err := f.Write(head); err != nil {
		return err
	}
	if _, err := io.Copy(f, io.NewSectionReader(g.found.File, offset, p.size-offset)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	var at unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &at); err != nil {
		return err
	}
	// The scanner must not take the copy for a log of its own as long as the
	// file itself is open.
	c.scanner.Remember(&discover.Generation{Dev: at.Dev, Inode: at.Ino})
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	g.saved.Store(&path)
	return durable.SyncDir(c.spoolDir())
}

// unspool removes a copy that is not needed any more.
func (c *Collector) unspool(path string) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.log.Error("copy in the spool cannot be removed", slog.Any("error", err))
	}
}

// spoolSize is how much the spool holds, after what is too old was given up.
func (c *Collector) spoolSize(now time.Time) (int64, error) {
	entries, err := os.ReadDir(c.spoolDir())
	if err != nil {
		return 0, err
	}
	var used int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // it was removed
		}
		if now.Sub(info.ModTime()) < c.cfg.SpoolAge {
			used += info.Size()
			continue
		}
		for _, ch := range c.allChains() {
			for _, g := range ch.generations() {
				if g.found.Saved != nil && g.found.Path == filepath.Join(c.spoolDir(), e.Name()) {
					g.abandon(faas.GapSpool)
				}
			}
		}
	}
	return used, nil
}

// sayOnce logs an error that differs from the last one.
func (c *Collector) sayOnce(last *string, message string, err error) {
	if *last != err.Error() {
		*last = err.Error()
		c.log.Warn(message, slog.Any("error", err)) //nolint:sloglint // the messages are constants of the callers
	}
}

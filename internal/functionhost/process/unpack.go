package process

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// maxLayerBytes bounds what one layer may unpack to, against archives that
// are made to fill disks.
const maxLayerBytes = 8 << 30

// The marks of the OCI image format for files that a layer takes away from
// the layers below.
const (
	whiteoutPrefix = ".wh."
	opaqueMark     = ".wh..wh..opq"
)

// errUnsafe is wrapped for an archive that reaches outside its directory.
var errUnsafe = errors.New("unsafe archive")

// unpack writes the layer in r to dir, which has to be empty, and returns the
// digest of the uncompressed archive ("sha256:…"). Nothing outside dir is
// read or written, whatever names and links the archive has. Whiteouts
// become what overlayfs understands. A layer of more than limit bytes is refused.
func unpack(r io.Reader, dir string, limit int64) (diffID string, err error) {
	plain, closePlain, err := decompress(r)
	if err != nil {
		return "", err
	}
	defer closePlain()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer func() { _ = root.Close() }()
	sum := sha256.New()
	counted := io.TeeReader(io.LimitReader(plain, limit), sum)
	u := unpacker{root: root, left: limit}
	t := tar.NewReader(counted)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("read archive: %w", err)
		}
		if err := u.entry(h, t); err != nil {
			return "", fmt.Errorf("unpack %q: %w", h.Name, err)
		}
	}
	if err := u.finish(); err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, counted); err != nil { // padding belongs to the digest
		return "", fmt.Errorf("read archive: %w", err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

func decompress(r io.Reader) (io.Reader, func(), error) {
	b := bufio.NewReaderSize(r, 256<<10)
	head, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("read archive: %w", err)
	}
	switch {
	case len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b:
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, fmt.Errorf("read archive: %w", err)
		}
		return z, func() { _ = z.Close() }, nil
	case string(head) == "\x28\xb5\x2f\xfd":
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, nil, fmt.Errorf("read archive: %w", err)
		}
		return z, z.Close, nil
	}
	return b, func() {}, nil
}

// unpacker writes entries below root. os.Root sees to it that no name and no
// symbolic link leads outside.
type unpacker struct {
	root *os.Root
	dirs []*tar.Header // their times are set at the end, since entries change them
	left int64         // bytes that files may still have
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	name, err := local(h.Name)
	if err != nil || name == "." {
		return err
	}
	dir, base := path.Split(name)
	dir = path.Clean(dir)
	if err := u.root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	switch {
	case base == opaqueMark:
		return u.withDir(dir, func(fd int) error { return unix.Fsetxattr(fd, "trusted.overlay.opaque", []byte("y"), 0) })
	case strings.HasPrefix(base, whiteoutPrefix):
		gone := strings.TrimPrefix(base, whiteoutPrefix)
		if gone == "" || gone == "." || gone == ".." {
			return fmt.Errorf("%w: whiteout of nothing", errUnsafe)
		}
		return u.withDir(dir, func(fd int) error { return unix.Mknodat(fd, gone, unix.S_IFCHR, 0) })
	}
	if old, err := u.root.Lstat(name); err == nil && (h.Typeflag != tar.TypeDir || !old.IsDir()) {
		if err := u.root.RemoveAll(name); err != nil {
			return err
		}
	}
	return u.create(h, name, dir, base, content)
}

func (u *unpacker) create(h *tar.Header, name, dir, base string, content io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		if err := u.root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		copied := *h
		copied.Name = name
		u.dirs = append(u.dirs, &copied)
	case tar.TypeReg:
		// Not the same as what is read: a sparse file's holes are not in the archive.
		if u.left -= h.Size; u.left < 0 {
			return fmt.Errorf("%w: the layer is too large", errUnsafe)
		}
		if err := u.write(name, content); err != nil {
			return err
		}
	case tar.TypeLink:
		target, err := local(h.Linkname)
		if err != nil {
			return err
		}
		return u.root.Link(target, name) // shares owner, mode and times
	case tar.TypeSymlink:
		// May point anywhere: it is followed inside the instance only.
		if err := u.root.Symlink(h.Linkname, name); err != nil {
			return err
		}
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
		dev := int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor)))
		if err := u.withDir(dir, func(fd int) error { return unix.Mknodat(fd, base, kind, dev) }); err != nil {
			return err
		}
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("unknown entry type %q", h.Typeflag)
	}
	return u.attributes(h, name)
}

func (u *unpacker) write(name string, content io.Reader) error {
	f, err := u.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// attributes sets owner, mode, extended attributes and times, in this order:
// a change of owner clears the set-user-ID bit and file capabilities.
func (u *unpacker) attributes(h *tar.Header, name string) error {
	if err := u.root.Lchown(name, h.Uid, h.Gid); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	if err := u.root.Chmod(name, h.FileInfo().Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)); err != nil {
		return err
	}
	for key, value := range h.PAXRecords {
		attr, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		// Only what works the same everywhere; trusted.overlay.* would be
		// instructions to our own overlay.
		if !ok || attr != "security.capability" && !strings.HasPrefix(attr, "user.") {
			continue
		}
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir {
			continue
		}
		f, err := u.root.Open(name)
		if err != nil {
			return err
		}
		err = unix.Fsetxattr(int(f.Fd()), attr, []byte(value), 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("set attribute %s: %w", attr, err)
		}
	}
	if h.Typeflag == tar.TypeDir {
		return nil
	}
	return u.root.Chtimes(name, h.ModTime, h.ModTime)
}

func (u *unpacker) finish() error {
	for _, h := range u.dirs {
		err := u.root.Chtimes(h.Name, h.ModTime, h.ModTime)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a later entry replaced it
			return fmt.Errorf("unpack %q: %w", h.Name, err)
		}
	}
	return nil
}

// withDir calls do with a descriptor of the directory dir below root.
func (u *unpacker) withDir(dir string, do func(fd int) error) error {
	d, err := u.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return do(int(d.Fd()))
}

// local makes an archive's name relative. A name that climbs above the
// archive's root is refused, not bent.
func local(name string) (string, error) {
	rel := path.Clean(strings.TrimLeft(name, "/"))
	if !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%w: the name leads outside", errUnsafe)
	}
	return rel, nil
}

package process

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

type entry struct {
	name, link, content string
	kind                byte
	mode                int64
}

func archive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{
			Name: e.name, Linkname: e.link, Typeflag: e.kind, Mode: e.mode, Size: int64(len(e.content)),
			Uid: os.Getuid(), Gid: os.Getgid(), ModTime: time.Unix(1600000000, 0),
		}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tree lists what is below dir, with contents.
func tree(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := info.Mode().String() + " " + rel
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += " " + string(b)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func TestUnpack(t *testing.T) {
	plain := archive(t,
		entry{name: "./", kind: tar.TypeDir, mode: 0o755},
		entry{name: "etc/", kind: tar.TypeDir, mode: 0o750},
		entry{name: "./etc/a", content: "A"},
		entry{name: "/bin/su", content: "S", mode: 0o4755}, // no entry for its directory
		entry{name: "lib", kind: tar.TypeSymlink, link: "usr/lib"},
		entry{name: "usr/lib/", kind: tar.TypeDir, mode: 0o755},
		entry{name: "lib/so", content: "through a link inside"},
		entry{name: "abs", kind: tar.TypeSymlink, link: "/etc/shadow"},
		entry{name: "etc/b", kind: tar.TypeLink, link: "etc/a"},
		entry{name: "etc/a2", content: "old"},
		entry{name: "etc/a2", content: "new"},
		entry{name: "run/pipe", kind: tar.TypeFifo},
	)
	var zipped, zst bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(plain)
	z.Close()
	s, err := zstd.NewWriter(&zst)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.Write(plain)
	s.Close()
	want := []string{
		"-rw-r--r-- etc/a A", "-rw-r--r-- etc/a2 new", "-rw-r--r-- etc/b A", "-rw-r--r-- usr/lib/so through a link inside",
		"Lrwxrwxrwx abs -> /etc/shadow", "Lrwxrwxrwx lib -> usr/lib",
		"drwxr-x--- etc", "drwxr-xr-x bin", "drwxr-xr-x run", "drwxr-xr-x usr", "drwxr-xr-x usr/lib", "prw-r--r-- run/pipe", "urwxr-xr-x bin/su S",
	}
	for name, packed := range map[string][]byte{"plain": plain, "gzip": zipped.Bytes(), "zstd": zst.Bytes()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := unpack(bytes.NewReader(packed), dir, 1<<20); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
				t.Error(diff)
			}
			info, err := os.Stat(filepath.Join(dir, "etc"))
			if err != nil || info.ModTime().Unix() != 1600000000 {
				t.Errorf("etc is of %v, %v", info.ModTime(), err)
			}
		})
	}
}

// TestUnpackStaysInside gives archives that try to write outside; a file
// beside the directory shows whether one did.
func TestUnpackStaysInside(t *testing.T) {
	for name, c := range map[string]struct {
		entries []entry
		fails   bool
	}{
		"dot dot":              {[]entry{{name: "../victim", content: "x"}}, true},
		"dot dot inside":       {[]entry{{name: "a/../../victim", content: "x"}}, true},
		"absolute":             {[]entry{{name: "/../victim", content: "x"}}, true},
		"link then through":    {[]entry{{name: "l", kind: tar.TypeSymlink, link: ".."}, {name: "l/victim", content: "x"}}, true},
		"absolute link":        {[]entry{{name: "l", kind: tar.TypeSymlink, link: "/tmp"}, {name: "l/victim", content: "x"}}, true},
		"link over file":       {[]entry{{name: "l", kind: tar.TypeSymlink, link: "../victim"}, {name: "l", content: "x"}}, false},
		"hard link out":        {[]entry{{name: "h", kind: tar.TypeLink, link: "../victim"}}, true},
		"hard link by symlink": {[]entry{{name: "l", kind: tar.TypeSymlink, link: ".."}, {name: "h", kind: tar.TypeLink, link: "l/victim"}}, true},
		"mode through link":    {[]entry{{name: "l", kind: tar.TypeSymlink, link: "../victim", mode: 0o777}}, false},
		"directory link":       {[]entry{{name: "l", kind: tar.TypeSymlink, link: ".."}, {name: "l/sub/", kind: tar.TypeDir, mode: 0o777}}, true},
		"whiteout outside":     {[]entry{{name: "l", kind: tar.TypeSymlink, link: ".."}, {name: "l/.wh.victim"}}, true},
		"whiteout of dot dot":  {[]entry{{name: ".wh..."}, {name: ".wh.."}}, true},
		"unknown kind":         {[]entry{{name: "s", kind: 'Z'}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			outer := t.TempDir()
			dir, victim := filepath.Join(outer, "root"), filepath.Join(outer, "victim")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(victim, []byte("untouched"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := unpack(bytes.NewReader(archive(t, c.entries...)), dir, 1<<20)
			if (err != nil) != c.fails {
				t.Errorf("error %v, want one: %v", err, c.fails)
			}
			got, err := os.ReadFile(victim)
			info, statErr := os.Stat(victim)
			if err != nil || statErr != nil || string(got) != "untouched" || info.Mode().Perm() != 0o600 || info.Sys().(*syscall.Stat_t).Nlink != 1 {
				t.Errorf("victim: %q %v %v", got, err, info)
			}
			if entries, err := os.ReadDir(outer); err != nil || len(entries) != 2 {
				t.Errorf("outside: %v %v", entries, err)
			}
		})
	}
}

func TestUnpackWhiteouts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("whiteouts are device nodes and trusted attributes, which only root can make")
	}
	dir := t.TempDir()
	if _, err := unpack(bytes.NewReader(archive(t, entry{name: "a/.wh.gone"}, entry{name: "b/.wh..wh..opq"})), dir, 1<<20); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(filepath.Join(dir, "a", "gone"))
	if err != nil || info.Mode()&fs.ModeCharDevice == 0 || info.Sys().(*syscall.Stat_t).Rdev != 0 {
		t.Errorf("whiteout is %v, %v", info, err)
	}
	value := make([]byte, 8)
	n, err := unix.Getxattr(filepath.Join(dir, "b"), "trusted.overlay.opaque", value)
	if err != nil || string(value[:n]) != "y" {
		t.Errorf("opaque mark is %q, %v", value[:max(n, 0)], err)
	}
}

func TestUnpackRefusesBrokenArchives(t *testing.T) {
	good := archive(t, entry{name: "a", content: strings.Repeat("A", 5000)})
	for name, b := range map[string][]byte{
		"cut":      good[:3000],
		"nonsense": []byte("this is no archive, and much longer than a tar header would have to be, or so one should think"),
		"bad gzip": {0x1f, 0x8b, 1, 2, 3},
	} {
		if _, err := unpack(bytes.NewReader(b), t.TempDir(), 1<<20); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	big := archive(t, entry{name: "a", content: strings.Repeat("A", 600_000)}, entry{name: "b", content: strings.Repeat("B", 600_000)})
	if _, err := unpack(bytes.NewReader(big), t.TempDir(), 1<<20); !errors.Is(err, errUnsafe) {
		t.Errorf("got %v for a layer over the limit", err)
	}
	if _, err := unpack(bytes.NewReader(archive(t, entry{name: "../x"})), t.TempDir(), 1<<20); !errors.Is(err, errUnsafe) {
		t.Errorf("got %v, want errUnsafe", err)
	}
}

func FuzzUnpack(f *testing.F) {
	var t testing.T
	f.Add(archive(&t, entry{name: "a/b", content: "x"}, entry{name: "l", kind: tar.TypeSymlink, link: "../.."}, entry{name: "l/c", content: "y"}))
	f.Add([]byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, b []byte) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "root")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		_, _ = unpack(bytes.NewReader(b), dir, 1<<20)
		if entries, err := os.ReadDir(outer); err != nil || len(entries) != 1 {
			t.Fatalf("outside: %v %v", entries, err)
		}
	})
}

package docker

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBlobWatch takes the stamps of a file that is gone.
func TestBlobWatch(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"tmp", "image"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	there := filepath.Join(root, "tmp", blobPrefix+"1")
	if err := os.WriteFile(there, make([]byte, 10), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newBlobWatch(slog.New(slog.DiscardHandler))
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	defer w.notify.file.Close()
	defer w.close()
	before := time.Now()
	if err := w.watch(root); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"other", blobPrefix + "2"} {
		path := filepath.Join(root, "tmp", name)
		if err := os.WriteFile(path, make([]byte, 20), 0o600); err != nil {
			t.Fatal(err)
		}
		w.appeared(name, time.Now()) // as run does
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(there); err != nil {
		t.Fatal(err)
	}
	blobs, since := w.all()
	if len(blobs) != 2 || blobs[0].size+blobs[1].size != 30 {
		t.Fatalf("blobs: %+v, want those of 10 and 20 bytes", blobs)
	}
	for _, b := range blobs {
		if b.created.After(b.written) || b.written.After(b.removed) || b.removed.After(time.Now().Add(grain)) {
			t.Errorf("blob %+v: not in order", b)
		}
	}
	if since.Before(before) {
		t.Errorf("watched since %s, before it was begun", since)
	}
	if len(w.held) != 0 {
		t.Errorf("held: %v", w.held)
	}

	// A daemon that restarts makes its directory anew: what came meanwhile was missed.
	if err := os.Rename(filepath.Join(root, "tmp"), filepath.Join(root, "tmp-old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(root, "tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := w.watch(root); err != nil {
		t.Fatal(err)
	}
	if _, again := w.all(); !again.After(since) {
		t.Error("the new directory counts as watched before it was")
	}
}

// FuzzTake reads what a kernel may send.
func FuzzTake(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, unix.SizeofInotifyEvent))
	named := append(make([]byte, unix.SizeofInotifyEvent), []byte("GetImageBlob1\x00\x00\x00")...)
	named[4], named[5], named[12] = 0, 1, 16 // IN_CREATE
	f.Add(named)
	w := newBlobWatch(slog.New(slog.DiscardHandler))
	w.dir = f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		w.take(b)
		if len(w.held) > 0 {
			t.Error("held a file that is not there")
		}
	})
}

// FuzzManifest reads what a registry may have sent.
func FuzzManifest(f *testing.F) {
	const digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	f.Add([]byte(`{"config":{"digest":"sha256:1","size":3},"layers":[{"digest":"sha256:2","size":4}]}`))
	f.Add([]byte(`{"manifests":[{"digest":"` + digest + `"}]}`)) // names itself
	s := &store{content: []string{f.TempDir()}}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(filepath.Join(s.content[0], digest[len("sha256:"):]), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if m := s.manifest(digest, "sha256:1"); m != nil && m.Config.Digest != "sha256:1" {
			t.Errorf("manifest of another image: %+v", m)
		}
		_ = s.read("sha256:1", "x@"+digest, []string{"sha256:a", "../../etc/passwd", ""})
	})
}

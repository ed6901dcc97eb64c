package notify

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run runs n and gives what it tells.
func run(t *testing.T, n *Notifier) <-chan []string {
	t.Helper()
	told := make(chan []string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		n.Run(ctx, func(dirs []string, _ bool) { told <- dirs })
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return told
}

func TestDir(t *testing.T) {
	n, err := New()
	if err != nil {
		t.Skipf("no inotify here: %v", err)
	}
	told := run(t, n)
	dir := t.TempDir()
	n.Dir(dir)
	n.Dir(dir)
	if err := os.WriteFile(filepath.Join(dir, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := <-told; !slices.Equal(got, []string{dir}) {
		t.Errorf("told %v", got)
	}
	// A directory that is made again under its name is watched again.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for gone := false; !gone; {
		n.mu.Lock()
		_, known := n.known[dir]
		n.mu.Unlock()
		gone = !known
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	n.Dir(dir)
	for len(told) > 0 {
		<-told
	}
	if err := os.Mkdir(filepath.Join(dir, "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := <-told; !slices.Equal(got, []string{dir}) {
		t.Errorf("told %v", got)
	}
}

func TestFile(t *testing.T) {
	n, err := New()
	if err != nil {
		t.Skipf("no inotify here: %v", err)
	}
	run(t, n)
	path := filepath.Join(t.TempDir(), "log")
	w, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// The descriptor counts and not the name.
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	woken := make(chan struct{}, 10)
	for range 3 {
		if !n.File(r, func() { woken <- struct{}{} }) {
			t.Fatal("not watched")
		}
		for range 5 { // only the first counts
			if _, err := w.WriteString("line\n"); err != nil {
				t.Fatal(err)
			}
		}
		<-woken
	}
	if len(woken) > 0 {
		t.Error("woken more than once")
	}
}

func TestNoDescriptor(t *testing.T) {
	n := &Notifier{}
	if n.Works() {
		t.Error("works without a descriptor")
	}
	n.Dir(t.TempDir())
	if n.File(os.Stdin, func() {}) {
		t.Error("promises a call")
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

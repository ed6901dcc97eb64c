package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/faas"
)

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// scanNames gives what a scan finds, as paths below root.
func scanNames(t *testing.T, s *Scanner, root string, full bool) (names []string, gens []*Generation) {
	t.Helper()
	err := s.Scan(full, func(g *Generation) {
		rel, _ := filepath.Rel(root, g.Path)
		names = append(names, rel)
		gens = append(gens, g)
		t.Cleanup(func() { g.File.Close() })
	})
	if err != nil {
		t.Fatal(err)
	}
	return names, gens
}

func TestCRI(t *testing.T) {
	root := t.TempDir()
	pod := "shop_cart-v7_0f-1a"
	for _, name := range []string{
		"0.log", "1.log", "0.log.20261123-045159", "0.log.20261123-035159", "0.log.20261122-000000.gz", "0.log.20261123-045159.tmp", "notes.txt",
	} {
		touch(t, filepath.Join(root, pod, "cart", name))
	}
	touch(t, filepath.Join(root, "README"))
	touch(t, filepath.Join(root, "no-pod", "c", "0.log"))
	s := New(Options{CRI: []string{root, filepath.Join(root, "missing")}, Tenant: "t"})
	names, gens := scanNames(t, s, filepath.Join(root, pod, "cart"), false)
	if diff := cmp.Diff([]string{"0.log.20261123-035159", "0.log.20261123-045159", "0.log", "1.log"}, names); diff != "" {
		t.Error(diff)
	}
	want := faas.Ref{Tenant: "t", Namespace: "shop", Function: "cart", Version: "v7", Instance: "0f-1a"}
	if c := gens[0].Container; c.Ref != want || c.Kind != CRI || c.Owner != "0f-1a/cart" {
		t.Errorf("container %+v", c)
	}
	if again, _ := scanNames(t, s, root, true); len(again) != 0 {
		t.Errorf("found again: %v", again)
	}
}

func TestVersionWithoutPrefix(t *testing.T) {
	s := New(Options{})
	for path, want := range map[string]string{
		"/r/ns_cart-v7_u/cart": "v7", "/r/ns_other_u/cart": "other", "/r/ns_a_b_u/a": "a_b", "/r/ns_cart_u/cart": "cart",
	} {
		c, err := s.criContainer(path)
		if err != nil || c.Ref.Version != want || c.Ref.Instance != "u" {
			t.Errorf("%s: %+v, %v", path, c, err)
		}
	}
}

func TestDocker(t *testing.T) {
	root := t.TempDir()
	id := strings.Repeat("ab", 32)
	dir := filepath.Join(root, id)
	for _, name := range []string{"-json.log", "-json.log.1", "-json.log.2", "-json.log.3.gz", "-json.log.10"} {
		touch(t, filepath.Join(dir, id+name))
	}
	touch(t, filepath.Join(dir, "hostname"))
	s := New(Options{Docker: []string{root}, Tenant: "t"})
	if names, _ := scanNames(t, s, dir, false); len(names) != 0 {
		t.Fatalf("found before it is known whose they are: %v", names)
	}
	config := `{"ID":"` + id + `","Name":"/web","Config":{"Labels":{"dev.coldscope.tenant":"acme","dev.coldscope.namespace":"ns",` +
		`"dev.coldscope.function":"f","dev.coldscope.version":"v","dev.coldscope.instance":"i"}},"State":{}}`
	if err := os.WriteFile(filepath.Join(dir, "config.v2.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	names, gens := scanNames(t, s, dir, false)
	want := []string{id + "-json.log.10", id + "-json.log.2", id + "-json.log.1", id + "-json.log"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	ref := faas.Ref{Tenant: "acme", Namespace: "ns", Function: "f", Version: "v", Instance: "i"}
	if c := gens[0].Container; c.Ref != ref || c.Owner != id {
		t.Errorf("container %+v", c)
	}
}

func TestDockerWithoutLabel(t *testing.T) {
	root := t.TempDir()
	touch(t, filepath.Join(root, "abc", "abc-json.log"))
	config := filepath.Join(root, "abc", "config.v2.json")
	if err := os.WriteFile(config, []byte(`{"Name":"/postgres","Config":{"Labels":null}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if names, _ := scanNames(t, New(Options{Docker: []string{root}}), root, true); len(names) != 0 {
		t.Errorf("found %v", names)
	}
	_, gens := scanNames(t, New(Options{Docker: []string{root}, Unlabelled: true, Tenant: "t"}), root, true)
	if len(gens) != 1 || gens[0].Container.Ref != (faas.Ref{Tenant: "t", Function: "postgres", Instance: "abc"}) {
		t.Errorf("found %+v", gens)
	}
}

// Every generation is found, once, however files are renamed between scans.
func TestRotation(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "ns_f-v1_u", "f")
	touch(t, filepath.Join(dir, "0.log"))
	s := New(Options{CRI: []string{root}})
	found := 0
	for i := range 20 {
		names, _ := scanNames(t, s, dir, false)
		found += len(names)
		if err := os.Rename(filepath.Join(dir, "0.log"), filepath.Join(dir, fmt.Sprintf("0.log.20261123-%06d", i))); err != nil {
			t.Fatal(err)
		}
		touch(t, filepath.Join(dir, "0.log"))
	}
	names, _ := scanNames(t, s, dir, false)
	if found += len(names); found != 21 {
		t.Errorf("found %d generations of 21", found)
	}
}

// An inode is somebody else's once its file is deleted and closed.
func TestInodeReuse(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "ns_f-v1_u", "f", "0.log")
	s := New(Options{CRI: []string{root}})
	for range 20 {
		touch(t, path)
		_, gens := scanNames(t, s, root, true)
		if len(gens) != 1 {
			t.Fatalf("found %d", len(gens))
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		s.Forget(gens[0])
		gens[0].File.Close()
	}
}

// What is no regular file is not opened as one, and blocks nobody.
func TestNoFile(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "ns_f-v1_u", "f")
	if err := os.MkdirAll(filepath.Join(dir, "1.log"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "0.log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "2.log")); err != nil {
		t.Fatal(err)
	}
	if names, _ := scanNames(t, New(Options{CRI: []string{root}}), root, true); len(names) != 0 {
		t.Errorf("found %v", names)
	}
}

func TestJournalOrder(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"00000010.log", "00000009.log", "x.log", "00000011.tmp"} {
		touch(t, filepath.Join(dir, name))
	}
	names, _ := scanNames(t, New(Options{Journal: dir}), dir, false)
	if diff := cmp.Diff([]string{"00000009.log", "00000010.log"}, names); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkScanIdle(b *testing.B) {
	root := b.TempDir()
	const containers = 500
	for i := range containers {
		dir := filepath.Join(root, fmt.Sprintf("ns_f-v1_u%d", i), "f")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "0.log"), nil, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	s := New(Options{CRI: []string{root}})
	find := func(g *Generation) { g.File.Close() }
	if err := s.Scan(true, find); err != nil {
		b.Fatal(err)
	}
	for _, d := range s.dirs { // as if a second had passed
		d.believed = true
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Scan(false, find); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/containers, "µs/container")
}

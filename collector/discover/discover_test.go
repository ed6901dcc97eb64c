package discover

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
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

// scanner makes a Scanner of tenant t with the mapping of the given presets.
func scanner(t testing.TB, opts Options, presets ...string) *Scanner {
	t.Helper()
	m, err := workload.NewMapper(workload.Options{Tenant: "t", Presets: presets})
	if err != nil {
		t.Fatal(err)
	}
	opts.Tenant, opts.Whose = "t", m.Ref
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
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
	s := scanner(t, Options{CRI: []string{root, filepath.Join(root, "missing")}})
	names, gens := scanNames(t, s, filepath.Join(root, pod, "cart"), false)
	if diff := cmp.Diff([]string{"0.log.20261122-000000.gz", "0.log.20261123-035159", "0.log.20261123-045159", "0.log", "1.log"}, names); diff != "" {
		t.Error(diff)
	}
	want := faas.Ref{Tenant: "t", Namespace: "shop", Function: "cart", Version: "v7", Instance: "0f-1a"}
	if c := gens[0].Container; c.Ref != want || gens[0].Format != CRI || !gens[0].Compressed || c.Owner != "0f-1a/cart" {
		t.Errorf("container %+v", c)
	}
	if again, _ := scanNames(t, s, root, true); len(again) != 0 {
		t.Errorf("found again: %v", again)
	}
}

// What a runtime knows of a pod's container decides, and is waited for.
func TestKnown(t *testing.T) {
	root := t.TempDir()
	touch(t, filepath.Join(root, "shop_cart-00001-deployment-xyz_1f4b3a52-6d0e-4c53-9a51-2f9f0f3c6a10", "user-container", "0.log"))
	touch(t, filepath.Join(root, "shop_cart-00001-deployment-xyz_1f4b3a52-6d0e-4c53-9a51-2f9f0f3c6a10", "queue-proxy", "0.log"))
	var labels map[string]string
	s := scanner(t, Options{
		CRI: []string{root}, Wait: time.Minute,
		Known: func(uid, name string) (*workload.Container, bool) {
			return &workload.Container{ID: "c1", Name: name, Labels: labels, Pod: workload.Pod{UID: uid, Namespace: "shop"}}, labels != nil
		},
	})
	now := time.Now()
	s.now = func() time.Time { return now }
	if names, _ := scanNames(t, s, root, false); len(names) != 0 {
		t.Fatalf("found before it is known whose they are: %v", names)
	}
	labels = map[string]string{"serving.knative.dev/service": "cart", "serving.knative.dev/revision": "cart-00001"}
	_, gens := scanNames(t, s, root, false)
	want := faas.Ref{Tenant: "t", Namespace: "shop", Function: "cart", Version: "cart-00001", Instance: "1f4b3a52-6d0e-4c53-9a51-2f9f0f3c6a10"}
	if len(gens) != 1 || gens[0].Container.Ref != want || gens[0].Container.ID != "c1" {
		t.Fatalf("found %+v", gens)
	}
	// A runtime that does not know it in time has had its chance.
	labels = nil
	touch(t, filepath.Join(root, "shop_other_2f4b3a52-6d0e-4c53-9a51-2f9f0f3c6a10", "c", "0.log"))
	if names, _ := scanNames(t, s, root, true); len(names) != 0 {
		t.Fatalf("not waited: %v", names)
	}
	now = now.Add(2 * time.Minute)
	if _, gens := scanNames(t, s, root, true); len(gens) != 1 || gens[0].Container.Ref.Function != "c" {
		t.Fatalf("found %+v", gens)
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
	s := scanner(t, Options{Docker: []string{root}})
	if names, _ := scanNames(t, s, dir, false); len(names) != 0 {
		t.Fatalf("found before it is known whose they are: %v", names)
	}
	config := `{"ID":"` + id + `","Name":"/web","Config":{"Labels":{"dev.coldscope.tenant":"acme","dev.coldscope.namespace":"ns",` +
		`"dev.coldscope.function":"f","dev.coldscope.version":"v","dev.coldscope.instance":"i"}},"State":{}}`
	if err := os.WriteFile(filepath.Join(dir, "config.v2.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	names, gens := scanNames(t, s, dir, false)
	want := []string{id + "-json.log.10", id + "-json.log.3.gz", id + "-json.log.2", id + "-json.log.1", id + "-json.log"}
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
	if names, _ := scanNames(t, scanner(t, Options{Docker: []string{root}}), root, true); len(names) != 0 {
		t.Errorf("found %v", names)
	}
	_, gens := scanNames(t, scanner(t, Options{Docker: []string{root}}, "coldscope", "docker"), root, true)
	if len(gens) != 1 || gens[0].Container.Ref != (faas.Ref{Tenant: "t", Function: "postgres", Instance: "abc"}) {
		t.Errorf("found %+v", gens)
	}
}

// Every generation is found, once, however files are renamed between scans.
func TestRotation(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "ns_f-v1_u", "f")
	touch(t, filepath.Join(dir, "0.log"))
	s := scanner(t, Options{CRI: []string{root}})
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

// A file that is rotated away after the directory was listed is handed over
// before the one that was opened in its place: a line may go on from it.
func TestRotationMeanwhile(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "ns_f-v1_u", "f")
	touch(t, filepath.Join(dir, "0.log"))
	s := scanner(t, Options{CRI: []string{root}})
	whose := s.opts.Whose
	s.opts.Whose = func(c *workload.Container) (faas.Ref, bool) { // is asked between the two
		if err := os.Rename(filepath.Join(dir, "0.log"), filepath.Join(dir, "0.log.20261123-000000")); err != nil {
			t.Error(err)
		}
		touch(t, filepath.Join(dir, "0.log"))
		return whose(c)
	}
	names, _ := scanNames(t, s, dir, false)
	if diff := cmp.Diff([]string{"0.log.20261123-000000", "0.log"}, names); diff != "" {
		t.Error(diff)
	}
}

// An inode is somebody else's once its file is deleted and closed.
func TestInodeReuse(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "ns_f-v1_u", "f", "0.log")
	s := scanner(t, Options{CRI: []string{root}})
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
	if names, _ := scanNames(t, scanner(t, Options{CRI: []string{root}}), root, true); len(names) != 0 {
		t.Errorf("found %v", names)
	}
}

func TestJournalOrder(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"00000010.log", "00000009.log", "x.log", "00000011.tmp"} {
		touch(t, filepath.Join(dir, name))
	}
	names, _ := scanNames(t, scanner(t, Options{Journal: dir}), dir, false)
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
	s := scanner(b, Options{CRI: []string{root}})
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

func TestLocalDriver(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "abc")
	for _, name := range []string{"container.log", "container.log.1.gz", "container.log.2.gz", "other"} {
		touch(t, filepath.Join(dir, "local-logs", name))
	}
	if err := os.WriteFile(filepath.Join(dir, "config.v2.json"), []byte(`{"Config":{"Labels":{"dev.coldscope.function":"f"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	names, gens := scanNames(t, scanner(t, Options{Docker: []string{root}}), filepath.Join(dir, "local-logs"), false)
	if diff := cmp.Diff([]string{"container.log.2.gz", "container.log.1.gz", "container.log"}, names); diff != "" {
		t.Fatal(diff)
	}
	if g := gens[0]; g.Format != Local || !g.Compressed || g.Container.Owner != "abc" || gens[2].Compressed {
		t.Errorf("found %+v", g)
	}
}

func TestFiles(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{
		"shop/cart/app.log", "shop/cart/app.log.1", "shop/cart/app.log.2.gz", "shop/cart/app.log.10", "shop/cart/app.log.bak", "shop/cart/app.log-x",
		"shop/pay/app.log-20261101", "shop/pay/app.log", "shop/pay/app.log-20261031.gz", "shop/pay/debug.log", "shop/pay/notes.txt", "app.log",
	} {
		touch(t, filepath.Join(root, name))
	}
	s := scanner(t, Options{Files: []Files{
		{Paths: []string{root + "/*/*/*.log"}, Exclude: []string{"debug.*"}, Namespace: "{1}", Function: "{2}-{name}", Version: "v1"},
		{Paths: []string{root + "/shop/pay/*.txt"}, Format: "cri", Instance: "{dir}"},
	}})
	byLog := map[string][]string{}
	refs := map[string]faas.Ref{}
	_, gens := scanNames(t, s, root, false)
	for _, g := range gens {
		key, _ := filepath.Rel(root, g.Container.Key)
		byLog[key] = append(byLog[key], filepath.Base(g.Path))
		refs[key] = g.Container.Ref
		if g.Compressed != strings.HasSuffix(g.Path, ".gz") {
			t.Errorf("%s: compressed %t", g.Path, g.Compressed)
		}
	}
	if diff := cmp.Diff(map[string][]string{
		"shop/cart/app.log":  {"app.log.10", "app.log.2.gz", "app.log.1", "app.log"},
		"shop/pay/app.log":   {"app.log-20261031.gz", "app.log-20261101", "app.log"},
		"shop/pay/notes.txt": {"notes.txt"},
	}, byLog); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]faas.Ref{
		"shop/cart/app.log":  {Tenant: "t", Namespace: "shop", Function: "cart-app", Version: "v1", Instance: root + "/shop/cart/app.log"},
		"shop/pay/app.log":   {Tenant: "t", Namespace: "shop", Function: "pay-app", Version: "v1", Instance: root + "/shop/pay/app.log"},
		"shop/pay/notes.txt": {Tenant: "t", Function: "notes", Instance: "pay"},
	}, refs); diff != "" {
		t.Error(diff)
	}
	if names, _ := scanNames(t, s, root, true); len(names) != 0 {
		t.Errorf("found again: %v", names)
	}
	for _, bad := range []Files{{}, {Paths: []string{"a/*.log"}}, {Paths: []string{"/a/[.log"}}, {Paths: []string{"/a"}, Format: "xml"}, {Paths: []string{"/a"}, Exclude: []string{"["}}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// A look at the directories that have changed finds what a scan would find.
func TestLook(t *testing.T) {
	root := t.TempDir()
	var watched []string
	s := scanner(t, Options{
		CRI: []string{filepath.Join(root, "pods")}, Docker: []string{filepath.Join(root, "docker")},
		Files: []Files{{Paths: []string{root + "/files/*/*.log"}}},
		Watch: func(dir string) { watched = append(watched, dir) },
	})
	touch(t, filepath.Join(root, "pods/ns_f_u/f/0.log"))
	touch(t, filepath.Join(root, "docker/abc/x"))
	touch(t, filepath.Join(root, "files/a/a.log"))
	if err := os.WriteFile(filepath.Join(root, "docker/abc/config.v2.json"), []byte(`{"Config":{"Labels":{"dev.coldscope.function":"f"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	scanNames(t, s, root, false)
	for _, c := range []struct{ changed, file string }{
		{"pods/ns_f_u/f", "pods/ns_f_u/f/1.log"},
		{"pods/ns_f_u", "pods/ns_f_u/g/0.log"},
		{"pods", "pods/ns_f_v/f/0.log"},
		{"docker/abc", "docker/abc/abc-json.log"},
		{"files", "files/b/b.log"},
		{"files/b", "files/b/c.log"},
	} {
		if !slices.Contains(watched, filepath.Join(root, c.changed)) {
			t.Errorf("%s is not watched", c.changed)
		}
		touch(t, filepath.Join(root, c.file))
		var got []string
		s.Look([]string{filepath.Join(root, c.changed), root}, func(g *Generation) {
			defer g.File.Close()
			rel, _ := filepath.Rel(root, g.Path)
			got = append(got, rel)
		})
		if diff := cmp.Diff([]string{c.file}, got); diff != "" {
			t.Error(diff)
		}
	}
	if names, _ := scanNames(t, s, root, true); len(names) != 0 {
		t.Errorf("a scan finds more: %v", names)
	}
}

func TestSpool(t *testing.T) {
	dir := t.TempDir()
	want := Saved{ID: 1<<63 + 1, Format: Local, Offset: 77, Key: "/k", Owner: "o", Path: "/p", Ref: faas.Ref{Tenant: "t", Function: "f", Instance: "i"}}
	head, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.spool"), append(head, "bytes of the log"...), 0o600); err != nil {
		t.Fatal(err)
	}
	s := scanner(t, Options{Spool: dir})
	_, gens := scanNames(t, s, dir, false)
	if len(gens) != 1 {
		t.Fatalf("found %+v", gens)
	}
	want.Version, want.Header = 1, int64(len(head))
	if diff := cmp.Diff(&want, gens[0].Saved); diff != "" {
		t.Error(diff)
	}
	touch(t, filepath.Join(dir, "bad.spool"))
	if err := s.Scan(true, func(g *Generation) { t.Errorf("found %s", g.Path) }); err == nil {
		t.Error("a damaged piece is not told")
	}
}

// A root that appears later is seen as soon as one that was there.
func TestAwait(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "var", "log", "pods")
	watched := map[string]bool{}
	s := scanner(t, Options{CRI: []string{root}, Watch: func(dir string) { watched[dir] = true }})
	scanNames(t, s, root, false)
	if !watched[top] {
		t.Fatal("nothing above the root is watched")
	}
	look := func(dir string) (n int) {
		s.Look([]string{dir}, func(g *Generation) { g.File.Close(); n++ })
		return n
	}
	if err := os.MkdirAll(filepath.Join(top, "var", "log"), 0o755); err != nil {
		t.Fatal(err)
	}
	if look(top) != 0 || !watched[filepath.Join(top, "var", "log")] {
		t.Fatal("the way down is not followed")
	}
	touch(t, filepath.Join(root, "ns_f_u", "f", "0.log"))
	if n := look(filepath.Join(top, "var", "log")); n != 1 || !watched[root] {
		t.Errorf("found %d", n)
	}
}

// A root that somebody names later is looked through too, once.
func TestMoreDocker(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for _, root := range []string{first, second} {
		touch(t, filepath.Join(root, "abc", "abc-json.log"))
		if err := os.WriteFile(filepath.Join(root, "abc", "config.v2.json"), []byte(`{"Config":{"Labels":{"dev.coldscope.function":"f"}}}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var more string
	s := scanner(t, Options{Docker: []string{first}, MoreDocker: func() string { return more }})
	for _, c := range []struct {
		more string
		want int
	}{{"", 1}, {first, 0}, {second, 1}, {second, 0}} {
		more = c.more
		if names, _ := scanNames(t, s, first, true); len(names) != c.want {
			t.Errorf("with %q: found %v", c.more, names)
		}
	}
}

// One directory may be a root of several layouts.
func TestOneRoot(t *testing.T) {
	root := t.TempDir()
	s := scanner(t, Options{CRI: []string{root}, Docker: []string{root}, Files: []Files{{Paths: []string{root + "/*.log"}}}, Watch: func(string) {}})
	scanNames(t, s, root, false)
	touch(t, filepath.Join(root, "ns_f_u", "f", "0.log"))
	touch(t, filepath.Join(root, "plain.log"))
	if err := os.MkdirAll(filepath.Join(root, "abc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "abc", "config.v2.json"), []byte(`{"Config":{"Labels":{"dev.coldscope.function":"f"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	touch(t, filepath.Join(root, "abc", "abc-json.log"))
	n := 0
	s.Look([]string{root}, func(g *Generation) { g.File.Close(); n++ })
	if n != 3 {
		t.Errorf("found %d of 3", n)
	}
}

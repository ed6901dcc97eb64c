package checkpoint

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/durable"
	"github.com/coldscope/coldscope/internal/faas"
)

var seen = time.Unix(1_790_000_000, 0)

func TestSaveAndOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	want := Entry{
		Offset: 10, Guard: 0xfedcba9876543211, Read: 20, Head: 3, Key: "/k", Dev: 4, Inode: 5,
		Path: "/p", Ref: faas.Ref{Tenant: "t", Instance: "i"}, Seen: seen,
		Lines: Counts{Lines: 7, LateLines: 1, From: seen.UTC()}, LinesAt: 9,
	}
	s.Set(0xfedcba9876543210, want)
	s.Set(2, Entry{Offset: 1, Seen: seen})
	s.Delete(2)
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(path); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Get(0xfedcba9876543210); !ok || !cmp.Equal(got, want) {
		t.Errorf("got %+v, %v", got, ok)
	}
	if _, ok := s.Get(2); ok {
		t.Error("a deleted entry came back")
	}
}

func TestSaveOnlyChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint")
	s, _ := Open(path)
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("nothing was saved to a file")
	}
	s.Set(1, Entry{Offset: 5, Seen: seen})
	_ = s.Save()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.Set(1, Entry{Offset: 5, Seen: seen.Add(time.Minute)})
	_ = s.Save()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("a mere look was saved")
	}
}

func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint")
	for name, write := range map[string]func() error{
		"no checked file": func() error { return os.WriteFile(path, []byte("{}"), 0o600) },
		"empty":           func() error { return os.WriteFile(path, nil, 0o600) },
		"no JSON":         func() error { return durable.WriteFile(path, []byte("{"), 0o600) },
		"newer":           func() error { return durable.WriteFile(path, []byte(`{"version":2,"files":{}}`), 0o600) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path)
		if err == nil {
			t.Errorf("%s: no warning", name)
		}
		s.Set(1, Entry{Offset: 1, Seen: seen})
		if err := s.Save(); err != nil {
			t.Errorf("%s: cannot be used: %v", name, err)
		}
		if _, err := Open(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The format of version 1 stays readable.
func TestOldFormat(t *testing.T) {
	s, err := Open("testdata/v1")
	if err != nil {
		t.Fatal(err)
	}
	want := Entry{
		Offset: 4096, Read: 8192, Path: "/var/log/pods/ns_hello-v1_uid/hello/0.log", Ref: faas.Ref{Instance: "uid"}, Seen: time.Unix(1_790_000_000, 0),
	}
	if got, _ := s.Get(0x00ab54a98ceb1f0a); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

func TestFind(t *testing.T) {
	s, _ := Open(filepath.Join(t.TempDir(), "checkpoint"))
	s.Set(1, Entry{Path: "old"})
	s.Set(2, Entry{Path: "new"})
	got := s.Find(func(_ uint64, e *Entry) bool { return e.Path == "old" })
	if diff := cmp.Diff(map[uint64]Entry{1: {Path: "old"}}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzOpen(f *testing.F) {
	old, err := os.ReadFile("testdata/v1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(old)
	f.Add([]byte("coldscope-file 1 00000000 2\n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "checkpoint")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path)
		if err != nil && len(s.entries) > 0 {
			t.Error("a damaged checkpoint is believed")
		}
		s.Set(1, Entry{Offset: 1, Seen: seen})
		if err := s.Save(); err != nil {
			t.Error(err)
		}
	})
}

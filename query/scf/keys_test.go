package scf_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
	"github.com/coldscope/coldscope/query/scf"
)

func TestBadKeys(t *testing.T) {
	const good = "keys:\n- {name: a, secret_id: ID, secret_key: 0123456789abcdef, tenant: acme}\n"
	for text, want := range map[string][]string{
		"keys: []\n":    {"lists none"},
		"":              {"lists none"},
		"keys:\n- {}\n": {"keys[0].name: want", "keys[0].secret_id: want", "keys[0].secret_key: want at least 16", "keys[0].tenant: an empty name"},
		"keys:\n- {name: a, secret_id: a/b, secret_key: very-secret, tenant: '*', expires: soon}\n": {
			":2:24: keys[0].secret_id: want letters", ":2:41: keys[0].secret_key: want at least", `keys[0].tenant: "*" is no tenant`, "keys[0].expires: want a time",
		},
		good + "- {name: a, secret_id: ID, secret_key: 0123456789abcdef, tenant: acme}\n": {`:3:10: keys[1].name: "a" is there twice`, "keys[1].secret_id: another key has the same"},
		"keyz:\n": {"unknown field"}, "keys:\n- {name: a, secret: very-secret-as-it-is}\n": {"unknown field"},
	} {
		path := filepath.Join(t.TempDir(), "keys.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := scf.OpenKeys(path, discard(), prometheus.NewRegistry())
		if err == nil {
			t.Errorf("taken:\n%s", text)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q\nsays %v\nwithout %s", text, err, w)
			}
		}
		if strings.Contains(err.Error(), "very-secret") {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
	path := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[os.FileMode]string{0o644: "read the secrets", 0o602: "write", 0o640: ""} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := scf.OpenKeys(path, discard(), prometheus.NewRegistry())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%o: %v, want %q", mode, err, want)
		}
	}
}

// buffer is a log that is read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestReloadKeys: a changed file counts, a wrong one does not.
func TestReloadKeys(t *testing.T) {
	var log buffer
	path := filepath.Join(t.TempDir(), "keys.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(keyFile)
	keys, err := scf.OpenKeys(path, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- keys.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	h, err := scf.New(read.New(readtest.DB(t)), keys, turnAlways, discard(), time.Now, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	in := func(id, key string) bool {
		s := valid()
		s.id, s.key = id, key
		return ask(t, h, s.request(t)).Response.Error == nil
	}
	if !in(secretID, secretKey) || in("AKIDnew", "the-new-secret-key") {
		t.Fatal("the first file is not in use")
	}
	write("keys:\n- {name: new, secret_id: AKIDnew, secret_key: the-new-secret-key, tenant: default}\n")
	eventually(t, "the second file", func() bool { return in("AKIDnew", "the-new-secret-key") })
	if in(secretID, secretKey) {
		t.Error("a key that was taken back is good")
	}
	write("keys:\n- {name: new, secret_id: AKIDnew, secret_key: short, tenant: default}\n")
	eventually(t, "the wrong file is refused", func() bool { return strings.Contains(log.String(), "want at least 16") })
	if !in("AKIDnew", "the-new-secret-key") {
		t.Error("the wrong file took its key along")
	}
	if s := log.String(); !strings.Contains(s, `audit="reload file of SCF keys"`) || !strings.Contains(s, "added=[new] removed=\"[default expired other]\"") || strings.Contains(s, "secret-key") {
		t.Errorf("the log:\n%s", s)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

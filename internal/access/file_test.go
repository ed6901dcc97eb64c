package access_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/internal/access"
)

func TestBadFiles(t *testing.T) {
	secret := token(t, "x", "acme", access.Read).Token
	for text, want := range map[string][]string{
		"tokens:\n- {name: a, sha256: " + secret + ", tenants: [acme], scopes: [read]}\n":                                {":2:21: tokens[0].sha256: want the SHA-256"},
		"tokens:\n- name: a\n  token: " + secret + "\n":                                                                  {":3:3: unknown field \"token\""},
		"tokens:\n- " + secret + "\n":                                                                                    {":2:3:"},
		"tokens:\n- name: a\n  sha256: zz\n  tenants: ['a b', ..]\n  scopes: [read, write]\n  expires: " + secret + "\n": {":3:11: tokens[0].sha256", `:4:13: tokens[0].tenants[0]: "a b" has more`, `:4:20: tokens[0].tenants[1]: ".." is no`, `:5:18: tokens[0].scopes[1]: "write" is none of`, ":6:12: tokens[0].expires: want a time"},
		"tokens:\n- {}\n": {"tokens[0].name: want", "tokens[0].tenants: want", "tokens[0].scopes: want", "tokens[0].sha256: want"},
		"certificates:\n- {name: a, tenants: [a], scopes: [read]}\n": {"certificates[0].subject: want"},
		"tokens: []\n": {"nobody could do anything"},
		"# nothing\n":  {"nobody could do anything"},
		"a: [\n":       {":"},
		"certificates:\n- {name: a, subject: a, tenants: [a], scopes: [read]}\n- {name: a, subject: b, tenants: [a], scopes: [read]}\n": {":3:10: certificates[1].name: \"a\" is there twice"},
	} {
		path := filepath.Join(t.TempDir(), "access.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := access.New(access.Config{File: path}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err == nil {
			t.Errorf("taken:\n%s", text)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q\nsays %v\nwithout %s", text, err, w)
			}
		}
		if strings.Contains(err.Error(), secret[12:]) {
			t.Errorf("the error shows a token: %v", err)
		}
	}
	path := file(t, "", token(t, "x", "acme", access.Read))
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := access.New(access.Config{File: path}, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err == nil || !strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("a file that everybody can write: %v", err)
	}
	if _, err := access.New(access.Config{File: "/nowhere"}, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); err == nil {
		t.Error("a missing file is no error")
	}
}

func TestReload(t *testing.T) {
	var log buffer
	first, second := token(t, "first", "acme", access.Read), token(t, "second", "acme", access.Read)
	path := file(t, "", first)
	g := guard(t, access.Config{File: path}, &log)
	h := g.Wrap(echo)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	code := func(tok *access.Token) int {
		return ask(t, h, "GET", "/api/v1/requests", headers{"Authorization": bearer(tok)}).Code
	}
	if code(first) != 200 || code(second) != 401 {
		t.Fatal("the first file is not in use")
	}
	write(t, path, "", second)
	eventually(t, "the second file", func() bool { return code(second) == 200 })
	if code(first) != 401 {
		t.Error("a token that was taken back is good")
	}
	if s := log.String(); !strings.Contains(s, `audit="reload access file" who="" tenant="" outcome=done`) || !strings.Contains(s, "added=[second] removed=[first]") {
		t.Errorf("the log does not say so:\n%s", s)
	}

	write(t, path, "tokenz: "+first.Token+"\n", second)
	eventually(t, "the bad file is refused", func() bool { return strings.Contains(log.String(), "unknown field") })
	if s := log.String(); code(second) != 200 || !strings.Contains(s, ":3:1: ") || strings.Contains(s, first.Token) {
		t.Errorf("after a bad file: %d\n%s", code(second), s)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return strings.Contains(log.String(), "no such file") })
	if code(second) != 200 {
		t.Error("the file that is gone took its tokens along")
	}
	write(t, path, "", first, second)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is back", func() bool { return code(first) == 200 && code(second) == 200 })
	if n := strings.Count(log.String(), "unknown field"); n != 1 {
		t.Errorf("the bad file was told of %d times", n)
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

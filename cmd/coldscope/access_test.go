package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coldscope/coldscope/cmd/internal/collectorcmd"
	"github.com/coldscope/coldscope/internal/access"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// output is what a command prints, while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

// executed is a command that runs until the test ends it.
type executed struct{ stdout, stderr output }

type command interface {
	SetOut(io.Writer)
	SetErr(io.Writer)
	SetArgs([]string)
	ExecuteContext(context.Context) error
}

func execute(t *testing.T, cmd command, args ...string) *executed {
	t.Helper()
	e := new(executed)
	cmd.SetOut(&e.stdout)
	cmd.SetErr(&e.stderr)
	cmd.SetArgs(args)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s:\n%s", args[0], e.stderr.String())
		}
	})
	return e
}

func (e *executed) url(t *testing.T) (url string) {
	t.Helper()
	eventually(t, "it is ready", func() (ready bool) {
		url, ready = strings.CutPrefix(strings.TrimSpace(e.stdout.String()), "ready ")
		return ready
	})
	return url
}

// print runs a command that ends by itself and gives what it prints.
func print(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out output
	cmd := root(&out, io.Discard)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// certificate writes one for 127.0.0.1, which is its own authority.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	pair := s.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return cert, key
}

func newToken(t *testing.T, args ...string) access.Token {
	t.Helper()
	out, err := print(t, append([]string{"token", "new", "-o", "json"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	var made access.Token
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	return made
}

// TestTLSAndTokens runs everything in one process behind TLS and tokens, and a
// collector that ships to it, and takes tokens back and gives them again.
func TestTLSAndTokens(t *testing.T) {
	dir := t.TempDir()
	_, dsn := clickhousetest.DB(t)
	cert, key := certificate(t, dir)
	collectors := newToken(t, "--name", "collectors", "--tenant", "*", "--scope", "push")
	reader := newToken(t, "--name", "reader", "--tenant", "acme", "--scope", "read", "--valid", "1h")
	stranger := newToken(t, "--name", "stranger", "--tenant", "other", "--scope", "read,push")
	rules := filepath.Join(dir, "access.yaml")
	allow := func(tokens ...access.Token) {
		t.Helper()
		text := []string{"tokens:"}
		for _, a := range tokens {
			text = append(text, a.Entry)
		}
		write(t, rules, strings.Join(text, "\n"))
	}
	allow(reader, stranger)

	const quiet = "  cri: []\n  docker: []\n  runtimes: {docker: off, containerd: off, kubernetes: off, ebpf: off}\n"
	write(t, filepath.Join(dir, "serve.yaml"), fmt.Sprintf("tls:\n  cert_file: %s\n  key_file: %s\naccess:\n  protect_metrics: true\ncollector:\n%s", cert, key, quiet))
	serve := execute(t, root(io.Discard, io.Discard), "serve", "--config", filepath.Join(dir, "serve.yaml"), "--access", rules,
		"--clickhouse", dsn, "--data-dir", filepath.Join(dir, "serve"), "--listen", "127.0.0.1:0")
	url := serve.url(t)
	if !strings.HasPrefix(url, "https://") {
		t.Fatalf("ready at %s", url)
	}

	logs := filepath.Join(dir, "logs")
	write(t, filepath.Join(dir, "token"), collectors.Token+"\n")
	write(t, filepath.Join(dir, "collector.yaml"), fmt.Sprintf(
		"targets:\n- url: %s\n  bearer_token_file: %s/token\n  tls: {ca_file: %s}\ncollector:\n  tenant: acme\n  files:\n  - paths: [%s/*.log]\n    namespace: n\n%s",
		url, dir, cert, logs, quiet))
	write(t, filepath.Join(logs, "shop.log"), "a line that waits\n")
	collector := execute(t, collectorcmd.New("collector", "test"), "--config", filepath.Join(dir, "collector.yaml"),
		"--data-dir", filepath.Join(dir, "collector"), "--listen", "127.0.0.1:0", "--keep-capabilities")

	client := func(token string) *wire.Client {
		t.Helper()
		c, err := wire.NewClientWith(wire.Options{Target: url, BearerToken: token, TLS: wire.TLSOptions{CAFile: cert}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	get := func(token, path string) (int, http.Header, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client(token).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header, string(b)
	}

	// The collector's token is not in the file yet: its line waits with it.
	eventually(t, "the collector is refused", func() bool { return strings.Contains(collector.stderr.String(), "HTTP 401: the token is not known") })
	allow(reader, stranger, collectors)
	eventually(t, "the collector's line is taken", func() bool {
		_, _, page := get(collectors.Token, "/api/v1/requests") // may not read
		if !strings.Contains(page, "has not the scope read") {
			return false
		}
		return acknowledged(t, collector.url(t)) > 0
	})

	at := time.Now().Add(-time.Minute)
	ref := faas.Ref{Tenant: "other", Namespace: "n", Function: "shop", Instance: "i-1"}
	events := []faas.Event{
		{ID: "1", Source: "h", Time: at, Ref: ref, Data: faas.InvocationStarted{RequestID: "req-1"}},
		{ID: "2", Source: "h", Time: at.Add(time.Second), Ref: ref, Data: faas.InvocationEnded{RequestID: "req-1", StartedAt: at, Status: faas.StatusOK}},
	}
	pusher := newToken(t, "--name", "platform", "--tenant", "acme", "--scope", "push")
	allow(reader, stranger, collectors, pusher)
	eventually(t, "the new token is taken", func() bool { return client(pusher.Token).SendEvents(t.Context(), events) == nil })
	t.Setenv("COLDSCOPE_TOKEN", reader.Token)
	look := []string{"request", "req-1", "--url", url, "--ca-file", cert}
	if out, err := print(t, look...); err != nil || !strings.Contains(out, "req-1") {
		t.Errorf("%s: %v", out, err)
	}
	if out, err := print(t, append(look, "--tenant", "other")...); err == nil || !strings.Contains(err.Error(), `"reader" may not act for tenant "other"`) {
		t.Errorf("%s: %v", out, err)
	}
	t.Setenv("COLDSCOPE_TOKEN", stranger.Token)
	if out, err := print(t, look...); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("the event's own tenant won: %s: %v", out, err)
	}
	t.Setenv("COLDSCOPE_TOKEN", "")
	if out, err := print(t, look...); err == nil || !strings.Contains(err.Error(), "a token is needed") {
		t.Errorf("%s: %v", out, err)
	}

	// What scripts see of it.
	me := newUser(t, "COLDSCOPE_CA_FILE="+cert)
	me.run(t, look[:4]...).want(t, "no token", exitRefused, "a token is needed")
	me.run(t, "context", "set", "acme", "--url", url, "--ca-file", cert, "--tenant", "acme", "--token-command", "echo "+reader.Token).want(t, "context set", 0)
	me.run(t, "request", "req-1").want(t, "by a context", 0, "req-1")
	me.run(t, "request", "req-1", "--tenant", "other").want(t, "another tenant", exitRefused, "may not act")
	newUser(t, "COLDSCOPE_URL="+url).run(t, "request", "req-1").want(t, "an authority that is not known", exitUnreachable, "certificate")

	for path, want := range map[string]int{"/": 200, "/ready": 200, "/-/healthy": 200, "/metrics": 401, "/api/v1/requests": 401, "/api/v1/collector/status": 401, "/debug/pprof/": 401} {
		code, header, body := get("", path)
		if code != want || code == 401 && !strings.HasPrefix(header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("GET %s: %d %s", path, code, body)
		}
	}
	old := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}}}
	if resp, err := old.Get(url + "/ready"); err == nil {
		resp.Body.Close()
		t.Error("TLS 1.1 is spoken")
	}
	for _, secret := range []access.Token{collectors, reader, stranger, pusher} {
		if strings.Contains(serve.stderr.String()+collector.stderr.String(), secret.Token) {
			t.Errorf("the token %s is in a log", secret.Entry)
		}
	}
}

// acknowledged is how many bytes of its files a collector has got acknowledged.
func acknowledged(t *testing.T, url string) (n int64) {
	t.Helper()
	resp, err := http.Get(url + "/api/v1/collector/status")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var status struct {
		Files []struct{ Acknowledged int64 }
	}
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		t.Fatal(err)
	}
	for _, f := range status.Files {
		n += f.Acknowledged
	}
	return n
}

func TestWrongAccess(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "access.yaml"), "tokens:\n- {name: a, sha256: b, tenants: [c], scopes: [push]}\n")
	for text, want := range map[string]string{
		"access: {file: " + dir + "/access.yaml}\n":           "access.yaml:2:21: tokens[0].sha256",
		"access: {file: /nowhere}\n":                          "no such file",
		"access: {protect_metrics: true}\n":                   ":1:27: access.protect_metrics",
		"tls: {cert_file: a}\n":                               ":1:18: tls.cert_file",
		"tls: {cert_file: /nowhere, key_file: /nowhere}\n":    "no such file",
		"tls: {require_client_cert: true}\n":                  "tls.require_client_cert",
		"access: {file: " + dir + "/access.yaml, tokens: []}": "unknown field",
	} {
		path := filepath.Join(dir, "c.yaml")
		write(t, path, text)
		_, err := print(t, "aggregator", "--config", path, "--data-dir", dir, "--listen", "127.0.0.1:0", "--clickhouse", "clickhouse://127.0.0.1:1")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	path := filepath.Join(dir, "c.yaml")
	write(t, path, "tls: {cert_file: a, key_file: b}\n")
	if _, err := print(t, "demo", "--config", path); err == nil || !strings.Contains(err.Error(), "neither access nor tls") {
		t.Errorf("demo: %v", err)
	}
}

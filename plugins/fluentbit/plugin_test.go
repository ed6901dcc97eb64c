package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/coldscope/coldscope/internal/wire"
)

// Fluent Bit's return codes.
const (
	flbError = "0"
	flbOK    = "1"
	flbRetry = "2"
)

// host is testdata/host.c running: a C program that loads the plugin and
// calls it as Fluent Bit does.
type host struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
	dir string
	n   int // chunk files written
}

func startHost(t *testing.T) *host {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("gcc is missing (apt-get install -y gcc libc6-dev): neither the plugin nor its host can be built")
	}
	if out, err := exec.CommandContext(t.Context(), "go", "env", "CGO_ENABLED").Output(); err != nil || strings.TrimSpace(string(out)) != "1" {
		t.Skip("cgo is off (CGO_ENABLED=1 turns it on): the plugin is a C library")
	}
	dir := t.TempDir()
	so, bin := filepath.Join(dir, "out_coldscope.so"), filepath.Join(dir, "host")
	run(t, "go", "build", "-buildmode=c-shared", "-o", so, ".")
	run(t, gcc, "-Wall", "-Wextra", "-Werror", "-O1", "-o", bin, "testdata/host.c", "-ldl")

	// It ends at the end of its input, which is after the test's context.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), bin, so)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("host: %v", err)
		}
		if t.Failed() {
			t.Logf("the host's standard error:\n%s", &stderr)
		}
	})
	return &host{t: t, in: in, out: bufio.NewScanner(out), dir: dir}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// do sends a command and checks the plugin's answer.
func (h *host) do(want, format string, args ...any) {
	h.t.Helper()
	command := fmt.Sprintf(format, args...)
	if _, err := io.WriteString(h.in, command+"\n"); err != nil {
		h.t.Fatalf("%s: %v", command, err)
	}
	if !h.out.Scan() {
		h.t.Fatalf("%s: the host ended: %v", command, h.out.Err())
	}
	if got := h.out.Text(); got != want {
		h.t.Errorf("%s: answered %s, want %s", command, got, want)
	}
}

func (h *host) flush(want string, section int, tag string, chunk []byte) {
	h.t.Helper()
	h.n++
	file := filepath.Join(h.dir, fmt.Sprintf("chunk-%d", h.n))
	if err := os.WriteFile(file, chunk, 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.do(want, "flush %d %s %s", section, tag, file)
}

// store stands for the aggregator and its store: it decodes pushes with the
// product's own codec and keeps one line for each identity.
type store struct {
	mu      sync.Mutex
	answers []int // of the next requests, 204 after the last
	tenants map[string]bool
	pushes  int
	lines   map[string]string // identity → labels and line
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		wire.Refuse(w, err)
		return
	}
	req, err := wire.DecodePush(body, r.Header.Get("Content-Type"))
	if err != nil {
		wire.Refuse(w, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushes++
	s.tenants[wire.Tenant(r)] = true
	// Kept even if the answer is an error: an answer that got lost.
	for _, st := range req.Streams {
		for _, e := range st.Entries {
			s.lines[identity(st.Labels, e)] = st.Labels + " " + e.Line
		}
	}
	code := http.StatusNoContent
	if len(s.answers) > 0 {
		code, s.answers = s.answers[0], s.answers[1:]
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(code)
}

// check holds what is stored after the chunk was sent three times against the
// lines that it holds.
func (s *store) check(t *testing.T, want map[string]bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	got := map[string]bool{}
	for line := range maps.Values(s.lines) {
		got[line] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines differ (-want +got):\n%s", diff)
	}
	if len(s.lines) != len(want) || s.pushes != 3 {
		t.Errorf("%d identities in %d pushes, want %d in 3", len(s.lines), s.pushes, len(want))
	}
	if diff := cmp.Diff(map[string]bool{"acme": true}, s.tenants); diff != "" {
		t.Errorf("tenants differ (-want +got):\n%s", diff)
	}
}

func identity(labels string, e push.Entry) string {
	return fmt.Sprint(labels, e.Timestamp.UnixNano(), e.StructuredMetadata)
}

type (
	list   = []any
	object = map[string]any
)

func eventTime(sec, nsec uint32) msgpack.RawMessage {
	b := []byte{0xd7, 0x00}
	b = binary.BigEndian.AppendUint32(b, sec)
	return binary.BigEndian.AppendUint32(b, nsec)
}

func encode(t *testing.T, values ...any) []byte {
	t.Helper()
	var buf bytes.Buffer
	enc := msgpack.NewEncoder(&buf)
	for _, v := range values {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}

func TestPluginInHost(t *testing.T) {
	s := &store{
		answers: []int{http.StatusServiceUnavailable, http.StatusTooManyRequests},
		tenants: map[string]bool{}, lines: map[string]string{},
	}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	h := startHost(t)

	h.do("0", "register")
	for key, value := range map[string]string{
		"Url": srv.URL, "tenant": "acme", "function_key": "kubernetes.container_name", "host": "h1", "namespace": "shop", "timeout": "10s",
	} {
		h.do("1", "set 0 %s %s", key, value)
	}
	h.do("1", "set 1 url %s", srv.URL)
	h.do("1", "set 1 function other")
	h.do("1", "set 1 host h1")
	h.do(flbOK, "init 0")
	h.do(flbOK, "init 1")
	h.do("1", "set 2 url %s/loki/api/v1/push", srv.URL)
	h.do(flbError, "init 2")

	const labels = `{function="cart", host="h1", instance="uid-1", namespace="shop", stream="stderr", version="v1"} `
	meta := object{"container_name": "cart", "pod_name": "cart-v1", "pod_id": "uid-1"}
	var values []any
	want := map[string]bool{}
	for i := range 1000 {
		// A thousand lines in a second, in both layouts and with all clocks.
		line := fmt.Sprintf("line %d", i)
		rec := object{"log": line + "\n", "stream": "stderr", "kubernetes": meta}
		switch i % 4 {
		case 0:
			values = append(values, list{eventTime(1_700_000_000, uint32(i)), rec})
		case 1:
			values = append(values, list{list{eventTime(1_700_000_000, uint32(i)), object{}}, rec})
		case 2:
			values = append(values, list{1_700_000_000, rec})
		case 3:
			values = append(values, list{1_700_000_000.25, rec})
		}
		want[labels+line] = true
	}
	chunk := encode(t, values...)

	h.flush(flbRetry, 0, "kube.cart", chunk)
	h.flush(flbRetry, 0, "kube.cart", chunk)
	h.flush(flbOK, 0, "kube.cart", chunk)
	h.flush(flbOK, 0, "kube.cart", nil)

	s.check(t, want)

	// Hostile chunks are dropped, and the next one still passes.
	h.flush(flbError, 0, "kube.cart", chunk[:len(chunk)-1])
	h.flush(flbError, 0, "kube.cart", bytes.Repeat([]byte{0x91}, 1<<20))
	h.flush(flbError, 0, "kube.cart", []byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	h.flush(flbError, 0, "kube.cart", encode(t, list{1_700_000_000, object{"log": "whose?"}}))
	h.flush(flbOK, 1, "app", encode(t, list{1_700_000_001, object{"log": "other section"}}))

	srv.Close()
	h.flush(flbRetry, 0, "kube.cart", chunk)
	h.do(flbOK, "exit 0")
	h.do(flbOK, "exit 1")
	h.do("1", "unregister")
}

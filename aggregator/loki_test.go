package aggregator_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/coldscope/coldscope/aggregator"
	"github.com/coldscope/coldscope/aggregator/ingest"
	"github.com/coldscope/coldscope/internal/wire"
)

const storedFacts = `SELECT concat(tenant, ' ', namespace, '/', function, ':', version, ' ', instance, ' ', host, ' ', toString(stream), ' ',
	toString(severity), ' ', trace_id, ' ', span_id, ' ', request_id, ' ', toString(mapSort(attributes)), ' ', body) FROM logs FINAL WHERE stream != 'platform' ORDER BY ts, body`

// sent is a line that the client sends.
type sent struct {
	Labels   map[string]string
	Time     time.Time
	Line     string
	Metadata map[string]string
}

// promtail sends as tenant acme, and returns when all of it was accepted.
func promtail(t *testing.T, s *service, inJSON bool, entries ...sent) {
	t.Helper()
	var in, stderr bytes.Buffer
	for _, e := range entries {
		must(t, json.NewEncoder(&in).Encode(e))
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", "-C", "testdata/lokiclient", ".", "-url", s.url+wire.PathPush, "-tenant", "acme", fmt.Sprintf("-json=%t", inJSON))
	cmd.Stdin, cmd.Stderr = &in, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
}

// Promtail's own client, with the labels that it has in Kubernetes.
func TestLokiClient(t *testing.T) {
	for _, inJSON := range []bool{false, true} {
		t.Run(fmt.Sprintf("json=%t", inJSON), func(t *testing.T) {
			conn := migrated(t)
			s := start(t, conn)
			labels := map[string]string{"namespace": "shop", "app": "cart", "container": "main", "pod": "cart-7", "node_name": "n1", "stream": "stderr", "level": "warn"}
			promtail(t, s, inJSON, sent{labels, at(0), "no stock \u00e9", map[string]string{
				"trace_id": "5B8EFFF798038103D269B633813FC60C", "request_id": "req-1", "sku": "42",
			}}, sent{labels, at(1), "again", nil})
			first := "5b8efff798038103d269b633813fc60c  req-1 {'container':'main','sku':'42'}"
			if inJSON {
				first = "   {'container':'main'}" // the client leaves structured metadata out
			}
			want := "acme shop/cart: cart-7 n1 stderr 13 " + first + " no stock \u00e9\n" +
				"acme shop/cart: cart-7 n1 stderr 13    {'container':'main'} again\n"
			if diff := cmp.Diff(want, query(t, conn, storedFacts)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A client that sends more than its tenant may gets 429, and brings all of it
// in the end; another tenant is not held up.
func TestRate(t *testing.T) {
	conn := migrated(t)
	cfg := aggregator.DefaultConfig()
	cfg.Ingest.Tenants = map[string]ingest.Limits{"acme": {Rate: 1000, Burst: 1000}}
	s := startWith(t, conn, cfg)
	var entries []sent
	for n := range 5 {
		entries = append(entries, sent{map[string]string{"app": "cart"}, at(n), strings.Repeat("x", 900), nil})
	}
	promtail(t, s, false, entries...)
	must(t, s.client.Push(t.Context(), "default", lines(0, strings.Repeat("y", 5000))))
	if got := query(t, conn, "SELECT concat(tenant, ' ', toString(count())) FROM logs FINAL GROUP BY tenant ORDER BY tenant"); got != "acme 5\ndefault 1\n" {
		t.Error(got)
	}
	if testutil.ToFloat64(counter(t, s.reg, "coldscope_aggregator_push_requests_total", "endpoint", "push", "code", "429")) == 0 {
		t.Error("no request was answered 429")
	}
	if got := testutil.ToFloat64(counter(t, s.reg, "coldscope_aggregator_accepted_entries_total", "protocol", "loki")); got != 6 {
		t.Errorf("%v entries accepted", got)
	}
}

// What Loki's other senders do with Content-Encoding.
func TestEncodings(t *testing.T) {
	conn := migrated(t)
	cfg := aggregator.DefaultConfig()
	cfg.Ingest.InflatedBytes = 1 << 20
	s := startWith(t, conn, cfg)
	for encoding, write := range map[string]func(io.Writer) io.WriteCloser{
		"":       func(w io.Writer) io.WriteCloser { return nopCloser{w} },
		"snappy": func(w io.Writer) io.WriteCloser { return nopCloser{w} },
		"gzip":   func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"zlib":   func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"deflate": func(w io.Writer) io.WriteCloser {
			f, err := flate.NewWriter(w, 5)
			must(t, err)
			return f
		},
		"zstd": func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			must(t, err)
			return z
		},
	} {
		send := func(body string) (int, string) {
			var b bytes.Buffer
			w := write(&b)
			_, err := io.WriteString(w, body)
			must(t, err)
			must(t, w.Close())
			code, text, _ := send(t, s.url+wire.PathPush, "application/json; charset=utf-8", encoding, b.Bytes())
			return code, text
		}
		code, text := send(fmt.Sprintf(`{"streams":[{"stream":{"app":"cart"},"values":[["%d","by %s",{"a":"b"}]]}]}`, at(0).UnixNano(), encoding))
		if code != 204 {
			t.Errorf("%q: %d %s", encoding, code, text)
		}
		if encoding == "" || encoding == "snappy" {
			continue
		}
		if code, text = send(strings.Repeat(" ", 2<<20)); code != 413 || !strings.Contains(text, "inflated") {
			t.Errorf("a bomb in %s: %d %s", encoding, code, text)
		}
		if code, text, _ := sendRaw(t, s, encoding, "no such thing"); code != 400 || !strings.Contains(text, "read body") {
			t.Errorf("garbage as %s: %d %s", encoding, code, text)
		}
	}
	if code, text, _ := sendRaw(t, s, "br", "x"); code != 400 || !strings.Contains(text, `"br"`) {
		t.Errorf("br: %d %s", code, text)
	}
	if got := query(t, conn, "SELECT toString(count()) FROM logs FINAL"); got != "6\n" {
		t.Errorf("lines: %s", got)
	}
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

func sendRaw(t *testing.T, s *service, encoding, body string) (int, string, http.Header) {
	t.Helper()
	return send(t, s.url+wire.PathPush, "application/json", encoding, []byte(body))
}

func send(t *testing.T, url, contentType, encoding string, body []byte) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", contentType)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(text), resp.Header
}

// TestBusy: what is being read is bounded for all senders together, and one that
// sends more than that is read alone.
func TestBusy(t *testing.T) {
	conn := migrated(t)
	cfg := aggregator.DefaultConfig()
	cfg.Pending = 1 << 20
	s := startWith(t, conn, cfg)
	large := strings.Repeat(" ", 2<<20) + `{"streams":[]}`
	if code, text, _ := sendRaw(t, s, "", large); code != 204 {
		t.Errorf("alone: %d %s", code, text)
	}
	var rest *io.PipeWriter
	var answered chan int
	for beside := 204; beside == 204; { // until the server had read of the slow one first
		if rest != nil {
			_ = rest.CloseWithError(io.ErrUnexpectedEOF)
		}
		rest, answered = sendSlowly(t, s, large[:1000])
		<-time.After(20 * time.Millisecond)
		var text string
		var header http.Header
		beside, text, header = sendRaw(t, s, "", large)
		if beside != 204 && (beside != 429 || header.Get("Retry-After") != "1" || !strings.Contains(text, "busy")) {
			t.Fatalf("beside another one: %d %s %v", beside, text, header)
		}
	}
	_, err := io.WriteString(rest, `{"streams":[]}`)
	must(t, errors.Join(err, rest.Close()))
	if code := <-answered; code != 204 {
		t.Errorf("the other one: %d", code)
	}
}

// sendSlowly begins a push; its rest is for the caller to send.
func sendSlowly(t *testing.T, s *service, begin string) (rest *io.PipeWriter, answered chan int) {
	t.Helper()
	body, rest := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+wire.PathPush, body)
	must(t, err)
	req.Header.Set("Content-Type", "application/json")
	answered = make(chan int, 1)
	go func() {
		code := 0
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			code = resp.StatusCode
		}
		answered <- code
	}()
	_, err = io.WriteString(rest, begin)
	must(t, err)
	return rest, answered
}

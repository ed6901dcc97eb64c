package deliver

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/wire"
)

func config(t testing.TB, properties map[string]string) Config {
	t.Helper()
	c, err := ParseConfig(func(key string) string { return properties[key] })
	if err != nil {
		t.Fatal(err)
	}
	if properties["host"] == "" {
		c.Host.Value = ""
	}
	return c
}

// lines gives what a chunk becomes, a line each: labels | body | metadata but the position.
func lines(t testing.TB, cfg Config, chunk []byte) (out []string) {
	t.Helper()
	b := newBatch(&cfg, "tag", chunk)
	for rec, err := range records(chunk) {
		if err != nil {
			t.Fatal(err)
		}
		b.add(rec)
	}
	for _, s := range b.streams {
		for _, e := range s.entries {
			out = append(out, strings.TrimSpace(fmt.Sprint(s.labels, " | ", e.Line, " ", e.StructuredMetadata)))
		}
	}
	return out
}

func TestRecordBecomesLine(t *testing.T) {
	kubernetes := object{"namespace_name": "shop", "container_name": "cart", "pod_name": "cart-7d4f", "pod_id": "uid-1", "host": "n1"}
	const labels = `{function="cart", host="n1", instance="uid-1", namespace="shop", stream="stdout", version="7d4f"} | `
	tests := map[string]struct {
		properties map[string]string
		record     object
		want       string
	}{
		"kubernetes filter": {nil, object{"log": "a\n", "stream": "stdout", "kubernetes": kubernetes}, labels + "a []"},
		"stderr":            {nil, object{"log": "a", "stream": "stderr", "kubernetes": kubernetes}, strings.Replace(labels, "stdout", "stderr", 1) + "a []"},
		"no platform":       {nil, object{"log": "a", "stream": "platform", "kubernetes": kubernetes}, labels + "a []"},
		"docker driver": {
			nil,
			object{"log": "a\r\n", "source": "stderr", "container_name": "/cart", "container_id": "c1"},
			`{function="cart", instance="c1", stream="stderr"} | a []`,
		},
		"fixed": {
			map[string]string{"function": "f", "namespace": "ns", "version": "f-v", "instance": "i", "host": "h", "stream": "stderr"},
			object{"log": "a", "stream": "stdout", "kubernetes": kubernetes},
			`{function="f", host="h", instance="i", namespace="ns", stream="stderr", version="f-v"} | a []`,
		},
		"keys, else fixed": {
			map[string]string{"function": "f", "function_key": "none, svc.name", "version": "v", "version_key": "none"},
			object{"log": "a", "svc": object{"name": "real"}},
			`{function="real", stream="stdout", version="v"} | a []`,
		},
		"flat key with dots": {map[string]string{"function_key": "svc.name"}, object{"log": "a", "svc.name": "flat"}, `{function="flat", stream="stdout"} | a []`},
		"number as value":    {map[string]string{"function_key": "n"}, object{"log": 7, "n": 12}, `{function="12", stream="stdout"} | 7 []`},
		"map as value":       {map[string]string{"function_key": "n,m"}, object{"log": "a", "m": "x", "n": object{}}, `{function="x", stream="stdout"} | a []`},
		"log keys":           {map[string]string{"function": "f", "log_key": "message, msg"}, object{"msg": "m", "log": "l"}, `{function="f", stream="stdout"} | m []`},
		"text is a map":      {map[string]string{"function": "f"}, object{"log": object{"a": list{1, nil, true, 1.5, "<é>"}}}, `{function="f", stream="stdout"} | {"a":[1,null,true,1.5,"<é>"]} []`},
		"no text":            {map[string]string{"function": "f"}, object{"level": "info", "ts": eventTime(1, 5)}, `{function="f", stream="stdout"} | {"level":"info","ts":"1970-01-01T00:00:01.000000005Z"} []`},
		"not UTF-8":          {map[string]string{"function_key": "f"}, object{"log": "a\xffb", "f": "g\xff"}, "{function=\"g\uFFFD\", stream=\"stdout\"} | a\uFFFDb []"},
		"request ID":         {map[string]string{"function": "f", "request_id_key": "rid"}, object{"log": "a", "rid": "r-1"}, `{function="f", stream="stdout"} | a [{request_id r-1}]`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := lines(t, config(t, tt.properties), chunk(t, list{1_700_000_000, tt.record}))
			if diff := cmp.Diff([]string{tt.want}, got); diff != "" {
				t.Errorf("lines differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLongLineIsCutAndMarked(t *testing.T) {
	cfg := config(t, map[string]string{"function": "f"})
	text := "x" + strings.Repeat("é", maxLine/2+10) // the limit falls into the middle of a character
	got, cut := cfg.line(mapping{{"log", text}})
	if want := maxLine - 1; len(got) != want || cut != len(text)-want {
		t.Errorf("line of %d bytes is sent as %d with %d cut, want %d", len(text), len(got), cut, want)
	}
}

func TestParseConfigNamesEveryProblem(t *testing.T) {
	_, err := ParseConfig(func(key string) string {
		return map[string]string{"url": "http://h:1/loki/api/v1/push", "timeout": "soon", "stream": "platform"}[key]
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"leave /loki/api/v1/push out", `timeout "soon"`, `stream "platform"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}

// peer is an aggregator's front: it decodes pushes, keeps lines by identity,
// and answers what the test lines up.
type peer struct {
	*httptest.Server
	mu      sync.Mutex
	answers []int // of the next requests; 204 after the last
	pushes  int
	tenants []string
	seen    map[string]int // labels|ts|file_id|offset|line → times received
}

func newPeer(t testing.TB, answers ...int) *peer {
	p := &peer{answers: answers, seen: map[string]int{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		req, err := wire.DecodePush(body, r.Header.Get("Content-Type"))
		if err != nil {
			t.Error(err)
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.pushes++
		p.tenants = append(p.tenants, wire.Tenant(r))
		for _, s := range req.Streams {
			for _, e := range s.Entries {
				p.seen[identity(s.Labels, e)+"|"+e.Line]++
			}
		}
		code := http.StatusNoContent
		if len(p.answers) > 0 {
			code, p.answers = p.answers[0], p.answers[1:]
		}
		w.WriteHeader(code)
	}))
	t.Cleanup(p.Close)
	return p
}

func identity(labels string, e push.Entry) string {
	parts := []string{labels, e.Timestamp.Format(time.RFC3339Nano)}
	for _, m := range e.StructuredMetadata {
		if m.Name == wire.MetaFileID || m.Name == wire.MetaOffset {
			parts = append(parts, m.Value)
		}
	}
	return strings.Join(parts, "|")
}

func (p *peer) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ls []string
	for id := range p.seen {
		ls = append(ls, id[strings.LastIndex(id, "|")+1:])
	}
	slices.Sort(ls)
	return ls
}

func newSender(t testing.TB, url string, properties map[string]string) *Sender {
	t.Helper()
	cfg := config(t, properties)
	cfg.URL = url
	s, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestDeliver(t *testing.T) {
	one := list{1_700_000_000, object{"log": "one", "f": "fn"}}
	lost := list{1_700_000_000, object{"log": "whose?"}}
	tests := map[string]struct {
		chunk   []byte
		answers []int
		want    Outcome
		lines   []string
	}{
		"accepted":            {chunk(t, one), nil, Accepted, []string{"one"}},
		"empty":               {nil, nil, Accepted, nil},
		"busy":                {chunk(t, one), []int{429}, Retry, []string{"one"}},
		"unavailable":         {chunk(t, one), []int{503}, Retry, []string{"one"}},
		"forbidden":           {chunk(t, one), []int{403}, Retry, []string{"one"}},
		"bad":                 {chunk(t, one), []int{400}, Rejected, []string{"one"}},
		"too large":           {chunk(t, one), []int{413}, Rejected, []string{"one"}},
		"cut off":             {append(chunk(t, one), 0x92), nil, Rejected, []string{"one"}},
		"cut off, busy":       {append(chunk(t, one), 0x92), []int{503}, Retry, []string{"one"}},
		"nobody's":            {chunk(t, lost), nil, Rejected, nil},
		"nobody's among ours": {chunk(t, lost, one), nil, Accepted, []string{"one"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, tt.answers...)
			s := newSender(t, p.URL, map[string]string{"tenant": "acme", "function_key": "f"})
			if got := s.Deliver(t.Context(), "tag", tt.chunk); got != tt.want {
				t.Errorf("outcome %d, want %d", got, tt.want)
			}
			if diff := cmp.Diff(tt.lines, p.lines()); diff != "" {
				t.Errorf("lines differ (-want +got):\n%s", diff)
			}
			if len(tt.lines) > 0 && p.tenants[0] != "acme" {
				t.Errorf("tenant %q", p.tenants[0])
			}
		})
	}
}

func TestDeliverWithNobodyThere(t *testing.T) {
	p := newPeer(t)
	p.Close()
	s := newSender(t, p.URL, map[string]string{"function": "f"})
	if got := s.Deliver(t.Context(), "tag", chunk(t, list{1, object{"log": "a"}})); got != Retry {
		t.Errorf("outcome %d, want %d", got, Retry)
	}
}

// A large chunk travels in several requests; one that is refused for good does
// not take the others with it, and a retry after a half-sent chunk adds nothing.
func TestDeliverInParts(t *testing.T) {
	var values []any
	for i := range 9 {
		values = append(values, list{1_700_000_000 + i/4, object{"log": fmt.Sprint(i, strings.Repeat("x", maxLine-1)), "f": fmt.Sprint("fn", i%2)}})
	}
	c := chunk(t, values...)
	p := newPeer(t, 204, 503, 204, 400, 204)
	s := newSender(t, p.URL, map[string]string{"function_key": "f"})
	if got := s.Deliver(t.Context(), "tag", c); got != Retry {
		t.Errorf("first outcome %d, want %d", got, Retry)
	}
	if got := s.Deliver(t.Context(), "tag", c); got != Rejected {
		t.Errorf("second outcome %d, want %d", got, Rejected)
	}
	if p.pushes != 5 || len(p.seen) != len(values) {
		t.Errorf("%d pushes with %d different lines, want 5 with %d", p.pushes, len(p.seen), len(values))
	}
}

func positions(t testing.TB, chunk []byte) (ids []string) {
	t.Helper()
	cfg := config(t, map[string]string{"function": "f"})
	b := newBatch(&cfg, "tag", chunk)
	for rec, err := range records(chunk) {
		if err != nil {
			t.Fatal(err)
		}
		b.add(rec)
	}
	for _, req := range b.requests() {
		for _, s := range req.Streams {
			for _, e := range s.Entries {
				ids = append(ids, identity(s.Labels, e))
			}
		}
	}
	return ids
}

func TestPositions(t *testing.T) {
	coarse := list{1_700_000_000, object{"log": "tick"}}
	fine := list{eventTime(1_700_000_000, 123_456_789), object{"log": "tick"}}
	other := list{eventTime(1_700_000_000, 999), object{"log": "tock"}}

	distinct := func(ids []string) int { slices.Sort(ids); return len(slices.Compact(ids)) }
	both := func(a, b []byte) int { return distinct(append(positions(t, a), positions(t, b)...)) }
	tests := []struct {
		name string
		got  int
		want int
	}{
		{"the same chunk twice", both(chunk(t, coarse, coarse, fine), chunk(t, coarse, coarse, fine)), 3},
		{"equal lines in one chunk", distinct(positions(t, chunk(t, coarse, coarse, fine, fine))), 4},
		{"equal lines of a coarse clock in two chunks", both(chunk(t, coarse), chunk(t, coarse, other)), 3},
		{"a line of a fine clock read again into another chunk", both(chunk(t, fine), chunk(t, fine, other)), 2},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %d different lines, want %d", tt.name, tt.got, tt.want)
		}
	}

	ids := positions(t, chunk(t, coarse, coarse, coarse, coarse))
	var offsets []uint64
	for _, id := range ids {
		offset, err := strconv.ParseUint(id[strings.LastIndexByte(id, '|')+1:], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		offsets = append(offsets, offset)
	}
	if !slices.IsSorted(offsets) {
		t.Errorf("lines of one time lose their order: %d", offsets)
	}
}

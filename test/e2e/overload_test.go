package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/test/loss/rig"
)

const (
	overloadSenders = 48
	overloadLines   = 8000 // of a push: 2 MB
	overloadPending = 16 << 20
	// overloadMemory is what the aggregator's process may have at its height: its
	// heap's limit, which follows from pending_bytes and is 304 MiB here, and what
	// the heap is over it for a moment. What is made of all pushes that come at once
	// would alone be more.
	overloadMemory = 384 << 20
	refusals       = 100 // to be seen in each part of the test
)

// TestOverload: more senders than the aggregator can serve push all the time,
// and come back sooner than they are told; in between the engine is frozen. They
// are sent away with 429 or 503 and a time to come back, the aggregator's memory
// stays below a bound, and all that it has acknowledged is stored once.
func TestOverload(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "coldscope.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "aggregator:\n  pending_bytes: %d\n", overloadPending), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "coldscope", "aggregator", "--data-dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--otlp-grpc", "", "--config", config)
	engine := p.children(t)
	if len(engine) != 1 {
		t.Fatalf("%d children, want the engine", len(engine))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	l := &overload{url: p.url, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: overloadSenders}}}
	defer l.client.CloseIdleConnections()
	acknowledged := make([]int, overloadSenders) // pushes
	var senders sync.WaitGroup
	for n := range overloadSenders {
		senders.Go(func() { acknowledged[n] = l.send(ctx, t, n) })
	}
	l.await(ctx, t, func() bool { return l.refused.Load() >= refusals && l.stored.Load() >= 10 })

	if err := syscall.Kill(engine[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	before := l.refused.Load()
	l.await(ctx, t, func() bool { return l.refused.Load() >= before+refusals })
	if err := syscall.Kill(engine[0], syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	stored := l.stored.Load()
	l.await(ctx, t, func() bool { return l.stored.Load() >= stored+10 })
	cancel()
	senders.Wait()

	_, peak, err := rig.Memory(p.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d pushes of %d lines stored, %d refused, %d MiB at most", l.stored.Load(), overloadLines, l.refused.Load(), peak>>20)
	if peak > overloadMemory {
		t.Errorf("the aggregator took %d MiB, at most %d are due to it", peak>>20, overloadMemory>>20)
	}
	checkStored(t, filepath.Join(dir, "data", "clickhouse", "dsn"), acknowledged)
}

// overload is many senders' load on one aggregator.
type overload struct {
	url             string
	client          *http.Client
	refused, stored atomic.Int64 // pushes
}

// await waits until the load has come so far.
func (l *overload) await(ctx context.Context, t *testing.T, reached func() bool) {
	t.Helper()
	for !reached() && !t.Failed() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%d pushes stored, %d refused: %v", l.stored.Load(), l.refused.Load(), ctx.Err())
		}
	}
}

// send pushes as sender n until ctx ends, each push again until it is
// acknowledged, and gives their number.
func (l *overload) send(ctx context.Context, t *testing.T, n int) (acknowledged int) {
	random := rand.New(rand.NewPCG(uint64(n), 1))
	for {
		body, err := overloadPush(n, acknowledged, random)
		if err != nil {
			t.Error(err)
			return acknowledged
		}
		for done := false; !done; {
			done, err = l.push(ctx, body)
			switch {
			case err == nil:
			case ctx.Err() != nil:
				return acknowledged
			default:
				t.Errorf("sender %d: %v", n, err)
				return acknowledged
			}
		}
		acknowledged++
	}
}

// push sends a body once, and reports whether it is stored.
func (l *overload) push(ctx context.Context, body []byte) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+wire.PathPush, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", wire.MediaPush)
	resp, err := l.client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
	switch resp.StatusCode {
	case http.StatusNoContent:
		l.stored.Add(1)
		return true, nil
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || seconds < 1 {
			return false, fmt.Errorf("%s without a time to come back: %q", resp.Status, resp.Header.Get("Retry-After"))
		}
		l.refused.Add(1)
		return false, rig.Wait(ctx, 300*time.Millisecond)
	}
	return false, fmt.Errorf("%s: %s", resp.Status, text)
}

// overloadPush is a sender's push of a number, of lines that hardly compress.
func overloadPush(sender, number int, random *rand.Rand) ([]byte, error) {
	s := push.Stream{Labels: fmt.Sprintf(`{function="f-%d", host="h", instance="i-%d", namespace="load", stream="stdout", version="1"}`, sender%8, sender)}
	now := time.Now()
	for n := range overloadLines {
		var text strings.Builder
		for range 15 {
			fmt.Fprintf(&text, "%016x", random.Uint64())
		}
		s.Entries = append(s.Entries, push.Entry{
			Timestamp: now.Add(time.Duration(n)), Line: text.String(), StructuredMetadata: wire.Position(uint64(sender+1), uint64(number*overloadLines+n)),
		})
	}
	return wire.EncodePush(&push.PushRequest{Streams: []push.Stream{s}})
}

// checkStored holds what is stored of each sender against what was acknowledged
// to it. Of the push that it sent last, some may be there as well.
func checkStored(t *testing.T, dsnFile string, acknowledged []int) {
	t.Helper()
	dsn, err := os.ReadFile(dsnFile)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(t.Context(), strings.TrimSpace(string(dsn)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	rows, err := conn.Query(t.Context(), "SELECT file_id, groupArray(offset) FROM logs FINAL WHERE stream = 'stdout' GROUP BY file_id")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id uint64
		var offsets []uint64
		if err := rows.Scan(&id, &offsets); err != nil {
			t.Fatal(err)
		}
		times := make([]int, (acknowledged[id-1]+1)*overloadLines)
		for _, o := range offsets {
			times[o]++
		}
		lost, twice := 0, 0
		for o, n := range times {
			if n == 0 && o < acknowledged[id-1]*overloadLines {
				lost++
			} else if n > 1 {
				twice++
			}
		}
		if lost+twice > 0 {
			t.Errorf("sender %d: of %d pushes %d lines are lost and %d stored twice", id-1, acknowledged[id-1], lost, twice)
		}
		acknowledged[id-1] = 0
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for n, pushes := range acknowledged {
		if pushes > 0 {
			t.Errorf("sender %d: nothing of %d pushes is stored", n, pushes)
		}
	}
}

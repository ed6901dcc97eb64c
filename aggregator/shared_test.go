package aggregator_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/aggregator"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/internal/wire"
)

// shared looks again soon, and for the last time after a second.
func shared() aggregator.Config {
	cfg := aggregator.Shared()
	cfg.BatchAge, cfg.Hold = 10*time.Millisecond, 100*time.Millisecond
	cfg.Looks = []time.Duration{20 * time.Millisecond, 200 * time.Millisecond, time.Second}
	return cfg
}

// fact is one thing to send: an event, or a line.
type fact struct {
	event *faas.Event
	line  *push.Stream
}

func (f fact) send(t *testing.T, a *service) {
	t.Helper()
	if f.event != nil {
		must(t, a.Events(t.Context(), []faas.Event{*f.event}))
		return
	}
	must(t, a.Push(t.Context(), "default", &push.PushRequest{Streams: []push.Stream{*f.line}}))
}

// course is the facts of some instances, each of which serves some requests
// one after the other, and what the store must make of them.
func course(instances, requests int) (facts []fact, lines, invocations []string) {
	for i := range instances {
		ref := faas.Ref{Tenant: "default", Namespace: "demo", Function: fmt.Sprint("f", i), Version: "1", Instance: fmt.Sprint("i-", i)}
		offset := uint64(0)
		event := func(ms int, d faas.Data) {
			id := fmt.Sprintf("%s-%d-%T", ref.Instance, ms, d)
			facts = append(facts, fact{event: &faas.Event{ID: id, Source: "host", Time: at(ms), Ref: ref, Data: d}})
		}
		line := func(ms int, how, request string) {
			offset++
			facts = append(facts, fact{line: &push.Stream{
				Labels:  wire.StreamLabels(ref, faas.Stdout, "host"),
				Entries: []push.Entry{{Timestamp: at(ms), Line: "text", StructuredMetadata: wire.Position(uint64(i), offset)}},
			}})
			lines = append(lines, fmt.Sprintf("%s %03d %s %s", ref.Instance, offset, how, request))
		}
		id := func(r int) string { return fmt.Sprintf("request-%d-%d", i, r) }
		event(0, faas.Demanded{RequestID: id(0), Initialization: faas.OnDemand})
		line(10, "init", id(0))
		event(20, faas.Ready{})
		for r := range requests {
			ms := 30 + 5000*r
			started := faas.InvocationStarted{RequestID: id(r), Trigger: faas.TriggerHTTP, QueuedAt: at(ms - 1)}
			if r == 0 {
				started.QueuedAt = at(0)
			}
			event(ms, started)
			line(ms+1, "window", id(r))
			line(ms+500, "window", id(r))
			event(ms+1000, faas.InvocationEnded{RequestID: id(r), StartedAt: at(ms), Status: faas.StatusOK})
			line(ms+1500, "late", id(r))
			line(ms+4000, "none", "")
			invocations = append(invocations, fmt.Sprintf("%s %s %t ok", ref.Instance, id(r), r == 0))
		}
	}
	slices.Sort(lines)
	slices.Sort(invocations)
	return facts, lines, invocations
}

const (
	sharedLines = `SELECT concat(instance, ' ', leftPad(toString(offset), 3, '0'), ' ', toString(attribution), ' ', request_id) AS l
		FROM logs FINAL WHERE stream != 'platform' ORDER BY l`
	sharedInvocations = `SELECT concat(instance, ' ', request_id, ' ', ifNull(toString(cold), '?'), ' ', ifNull(status, '?')) AS l FROM invocations FINAL ORDER BY l`
	sharedStarts      = `SELECT concat(toString(count()), ' ', toString(countIf(demanded_at IS NOT NULL AND ready_at IS NOT NULL))) FROM cold_starts FINAL`
)

// eventually polls until sql gives want.
func eventually(t *testing.T, conn driver.Conn, sql string, want []string) {
	t.Helper()
	wanted := strings.Join(want, "\n") + "\n"
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		got := query(t, conn, sql)
		if got == wanted {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("(-want +got):\n%s", cmp.Diff(wanted, got))
			return
		}
		<-tick.C
	}
}

func cluster(t *testing.T) driver.Conn {
	t.Helper()
	conn, err := schema.PrepareCluster(t.Context(), clickhousetest.Cluster(t).DSN, schema.Cluster{Name: clickhousetest.TwoShards})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, conn.Close()) })
	return conn
}

// TestTwoAggregators sends each fact to one of two aggregators at random, and
// some to both, in any order: the store has each once, and each line has the
// request that it would have if one aggregator had got all.
func TestTwoAggregators(t *testing.T) {
	for name, store := range map[string]func(*testing.T) driver.Conn{"one server": migrated, "two shards": cluster} {
		t.Run(name, func(t *testing.T) {
			conn := store(t)
			both := []*service{startWith(t, conn, shared()), startWith(t, conn, shared())}
			facts, lines, invocations := course(6, 5)
			rand.Shuffle(len(facts), func(a, b int) { facts[a], facts[b] = facts[b], facts[a] })
			var senders sync.WaitGroup
			for part := range slices.Chunk(facts, 1+len(facts)/16) {
				senders.Go(func() {
					for _, f := range part {
						first := rand.IntN(2)
						f.send(t, both[first])
						if rand.IntN(3) == 0 {
							f.send(t, both[1-first])
						}
					}
				})
			}
			senders.Wait()
			eventually(t, conn, sharedLines, lines)
			eventually(t, conn, sharedInvocations, invocations)
			eventually(t, conn, sharedStarts, []string{"6 6"})
			both[0].stop()
			both[1].stop()
			eventually(t, conn, sharedLines, lines) // nothing that was still on its way says otherwise
		})
	}
}

// TestDiedBeforeItLooked: who got the events corrects the lines of another one
// that stopped before it could.
func TestDiedBeforeItLooked(t *testing.T) {
	conn := migrated(t)
	never := shared()
	never.Looks = nil
	a, b := startWith(t, conn, never), startWith(t, conn, shared())
	line := func(ms int) fact {
		s := lines(ms, "text").Streams[0]
		return fact{line: &s}
	}
	line(310).send(t, a)
	for _, e := range []faas.Event{
		event("1", 0, faas.Demanded{RequestID: "req-a", Initialization: faas.OnDemand}),
		event("2", 300, faas.Ready{}),
		event("3", 305, faas.InvocationStarted{RequestID: "req-a", QueuedAt: at(0)}),
	} {
		fact{event: &e}.send(t, b)
	}
	line(320).send(t, a) // of which b is not told
	a.stop()
	eventually(t, conn, storedLines, []string{"310 window req-a text", "320 window req-a text"})
}

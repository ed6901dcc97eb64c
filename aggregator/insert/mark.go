package insert

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/schema"
)

// Figures by the minute are computed from the rows (package rollup), and have to
// be computed again when rows come. So each insert's minutes are marked. That
// is an insert, too, and costs as much as one of rows; so a mark is made ahead
// of time: it has a time to come, until which the minute counts as touched
// just now. That is its lease. Whatever is visible before a lease ends is seen by
// who computes the figures after that, and until then they are not asked.
//
// Minutes are marked before their rows are written, since a crash may come in
// between. Whether the lease was long enough is asked when the rows are visible,
// and before anybody is told: if it was not, the minutes are marked again. So it does
// not matter how long an insert takes, nor what happens meanwhile.

// DefaultLease is for how long minutes are marked ahead: so much later their
// figures are there, and so seldom is a mark written of a function in use.
const DefaultLease = 10 * time.Second

// maxLeases bounds the leases that are remembered. Above it all are forgotten,
// and the next rows marked again.
const maxLeases = 200_000

// mark names what is marked: a minute of a function or, for starts, an instance
// with a minute of its demand.
type mark struct {
	kind string
	function
	instance string // of starts only
	minute   int64  // Unix time in seconds; none if the row of a start does not tell it
}

const none = -1

// Kinds of marks, as the store names them.
const (
	lines       = "lines"
	invocations = "invocations"
	starts      = "starts"
)

// minuteOf is what the store takes for the minute of t: its range ends in 2106.
func minuteOf(t time.Time) int64 {
	s := min(max(t.Unix(), 0), math.MaxUint32)
	return s - s%60
}

// touchedByLines adds the marks that lines need.
func touchedByLines(all map[mark]bool, rows []schema.LogRow) {
	var last mark
	for i := range rows {
		r := &rows[i]
		if m := (mark{lines, function{r.Tenant, r.Namespace, r.Function}, "", minuteOf(r.Time)}); m != last { // mostly it is the one before
			all[m], last = true, m
		}
	}
}

// touched are the marks that b's rows need which are not packed.
func touched(b *Batch) map[mark]bool {
	all := map[mark]bool{}
	touchedByLines(all, b.Logs)
	for i := range b.Invocations {
		r := &b.Invocations[i]
		all[mark{invocations, function{r.Tenant, r.Namespace, r.Function}, "", minuteOf(r.StartedAt)}] = true
	}
	for i := range b.ColdStarts {
		r := &b.ColdStarts[i]
		m := mark{starts, function{r.Tenant, r.Namespace, r.Function}, r.Instance, none}
		if r.DemandedAt != nil {
			m.minute = minuteOf(*r.DemandedAt)
		}
		all[m] = true
	}
	for i := range b.Phases {
		r := &b.Phases[i]
		all[mark{starts, function{r.Tenant, r.Namespace, r.Function}, r.Instance, none}] = true
	}
	return all
}

// leases are those of a shard's marks.
type leases struct {
	mu sync.Mutex
	of map[mark]lease
}

type lease struct {
	end  time.Time
	late bool // it was needed in its second half
}

// runs reports whether l has not ended at now. A machine that slept knows that
// by one of its two clocks only.
func (l lease) runs(now time.Time) bool {
	return now.Before(l.end) && now.Round(0).Before(l.end.Round(0))
}

// due gives the marks of needed that have no lease at now and, if there are any,
// those whose lease is to be renewed with them: that are in use and have
// less than half of it left.
func (l *leases) due(needed map[mark]bool, now time.Time, length time.Duration) []mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	half := now.Add(length / 2)
	var due []mark
	for m := range needed {
		own := l.of[m]
		switch {
		case !own.runs(now):
			due = append(due, m)
		case !own.runs(half):
			l.of[m] = lease{own.end, true}
		}
	}
	if len(due) == 0 {
		return nil
	}
	for m, own := range l.of {
		switch {
		case !own.runs(now):
			delete(l.of, m)
		case own.late:
			due = append(due, m)
		}
	}
	return due
}

func (l *leases) grant(marks []mark, end time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil || len(l.of)+len(marks) > maxLeases {
		l.of = map[mark]lease{}
	}
	for _, m := range marks {
		l.of[m] = lease{end: end}
	}
}

// cover returns when each of needed has a lease that had not ended at the call.
func (w *Writer) cover(ctx context.Context, shard int, needed map[mark]bool) error {
	var minutes, instances []mark
	for _, m := range w.leases[shard].due(needed, time.Now(), w.Lease) {
		if m.kind == starts {
			instances = append(instances, m)
			continue
		}
		minutes = append(minutes, m)
	}
	g, ctx := errgroup.WithContext(ctx)
	markEach(g, ctx, w, &schema.Marks, minutes,
		func(m *mark) (function, time.Time) { return m.function, time.Unix(m.minute, 0) },
		func(m *mark, end uint64) schema.MarkRow {
			return schema.MarkRow{Kind: m.kind, Tenant: m.tenant, Namespace: m.namespace, Function: m.name, Minute: time.Unix(m.minute, 0), Dirtied: end}
		})
	markEach(g, ctx, w, &schema.InstanceMarks, instances,
		func(m *mark) (function, time.Time) { return m.function, time.Time{} },
		func(m *mark, end uint64) schema.InstanceMarkRow {
			row := schema.InstanceMarkRow{Tenant: m.tenant, Namespace: m.namespace, Function: m.name, Instance: m.instance, Dirtied: end}
			if m.minute != none {
				row.Minutes = []time.Time{time.Unix(m.minute, 0)}
			}
			return row
		})
	return g.Wait()
}

// markEach writes marks in one insert per day, whose leases end by the
// clock of the server that takes it. Ours is not asked, and no token is used: a try
// that arrived although its answer did not has a lease that ends earlier.
func markEach[T any](g *errgroup.Group, ctx context.Context, w *Writer, t *schema.Table[T], marks []mark, place func(*mark) (function, time.Time), row func(*mark, uint64) T) {
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{"async_insert": 0}))
	for p, part := range split(&w.target, marks, place) {
		local := *t
		local.Name = w.target.table(t.Name)
		g.Go(func() error {
			return w.send(ctx, p.shard, t.Name, len(part), func(server driver.Conn) error {
				asked := time.Now()
				var clock int64
				if err := server.QueryRow(ctx, "SELECT toUnixTimestamp64Nano(now64(9))").Scan(&clock); err != nil {
					return fmt.Errorf("ask for the server's time: %w", err)
				}
				rows := make([]T, len(part))
				for i := range part {
					rows[i] = row(&part[i], uint64(clock+int64(w.Lease)))
				}
				if err := local.Insert(ctx, server, rows); err != nil {
					return err
				}
				w.leases[p.shard].grant(part, asked.Add(w.Lease))
				return nil
			})
		})
	}
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/test/loss/rig"
)

const (
	sustainedTime = 5 * time.Minute
	sampleEvery   = 5 * time.Second
	// What may grow from the middle of a run to its end: memory hardly, parts by
	// what the merges under way happen to hold.
	memoryGrowth = 1.15
	partsGrowth  = 1.5
	// fewParts are too few to say that they grow.
	fewParts = 40
)

// sample is what a server was like at one time of a run.
type sample struct {
	at             time.Duration
	lines          int64 // that were stored since the sample before, a second
	server, engine int64 // RSS, bytes
	parts          map[string]uint64
	active, fresh  uint64 // parts, and those of them that no merge has had yet
	p50, p99       time.Duration
}

// sustained measures what a server is like while lines come for a long time:
// whether its memory, its parts or its latency grow. At rate 0 they come as
// fast as they are taken.
func (b *bench) sustained(ctx context.Context, name string, rate int) error {
	if !b.long && !b.secondsGiven {
		b.add(Result{Name: name, State: "skipped", Note: "it takes five minutes: -long, or -seconds for a shorter time"})
		return nil
	}
	long := b.seconds
	if !b.secondsGiven {
		long = sustainedTime
	}
	s, err := b.server(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	conn, err := s.store(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()

	var stored atomic.Int64
	load, endLoad := context.WithTimeout(ctx, long)
	defer endLoad()
	sending := make(chan error, 1)
	go func() { sending <- s.sendFor(load, rate, &stored) }()
	probes := s.probe(ctx)
	fmt.Fprintln(b.log, sampleHead)
	samples, err := s.samples(ctx, conn, long, &stored, probes, func(one *sample) { fmt.Fprintln(b.log, one) })
	endLoad()
	if err = errors.Join(err, <-sending, probes.stop()); err != nil {
		return err
	}
	b.judge(name, rate, samples)
	if probes.unread > 0 {
		b.add(Result{Name: name + ", latency", Figure: float64(probes.unread), Unit: "probes", State: "over", Note: "could not be read within " + probePatience.String()})
	}
	return nil
}

// sendFor pushes lines until ctx ends, at a rate a second if that is not 0, and
// counts those that are stored.
func (s *server) sendFor(ctx context.Context, rate int, stored *atomic.Int64) error {
	const guess = 150_000 // lines a second without a rate: their times are about now
	from := newSenderSince(time.Now(), time.Second/time.Duration(cmp.Or(rate, guess)), true)
	var g errgroup.Group
	g.SetLimit(pushes)
	begin := time.Now()
	for sent := 0; ctx.Err() == nil; {
		n := pushLines
		if rate > 0 {
			n = min(n, rate/20)
			if rig.Wait(ctx, time.Until(begin.Add(time.Duration(sent)*time.Second/time.Duration(rate)))) != nil {
				break
			}
		}
		body, err := from.next(n)
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		sent += n
		g.Go(func() error {
			err := s.push(context.WithoutCancel(ctx), body)
			if err == nil {
				stored.Add(int64(n))
			}
			return err
		})
	}
	return g.Wait()
}

// samples takes a sample now and then, as long as the load goes on, and tells
// each.
func (s *server) samples(ctx context.Context, conn driver.Conn, long time.Duration, stored *atomic.Int64, probes *probes, tell func(*sample)) ([]sample, error) {
	every := min(sampleEvery, long/12)
	var all []sample
	begin, before := time.Now(), int64(0)
	for last := begin; time.Since(begin)+every <= long; {
		if err := rig.Wait(ctx, every); err != nil {
			return all, err
		}
		now := time.Now()
		total := stored.Load()
		one := sample{at: now.Sub(begin), lines: int64(float64(total-before) / now.Sub(last).Seconds())}
		last, before = now, total
		took := probes.taken()
		one.p50, one.p99 = quantile(took, 50), quantile(took, 99)
		if err := s.look(ctx, conn, &one); err != nil {
			return all, err
		}
		tell(&one)
		all = append(all, one)
	}
	return all, nil
}

// look fills what the processes and the engine say of themselves.
func (s *server) look(ctx context.Context, conn driver.Conn, one *sample) (err error) {
	if one.server, _, err = s.Memory(); err != nil {
		return err
	}
	if one.engine, _, err = rig.Memory(s.engine); err != nil {
		return err
	}
	rows, err := conn.Query(ctx, "SELECT table, count(), countIf(level = 0) FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	one.parts = map[string]uint64{}
	for rows.Next() {
		var table string
		var active, fresh uint64
		if err := rows.Scan(&table, &active, &fresh); err != nil {
			return err
		}
		one.parts[table] = active
		one.active += active
		one.fresh += fresh
	}
	return rows.Err()
}

// judge adds the figures of a run. A third of it in the middle is held against
// the last one.
func (b *bench) judge(name string, rate int, samples []sample) {
	third := len(samples) / 3
	if third == 0 {
		b.add(Result{Name: name, State: "failed", Note: "too short to be sampled"})
		return
	}
	middle, end := samples[third:2*third], samples[len(samples)-third:]
	mean := func(of []sample, get func(*sample) float64) float64 {
		sum := 0.0
		for i := range of {
			sum += get(&of[i])
		}
		return sum / float64(len(of))
	}
	growth := func(what, note string, most, few float64, get func(*sample) float64) {
		was, is := mean(middle, get), mean(end, get)
		b.add(Result{
			Name: name + ", " + what, Figure: max(is, few) / max(was, few), Unit: "of the middle", Target: most,
			Note: fmt.Sprintf(note, was, is),
		})
	}
	lines := Result{
		Name: name, Figure: mean(samples, func(s *sample) float64 { return float64(s.lines) }) / 1000, Unit: "thousand lines/s",
		Note: fmt.Sprintf("for %s; the push's sender makes its lines beside it", samples[len(samples)-1].at.Round(time.Second)),
	}
	if rate > 0 {
		lines.AtLeast = 0.95 * float64(rate) / 1000
	}
	b.add(lines)
	growth("memory", "server %.0f MB, then %.0f MB", memoryGrowth, 1, func(s *sample) float64 { return float64(s.server) / 1e6 })
	growth("engine's memory", "engine %.0f MB, then %.0f MB", memoryGrowth, 1, func(s *sample) float64 { return float64(s.engine) / 1e6 })
	growth("parts", "%.0f active parts, then %.0f", partsGrowth, fewParts, func(s *sample) float64 { return float64(s.active) })
	growth("unmerged parts", "%.0f of level 0, then %.0f", partsGrowth, fewParts, func(s *sample) float64 { return float64(s.fresh) })
	tables := map[string]bool{}
	for i := range samples {
		for table := range samples[i].parts {
			tables[table] = true
		}
	}
	for _, table := range sorted(tables) {
		if got := mean(end, func(s *sample) float64 { return float64(s.parts[table]) }); got >= fewParts {
			growth("parts of "+table, "%.0f, then %.0f", partsGrowth, fewParts, func(s *sample) float64 { return float64(s.parts[table]) })
		}
	}
}

func sorted(set map[string]bool) []string {
	names := make([]string, 0, len(set))
	for name := range set {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// sampleHead is above the samples of a run.
const sampleHead = "      at   lines/s  server MB  engine MB  parts  level 0   p50 ms   p99 ms  most parts"

// String is a line of the table under sampleHead.
func (s *sample) String() string {
	return fmt.Sprintf("%8s  %8d  %9.0f  %9.0f  %5d  %7d  %7.0f  %7.0f  %s",
		s.at.Round(time.Second), s.lines, float64(s.server)/1e6, float64(s.engine)/1e6, s.active, s.fresh, ms(s.p50), ms(s.p99), s.most())
}

// most names the tables with the most parts.
func (s *sample) most() string {
	tables := make([]string, 0, len(s.parts))
	for table := range s.parts {
		tables = append(tables, table)
	}
	slices.SortFunc(tables, func(a, b string) int { return cmp.Or(cmp.Compare(s.parts[b], s.parts[a]), strings.Compare(a, b)) })
	var text []string
	for _, table := range tables[:min(len(tables), 3)] {
		text = append(text, fmt.Sprintf("%s %d", table, s.parts[table]))
	}
	return strings.Join(text, ", ")
}

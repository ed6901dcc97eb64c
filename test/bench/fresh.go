package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/test/loss/rig"
)

// fresh measures how long after its push begins a line can be read, while
// others come at a rate.
func (b *bench) fresh(ctx context.Context, rate int) error {
	s, err := b.server(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	lines := int(b.seconds.Seconds()) * rate
	serverBefore, engineBefore, err := s.spent()
	if err != nil {
		return err
	}
	probes := s.probe(ctx)
	err = s.send(ctx, newSender(lines, true), lines, rate)
	if err := cmp.Or(err, probes.stop()); err != nil {
		return err
	}
	serverTime, engineTime, err := s.spent()
	if err != nil {
		return err
	}
	serverTime, engineTime = serverTime-serverBefore, engineTime-engineBefore
	took := probes.taken()
	if len(took) < 20 || probes.unread > 0 {
		return fmt.Errorf("%d probes, of which %d could not be read within %s", len(took), probes.unread, probePatience)
	}
	b.add(Result{
		Name: "from push to query", Figure: ms(quantile(took, 50)), Unit: "ms p50", Target: 500,
		Note: fmt.Sprintf("%d probes beside %d lines/s", len(took), rate),
	})
	million := float64(lines) / 1e6
	b.add(Result{
		Name: fmt.Sprintf("at %d lines/s, both", rate), Figure: (serverTime + engineTime).Seconds() / million, Unit: "CPU s/M lines",
		Note: fmt.Sprintf("engine %.2f, with the probes", engineTime.Seconds()/million),
	})
	b.add(Result{Name: "from push to query, p99", Figure: ms(quantile(took, 99)), Unit: "ms p99", Target: 2000})
	return nil
}

// quantile sorts took and gives what so many percent of it are below; 0 of none.
func quantile(took []time.Duration, percent int) time.Duration {
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[len(took)*percent/100]
}

// probes push a line now and then, and look how long it takes until it is read.
type probes struct {
	s      *server
	end    context.CancelFunc
	ended  chan struct{}
	mu     sync.Mutex
	took   []time.Duration
	unread int // that could not be read within probePatience
	failed error
}

// probePatience is how long a probe looks for its line.
const probePatience = time.Minute

// probe starts to probe s, until stop or ctx ends it.
func (s *server) probe(ctx context.Context) *probes {
	ctx, end := context.WithCancel(ctx)
	p := &probes{s: s, end: end, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		var g errgroup.Group
		g.SetLimit(4)
		for n := 0; rig.Wait(ctx, 200*time.Millisecond) == nil; n++ {
			g.Go(func() error { return p.one(context.WithoutCancel(ctx), n) })
		}
		p.failed = g.Wait()
	}()
	return p
}

// stop ends the probing, and tells whether a line could not be read.
func (p *probes) stop() error {
	p.end()
	<-p.ended
	return p.failed
}

// taken gives what the probes since the last call took.
func (p *probes) taken() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := p.took
	p.took = nil
	return took
}

func (p *probes) one(ctx context.Context, n int) error {
	body, id, err := probe(n)
	if err != nil {
		return err
	}
	begin := time.Now()
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		_ = p.s.push(ctx, body) // what counts is when it can be read
	}()
	defer func() { <-pushed }()
	for {
		if there, err := p.s.hasLine(ctx, id, begin); err == nil && there {
			break
		}
		// Who looks more often than the figure needs is a load of its own.
		if err := rig.Wait(ctx, max(40*time.Millisecond, time.Since(begin)/8)); err != nil {
			return err
		}
		if time.Since(begin) > probePatience {
			break
		}
	}
	took := time.Since(begin)
	p.mu.Lock()
	defer p.mu.Unlock()
	if took > probePatience {
		p.unread++
	}
	p.took = append(p.took, took)
	return nil
}

// hasLine asks whether the line of a probe, pushed at begin, can be found: by
// what costs least, since it is asked again and again.
func (s *server) hasLine(ctx context.Context, probe string, begin time.Time) (bool, error) {
	query := url.Values{
		"namespace": {benchNamespace}, "function": {probeFunction}, "instance": {probeInstance(probe)}, "stream": {"stdout"},
		"since": {begin.Add(-time.Second).Format(time.RFC3339Nano)}, "limit": {"1"},
	}
	var found struct{ Lines []json.RawMessage }
	err := s.answer(ctx, "/api/v1/lines?"+query.Encode(), &found)
	return len(found.Lines) > 0, err
}

package containerd

import (
	"context"
	"time"
)

// The polling of a namespace in which something is being pulled. It is fast
// while blobs are being written, slow while a pull only unpacks, and ends with it.
const (
	fastPoll  = 20 * time.Millisecond
	slowPoll  = time.Second
	leasePoll = 200 * time.Millisecond // at most so often
	lull      = time.Second            // without a download, before it gets slow
)

// poller is which namespaces are polled, and when next.
type poller struct {
	timer  *time.Timer
	active map[string]*polled
}

type polled struct {
	busy   time.Time // last time that a download was under way
	next   time.Time
	leases time.Time // last time that they were read
}

func newPoller() poller {
	return poller{timer: time.NewTimer(time.Hour), active: map[string]*polled{}}
}

// pollOnce looks for a pull that is under way already.
func (s *session) pollOnce(ctx context.Context, namespace string) error {
	if s.poll.active[namespace] == nil {
		s.poll.active[namespace] = &polled{}
	}
	return s.pollAll(ctx)
}

// pollSoon begins to poll a namespace: there are signs of a pull.
func (s *session) pollSoon(ctx context.Context, namespace string) error {
	now := time.Now()
	p := s.poll.active[namespace]
	if p == nil {
		p = &polled{}
		s.poll.active[namespace] = p
	}
	p.busy = now
	if now.Sub(p.leases) >= leasePoll {
		return s.pollAll(ctx)
	}
	s.schedule(now)
	return nil
}

// pollAll polls the namespaces whose time has come.
func (s *session) pollAll(ctx context.Context) error {
	for namespace, p := range s.poll.active {
		now := time.Now()
		if now.Before(p.next) {
			continue
		}
		downloads, err := s.downloads(ctx, namespace)
		if err != nil {
			return err
		}
		s.state.pulls.statuses(namespace, downloads, now)
		if now.Sub(p.leases) >= leasePoll {
			if err := s.pollLeases(ctx, namespace, p); err != nil {
				return err
			}
		}
		switch {
		case len(downloads) > 0:
			p.busy = now
			p.next = now.Add(fastPoll)
		case now.Sub(p.busy) < lull:
			p.next = now.Add(fastPoll)
		case s.state.pulls.underWay(namespace):
			p.next = now.Add(slowPoll)
		default:
			delete(s.poll.active, namespace)
		}
	}
	s.schedule(time.Now())
	return nil
}

func (s *session) schedule(now time.Time) {
	next := now.Add(time.Hour)
	for _, p := range s.poll.active {
		if p.next.Before(next) {
			next = p.next
		}
	}
	s.poll.timer.Reset(next.Sub(now))
}

func (s *session) pollLeases(ctx context.Context, namespace string, p *polled) error {
	p.leases = time.Now()
	leases, err := s.pullLeases(ctx, namespace, p.leases)
	if err != nil {
		return err
	}
	s.state.pulls.held(namespace, leases, p.leases)
	return nil
}

// named takes in that an image was given a name, with which a pull ends.
func (s *session) named(ctx context.Context, namespace, name string, at time.Time) error {
	target, err := s.target(ctx, namespace, name)
	if target == nil || err != nil {
		return err
	}
	digest := target.GetDigest()
	if p := s.poll.active[namespace]; p != nil && !s.state.pulls.leased(namespace, digest) {
		if err := s.pollLeases(ctx, namespace, p); err != nil {
			return err
		}
	}
	s.state.pulls.named(namespace, digest, at)
	return nil
}

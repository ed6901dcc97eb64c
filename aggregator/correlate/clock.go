package correlate

import (
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// A platform on another host stamps its events by another clock than the one
// that stamps the lines. Where both it and somebody on the instance's host tell
// of one start, the two accounts bound how far the clocks are apart: the
// platform demanded the instance before anything was done for it on the host,
// and learned that it was ready after its port had opened. Only where these
// bounds say that the clocks must differ is anything corrected.

const (
	maxClocks  = 1024 // pairs of source and host
	maxSamples = 16   // starts that a pair's bounds are made of
	// grain is how far two stamps of one clock may contradict each other.
	grain = 20 * time.Millisecond
)

type clockPair struct{ source, host string }

// bounds are those of how far a source's clock is ahead of a host's.
type bounds struct{ least, most time.Duration }

// clocks holds the bounds of the latest starts by pair, the newest last.
type clocks map[clockPair][]bounds

// hear notes who tells of the instance and who sees it.
func (i *instance) hear(e *faas.Event) {
	if e.Observed {
		i.host = e.Source
	} else {
		i.source = e.Source
	}
}

// synchronize brings the instance's clocks up to date by what is known of
// their pair, this instance's own accounts included.
func (c *Correlator) synchronize(i *instance) {
	if i.source == "" || i.host == "" || i.source == i.host {
		return
	}
	pair := clockPair{i.source, i.host}
	for n := range i.lives {
		if b, ok := i.lives[n].bounds(); ok && !i.lives[n].sampled {
			i.lives[n].sampled = true
			c.clocks.add(pair, b)
		}
	}
	offset, slack, known := c.clocks.apart(pair)
	if !known || offset == i.offset && slack == i.slack {
		return
	}
	i.offset, i.slack = offset, slack
	for n := range i.lives {
		l := &i.lives[n]
		l.settle(offset)
		ahead, wrong := offset.Nanoseconds(), slack.Nanoseconds()
		c.out.ColdStarts = append(c.out.ColdStarts, schema.ColdStartRow{
			Tenant: i.key.Tenant, Namespace: i.key.Namespace, Function: i.key.Function, Instance: i.key.Instance, Life: l.number,
			ClockOffsetNS: &ahead, ClockSlackNS: &wrong,
		})
	}
	i.index(0)
	c.doubt(i, time.Time{})
	i.stir(time.Time{})
	if i.dropped.After(i.horizon) {
		c.overdue(i, i.horizon.Add(1), i.dropped)
	}
}

// bounds are what the two accounts of one start say. A time in whole seconds is
// one that was cut to them.
func (l *life) bounds() (bounds, bool) {
	told, observed := &l.told, &l.observed
	if told.demanded.IsZero() || told.ready.IsZero() || observed.demanded.IsZero() || observed.ready.IsZero() {
		return bounds{}, false
	}
	b := bounds{told.demanded.Sub(observed.demanded), told.ready.Sub(observed.ready)}
	if observed.demanded.Nanosecond() == 0 {
		b.least -= time.Second
	}
	if told.ready.Nanosecond() == 0 {
		b.most += time.Second
	}
	return b, b.least <= b.most
}

func (s clocks) add(p clockPair, b bounds) {
	if len(s) >= maxClocks && s[p] == nil {
		clear(s)
	}
	list := s[p]
	if len(list) == maxSamples {
		list = append(list[:0], list[1:]...)
	}
	s[p] = append(list, b)
}

// apart is how far the source's clock is ahead of the host's, give or take
// slack: what the bounds of the latest starts have in common. It is 0 if they
// allow that it is the same clock. A start that contradicts the newer ones is
// from before a clock was set.
func (s clocks) apart(p clockPair) (offset, slack time.Duration, known bool) {
	list := s[p]
	if len(list) == 0 {
		return 0, 0, false
	}
	common := list[len(list)-1]
	for n := len(list) - 2; n >= 0; n-- {
		b := bounds{max(common.least, list[n].least), min(common.most, list[n].most)}
		if b.least > b.most {
			break
		}
		common = b
	}
	if common.least <= grain && common.most >= -grain {
		return 0, 0, true
	}
	slack = (common.most - common.least) / 2
	return common.least + slack, slack, true
}

package aggregator

import (
	"testing"
	"time"
)

// TestPace: what takes long is done less often, within bounds.
func TestPace(t *testing.T) {
	for _, c := range []struct{ age, took, want time.Duration }{
		{200 * time.Millisecond, 0, 200 * time.Millisecond},
		{200 * time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond},
		{200 * time.Millisecond, 40 * time.Millisecond, 320 * time.Millisecond},
		{200 * time.Millisecond, time.Minute, 400 * time.Millisecond},
		{10 * time.Millisecond, 2 * time.Millisecond, 16 * time.Millisecond},
		{time.Second, time.Minute, time.Second},
	} {
		m := merger{Aggregator: &Aggregator{cfg: Config{BatchAge: c.age}}, took: c.took}
		if got := m.pace(); got != c.want {
			t.Errorf("batch_age %s, and a write took %s: %s, want %s", c.age, c.took, got, c.want)
		}
	}
}

// TestPaceWithoutRoom: nothing is waited for that cannot come.
func TestPaceWithoutRoom(t *testing.T) {
	m := merger{Aggregator: &Aggregator{cfg: Config{BatchAge: time.Second}}}
	m.gathering.waiting = make([]*submission, 3)
	for _, c := range []struct {
		inside, outside int64
		want            time.Duration
	}{{3, 0, time.Second}, {4, 1, time.Second}, {3, 1, 0}, {0, 1, 0}} {
		m.inside.Store(c.inside)
		m.outside.Store(c.outside)
		if got := m.pace(); got != c.want {
			t.Errorf("3 of %d are gathered, %d have no room: %s, want %s", c.inside, c.outside, got, c.want)
		}
	}
}

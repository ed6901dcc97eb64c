package docker

import (
	"testing"
	"time"
)

// TestPosition never passes an event that is not done.
func TestPosition(t *testing.T) {
	begin := time.Unix(100, 0)
	p := newPosition(begin)
	var events []*taken
	for n := range 4 {
		events = append(events, p.take(begin.Add(time.Duration(n+1)*time.Second)))
	}
	for _, step := range []struct{ done, want int }{{1, 0}, {3, 0}, {0, 2}, {2, 4}} {
		p.done(events[step.done])
		if got := p.get(); !got.Equal(begin.Add(time.Duration(step.want) * time.Second)) {
			t.Errorf("after event %d: at %s, want %d s after the beginning", step.done, got, step.want)
		}
	}
}

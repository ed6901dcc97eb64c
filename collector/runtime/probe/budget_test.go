package probe

import (
	"testing"
	"time"
)

// TestBudget: a burst is free, and in the long run looks take their share and no more.
func TestBudget(t *testing.T) {
	v := &view{}
	now := time.Unix(1e9, 0)
	if pause := v.spend(now, maxBudget); pause != 0 {
		t.Errorf("a burst of %s is followed by a pause of %s", maxBudget, pause)
	}
	const took = 3 * time.Millisecond
	var busy time.Duration
	begin := now
	for range 1000 { // as many looks as are allowed
		now = now.Add(took)
		busy += took
		now = now.Add(v.spend(now, took))
	}
	if share := float64(now.Sub(begin)) / float64(busy); share < idleShare*0.95 || share > idleShare*1.05 {
		t.Errorf("looks take one part of %.1f, want %d", share, idleShare)
	}
	if pause := v.spend(now, time.Hour); pause > maxPause {
		t.Errorf("pause is %s", pause)
	}
	if pause := v.spend(now.Add(time.Hour), took); pause != 0 {
		t.Errorf("after an idle hour there is a pause of %s", pause)
	}
}

package functionhost

import (
	"sync"
	"time"
)

// clock gives times that strictly increase, so that the order of stamps is
// the order of what they stamp. Container runtimes stamp lines by the same
// wall clock; it is followed when it is set forward, and back by more than a
// second.
type clock struct {
	mu   sync.Mutex
	last time.Time // guarded by mu
}

func (c *clock) now() time.Time {
	t := time.Now().Round(0) // the wall clock alone
	c.mu.Lock()
	defer c.mu.Unlock()
	if behind := c.last.Sub(t); behind >= 0 && behind < time.Second {
		t = c.last.Add(1)
	}
	c.last = t
	return t
}

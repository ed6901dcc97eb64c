package registry

import (
	"net/http"
	"time"
)

// paceChunk is small enough that the pace looks steady and large enough that
// the timers cost nothing.
const paceChunk = 64 << 10

// maxLag is how much time a stream may make up for: timers fire late by
// about as much as a chunk takes, and the peer may be busy for a while.
const maxLag = 100 * time.Millisecond

// pacedWriter sends a body at a given bandwidth.
type pacedWriter struct {
	http.ResponseWriter
	ctx       <-chan struct{} // the request has ended
	bandwidth int64           // bytes per second
	next      time.Time       // when the next chunk may go
}

func (w *pacedWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		c := min(len(p), paceChunk)
		m, err := w.ResponseWriter.Write(p[:c])
		n += m
		if err != nil {
			return n, err
		}
		switch now := time.Now(); {
		case w.next.IsZero():
			w.next = now
		case now.Sub(w.next) > maxLag:
			w.next = now.Add(-maxLag)
		}
		w.next = w.next.Add(time.Duration(int64(c) * int64(time.Second) / w.bandwidth))
		if !wait(w.ctx, time.Until(w.next)) {
			return n, http.ErrAbortHandler
		}
		p = p[c:]
	}
	return n, nil
}

// wait lets d pass; false if done came first.
func wait(done <-chan struct{}, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
		return false
	}
}

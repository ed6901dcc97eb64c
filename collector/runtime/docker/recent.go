package docker

import (
	"sync"
	"time"
)

// recentCreates remembers which containers were created from which image in the
// last minutes, wanted or not.
type recentCreates struct {
	mu   sync.Mutex
	list []recentCreate // guarded by mu; in the order of their creation
}

type recentCreate struct {
	id, image string
	at        time.Time
}

// maxPullAge is how long before a container's creation its image's pull may
// have ended so that it counts as made for this container.
const maxPullAge = 60 * time.Second

const maxRecent = 4096

func newRecentCreates() *recentCreates { return &recentCreates{} }

func (r *recentCreates) add(id, image string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := 0
	for old < len(r.list) && (at.Sub(r.list[old].at) > 2*maxPullAge || len(r.list)-old >= maxRecent) {
		old++
	}
	r.list = append(r.list[old:], recentCreate{id, image, at})
}

// before tells whether another container than id was created from image before
// it, but after since.
func (r *recentCreates) before(id, image string, since time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.list {
		if c.id == id {
			return false
		}
		if c.image == image && c.at.After(since) {
			return true
		}
	}
	return false
}

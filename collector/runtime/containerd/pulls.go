package containerd

import (
	"slices"
	"strings"
	"time"
)

// How much is remembered of pulls. Ingests and snapshots are those of layers.
const (
	maxLeases    = 256
	maxContents  = 1024 // of one lease
	maxDownloads = 8192
	maxPulls     = 1024
)

// samePull joins the several names that one pull gives to its image.
const samePull = 2 * time.Second

// object names something in one of containerd's namespaces: a lease by its
// ID, a blob or an image by its digest, a snapshot by its chain ID.
type object struct{ namespace, id string }

// pull is one pull of an image that has ended.
type pull struct {
	begin   time.Time // creation of its lease; zero: it was not seen
	end     time.Time // its image was named
	before  time.Time // end of the pull before it, which fetched what was stored by then; zero: none is known
	claimed bool      // a container was created from it
}

// lease is what a pull holds while it is under way.
type lease struct {
	created  time.Time
	contents []string  // digests of blobs
	gone     time.Time // it was first seen to be no more
	ended    bool      // its pull has been recorded
}

// download is what was seen of a blob's way into the content store.
type download struct{ started, gone time.Time }

// pulls remembers what was seen of pulls under way and of those that have
// ended. It has no clock and does no I/O.
type pulls struct {
	leases    *recent[object, *lease]
	downloads *recent[object, download]
	prepared  *recent[object, time.Time]
	ended     *recent[object, *pull] // by the image's digest
	active    map[object]bool        // downloads under way at the last poll
}

func newPulls() *pulls {
	return &pulls{
		leases:    newRecent[object, *lease](maxLeases),
		downloads: newRecent[object, download](maxDownloads),
		prepared:  newRecent[object, time.Time](maxDownloads),
		ended:     newRecent[object, *pull](maxPulls),
		active:    map[object]bool{},
	}
}

// layerOf takes the chain ID out of the key of a snapshot in which a layer is
// being unpacked: "extract-UNIQUE CHAINID".
func layerOf(key string) (chainID string, ok bool) {
	_, chainID, ok = strings.Cut(key, " ")
	return chainID, ok && strings.HasPrefix(key, "extract-")
}

// blobOf takes the digest out of an ingest's reference, "layer-sha256:…".
func blobOf(ref string) (digest string, ok bool) {
	_, digest, ok = strings.Cut(ref, "-")
	return digest, ok && strings.Contains(digest, ":")
}

// statuses takes in all downloads under way in a namespace, as they were seen
// at a time.
func (p *pulls) statuses(namespace string, started map[string]time.Time, seen time.Time) {
	for digest, at := range started {
		o := object{namespace, digest}
		p.active[o] = true
		if d, ok := p.downloads.get(o); !ok || !d.started.Equal(at) {
			p.downloads.put(o, download{started: at})
		}
	}
	for o := range p.active {
		if _, ok := started[o.id]; ok || o.namespace != namespace {
			continue
		}
		delete(p.active, o)
		if d, ok := p.downloads.get(o); ok {
			d.gone = seen
			p.downloads.put(o, d)
		}
	}
}

// held takes in what the leases of a namespace hold, as it was seen at a
// time. Those that are not among them are no more.
func (p *pulls) held(namespace string, leases map[string]lease, seen time.Time) {
	for id, l := range leases {
		o := object{namespace, id}
		known, ok := p.leases.get(o)
		if !ok {
			known = &lease{created: l.created}
			p.leases.put(o, known)
		}
		known.contents = l.contents[:min(len(l.contents), maxContents)]
	}
	for o, l := range p.leases.values {
		if _, ok := leases[o.id]; !ok && o.namespace == namespace && l.gone.IsZero() {
			l.gone = seen
		}
	}
}

// named records that an image was named: its pull has ended, if it was one.
func (p *pulls) named(namespace, digest string, at time.Time) {
	o := object{namespace, digest}
	var of *lease
	for k, l := range p.leases.values {
		failed := !l.gone.IsZero() && at.Sub(l.gone) > samePull
		if k.namespace == namespace && !l.ended && !failed && l.created.Before(at) && slices.Contains(l.contents, digest) &&
			(of == nil || l.created.Before(of.created)) {
			of = l
		}
	}
	last, ok := p.ended.get(o)
	if of == nil && ok && at.Sub(last.end) < samePull {
		last.end = latest(last.end, at)
		return
	}
	ended := &pull{end: at}
	if ok {
		ended.before = last.end
	}
	if of != nil {
		of.ended = true
		ended.begin = of.created
	}
	p.ended.put(o, ended)
}

// claim gives a container the pull that was made for it, nil if none was. In
// either case unknown says that its begin was not seen, which it would have
// been by one who was there and if anything was fetched.
func (p *pulls) claim(namespace, digest string, created time.Time) (made *pull, unknown bool) {
	last, ok := p.ended.get(object{namespace, digest})
	if !ok {
		return nil, true
	}
	if last.claimed || created.Sub(last.end) > claimWindow {
		return nil, false
	}
	last.claimed = true
	return last, last.begin.IsZero()
}

// missed records a pull that nobody saw, and that a container has claimed.
func (p *pulls) missed(namespace, digest string, end time.Time) {
	p.ended.put(object{namespace, digest}, &pull{end: end, claimed: true})
}

// leased reports whether a pull under way is known that has fetched the blob.
func (p *pulls) leased(namespace, digest string) bool {
	for o, l := range p.leases.values {
		if o.namespace == namespace && !l.ended && slices.Contains(l.contents, digest) {
			return true
		}
	}
	return false
}

// underWay reports whether a pull is known that has not ended.
func (p *pulls) underWay(namespace string) bool {
	for o, l := range p.leases.values {
		if o.namespace == namespace && !l.ended && l.gone.IsZero() {
			return true
		}
	}
	return false
}

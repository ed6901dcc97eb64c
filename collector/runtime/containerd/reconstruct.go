package containerd

import (
	"strconv"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// claimWindow is how long after a pull a container may be created that the
// pull was made for.
const claimWindow = time.Minute

// longestPull bounds what is taken for one pull when only the stores' times
// are known: what was stored longer before the rest was there already.
const longestPull = time.Hour

// The values of LayerPulled.Cache, and of the phases' attribute.
const (
	cacheHit  = "hit"
	cacheMiss = "miss"
	cacheLazy = "lazy"
)

// layerFacts is what is known of one layer of a start's image.
type layerFacts struct {
	digest   string
	bytes    int64
	ingested time.Time // its download was seen to start; zero: not seen
	gone     time.Time // its download was seen to have ended
	stored   time.Time // its blob's commit; zero: there is no such blob
	prepared time.Time // its snapshot was seen to be begun
	unpacked time.Time // its snapshot's commit; zero: there is no such snapshot
}

// startFacts is what is known of one start until its container is created.
type startFacts struct {
	created   time.Time // of the container
	sandboxed time.Time // creation of its sandbox, if that was a part of this start
	manifest  time.Time // commit of the image's manifest; zero: there is no such blob
	pull      *pull     // that was made for it; nil: none was seen; one without begin fetched nothing
	missed    bool      // its begin may have been missed: go by the stores' times
	lazy      bool      // the snapshotter can do without layers' blobs
	layers    []layerFacts
}

// reconstruction is what the facts say.
type reconstruction struct {
	demanded time.Time
	from     time.Time // when its pull began, as far as that is known; zero: it had none
	phases   []faas.PhaseDone
	layers   []faas.LayerPulled
}

// reconstruct tells a start from its facts.
func reconstruct(f *startFacts) reconstruction {
	begin, from := f.pulling()
	r := reconstruction{demanded: earliest(f.created, f.sandboxed, begin)}
	if from.IsZero() {
		for _, l := range f.layers {
			r.layers = append(r.layers, faas.LayerPulled{Digest: l.digest, Bytes: l.bytes, Cache: f.cached(&l)})
		}
		return r
	}
	r.from, r.demanded = from, earliest(r.demanded, from)
	var pulled, unpacked faas.PhaseDone
	var bytes int64
	misses := 0
	var previous time.Time // commit of the layer below
	for i := range f.layers {
		l := f.layer(&f.layers[i], from, previous)
		previous = f.layers[i].unpacked
		r.layers = append(r.layers, l)
		if l.Cache == cacheMiss {
			misses++
			bytes += l.Bytes
			pulled.Start = earliest(pulled.Start, l.DownloadStart)
			pulled.End = latest(pulled.End, l.DownloadEnd)
		}
		unpacked.Start = earliest(unpacked.Start, l.UnpackStart)
		unpacked.End = latest(unpacked.End, l.UnpackEnd)
	}
	if fresh := !f.manifest.Before(from); fresh {
		if !begin.IsZero() {
			r.phases = append(r.phases, faas.PhaseDone{Name: faas.PhaseResolve, Start: begin, End: f.manifest})
		}
		pulled.Start = f.manifest
	}
	if misses > 0 && !pulled.Start.IsZero() && !pulled.End.Before(pulled.Start) {
		pulled.Name = faas.PhasePull
		pulled.Attributes = faas.Attributes{
			"bytes": strconv.FormatInt(bytes, 10), "layers": strconv.Itoa(len(f.layers)), "cache": cacheMiss,
		}
		r.phases = append(r.phases, pulled)
	}
	if !unpacked.Start.IsZero() {
		unpacked.Name = faas.PhaseUnpack
		r.phases = append(r.phases, unpacked)
	}
	return r
}

// pulling tells when the start's pull began, zero if that is not known, and
// from when on what was stored was stored by it, zero if none was made.
func (f *startFacts) pulling() (begin, from time.Time) {
	switch {
	case f.pull != nil && !f.pull.begin.IsZero():
		return f.pull.begin, f.pull.begin
	case !f.missed:
		return time.Time{}, time.Time{}
	}
	if f.pull != nil && !f.manifest.After(f.pull.before) {
		return time.Time{}, time.Time{} // the pull before brought it, and was told by another start
	}
	last := f.manifest
	for _, l := range f.layers {
		last = latest(last, l.stored, l.unpacked)
	}
	if f.manifest.IsZero() || f.created.Sub(last) > claimWindow || last.After(f.created) || last.Sub(f.manifest) > longestPull {
		return time.Time{}, time.Time{}
	}
	return time.Time{}, f.manifest
}

// layer tells one layer of a start that had a pull; what was stored from then
// on was stored by it, or waited for by it if another pull had begun it.
func (f *startFacts) layer(l *layerFacts, from, previous time.Time) faas.LayerPulled {
	out := faas.LayerPulled{Digest: l.digest, Bytes: l.bytes, Cache: f.cached(l)}
	end := l.stored
	if end.IsZero() {
		end = l.gone // a blob that was not kept after it was unpacked
	}
	if !end.IsZero() && !end.Before(from) && !end.After(f.created) {
		out.Cache = cacheMiss
		out.DownloadEnd = end
		if !l.ingested.IsZero() && !l.ingested.After(end) {
			out.DownloadStart = latest(l.ingested, from)
		}
	}
	if l.unpacked.IsZero() || l.unpacked.Before(from) || l.unpacked.After(f.created) {
		return out
	}
	if out.Cache == cacheLazy {
		return out // its snapshot is a mount: nothing was unpacked
	}
	start := previous
	if !l.prepared.IsZero() {
		start = l.prepared
	}
	if start = latest(start, out.DownloadEnd, from); !start.After(l.unpacked) {
		out.UnpackStart, out.UnpackEnd = start, l.unpacked
	}
	return out
}

// cached is what a layer is that was not downloaded.
func (f *startFacts) cached(l *layerFacts) string {
	if f.lazy && l.stored.IsZero() {
		return cacheLazy
	}
	return cacheHit
}

// earliest is the first of the times that are known.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// latest is the last of the times.
func latest(times ...time.Time) time.Time {
	var last time.Time
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

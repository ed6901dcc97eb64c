package docker

import (
	"slices"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// blob is a file that a layer came in.
type blob struct {
	size    int64
	created time.Time // the download began
	written time.Time // and had its last byte
	removed time.Time // while it was being unpacked: all was read
}

// pull is the pull of an image.
type pull struct {
	resolve interval // of the manifest; zero: not known
	pull    interval
	unpack  interval // end is the pull's own
	layers  []faas.LayerPulled
}

func (p *pull) begin() time.Time {
	if !p.resolve.start.IsZero() {
		return p.resolve.start
	}
	return p.pull.start
}

// bytes is how much was downloaded.
func (p *pull) bytes() (n int64) {
	for _, l := range p.layers {
		if l.Cache == "miss" {
			n += l.Bytes
		}
	}
	return n
}

const (
	// grain is how coarse the kernel's stamps on files are, with some room.
	grain = 12 * time.Millisecond
	// maxStall is how long dockerd takes at most from one step of a pull to
	// the next when nothing else holds it up.
	maxStall = 5 * time.Second
	// maxFinish is how long it takes at most from the last layer until the image
	// is stored. If it was longer, the layers were here for another image.
	maxFinish = 10 * time.Second
)

// reconstruct tells how the pull went that stored an image, from the files of
// the image and the blobs that came about that time, for this image or for
// others. It gives nil if no layer was pulled then.
func reconstruct(img *imageFiles, blobs []blob) *pull {
	last := len(img.layers) - 1
	if last < 0 || img.stored.IsZero() || img.stored.Sub(img.layers[last].unpack.end) > maxFinish {
		return nil
	}
	files := match(img.layers, blobs)
	begin, fresh := beginning(img, files, blobs)
	if !fresh {
		if files[last] == nil {
			return nil
		}
		begin = files[last].created
	}
	// A layer is registered on top of the one below it, so those that were here
	// are below those that were pulled.
	first := last + 1
	for first > 0 && !img.layers[first-1].unpack.end.Before(begin.Add(-grain)) {
		first--
		if b := files[first]; b != nil && !fresh {
			begin = earlier(begin, b.created)
		}
	}
	if !slices.ContainsFunc(files[first:], func(b *blob) bool { return b != nil }) {
		return nil
	}
	p := &pull{pull: interval{start: begin}}
	if fresh {
		p.resolve = img.manifest
	}
	p.fill(img, files, first)
	return p
}

// fill adds the layers; those from first on were pulled.
func (p *pull) fill(img *imageFiles, files []*blob, first int) {
	before := time.Time{} // end of the unpacking of the layer below
	for n, l := range img.layers {
		out := faas.LayerPulled{Digest: l.digest, Bytes: l.bytes, Cache: "hit"}
		if n >= first {
			out.Cache = "miss"
			came := later(before, p.pull.start) // from when it could be unpacked
			if b := files[n]; b != nil {
				// Another image's pull may have begun to fetch it.
				out.DownloadStart = later(b.created, p.pull.start)
				out.DownloadEnd = later(b.written, out.DownloadStart)
				came = later(before, out.DownloadEnd)
				p.pull.end = later(p.pull.end, out.DownloadEnd)
				if out.Bytes == 0 {
					out.Bytes = b.size
				}
			}
			out.UnpackStart = l.unpack.start
			if out.UnpackStart.IsZero() {
				out.UnpackStart = came
			}
			out.UnpackEnd = later(l.unpack.end, out.UnpackStart)
			if p.unpack.start.IsZero() {
				p.unpack.start = out.UnpackStart
			}
			before = out.UnpackEnd
		}
		if out.Digest != "" {
			p.layers = append(p.layers, out)
		}
	}
	p.unpack.end = later(img.stored, before)
}

// match finds the blob of each layer, nil where there is none or where more
// than one could be it. dockerd unlinks a layer's blob while it unpacks it, and
// unpacks the layers of one image one after the other.
func match(layers []layerFile, blobs []blob) []*blob {
	out := make([]*blob, len(layers))
	used := map[*blob]bool{}
	for _, tolerance := range []time.Duration{0, grain} {
		for n, l := range layers {
			if out[n] != nil || l.unpack.end.IsZero() {
				continue
			}
			var found []*blob
			for i := range blobs {
				if b := &blobs[i]; !used[b] && fits(l, b, tolerance) {
					found = append(found, b)
				}
			}
			if len(found) == 1 {
				out[n], used[found[0]] = found[0], true
			}
		}
	}
	return out
}

func fits(l layerFile, b *blob, tolerance time.Duration) bool {
	if l.bytes != 0 && l.bytes != b.size {
		return false
	}
	if b.removed.After(l.unpack.end.Add(tolerance)) {
		return false
	}
	if l.unpack.start.IsZero() {
		return l.unpack.end.Sub(b.removed) < maxStall
	}
	return !b.removed.Before(l.unpack.start.Add(-tolerance)) && !b.written.After(l.unpack.start.Add(tolerance))
}

// beginning is when an image's layers were begun to be downloaded. fresh says
// that its manifest was downloaded just before: one that stayed from an earlier
// pull says nothing of this one.
func beginning(img *imageFiles, files []*blob, blobs []blob) (at time.Time, fresh bool) {
	var firstOwn time.Time
	for _, b := range files {
		if b != nil && !img.manifest.end.IsZero() && !b.created.Before(img.manifest.end.Add(-grain)) &&
			(firstOwn.IsZero() || b.created.Before(firstOwn)) {
			firstOwn = b.created
		}
	}
	if firstOwn.IsZero() {
		return time.Time{}, false
	}
	// dockerd downloads a few layers at a time: other pulls may have kept this
	// one waiting.
	for t := img.manifest.end; ; {
		if firstOwn.Sub(t) < maxStall {
			return img.manifest.end, true
		}
		next := t
		for _, b := range blobs {
			if b.created.Before(t.Add(maxStall)) {
				next = later(next, b.written)
			}
		}
		if !next.After(t) {
			return time.Time{}, false
		}
		t = next
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

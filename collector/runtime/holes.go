package runtime

import (
	"github.com/coldscope/coldscope/internal/faas"
)

// keep remembers what the platform said, if it left something out that can be
// seen from outside. It may say more later.
func (i *instance) keep(key string, e *faas.Event) {
	all := *e
	if earlier, ok := i.said[key]; ok {
		all.Data = join(e.Data, earlier.Data)
	}
	if complete(all.Data) {
		delete(i.said, key)
		return
	}
	if i.said == nil {
		i.said = map[string]faas.Event{}
	}
	i.said[key] = all
}

// complete reports whether nothing is left out of what the platform said.
// What a start was demanded for, and in which region, only it can know; what its
// CPU time was, no platform says, and nobody asks for it alone.
func complete(d faas.Data) bool {
	switch d := d.(type) {
	case faas.Demanded:
		return d.Image != "" && d.Digest != "" && d.ImageBytes != 0 && d.Registry != "" && d.MemoryLimit != 0
	case faas.LayerPulled:
		return d.Bytes != 0 && d.Cache != "" && (d.Cache != "miss" || !d.DownloadEnd.IsZero() && !d.UnpackEnd.IsZero())
	case faas.Stopped:
		return d.Reason != "" && d.ExitCode != nil && d.MemoryPeak != 0
	}
	return true
}

// fill gives what the platform said with what was seen in its holes, under the
// name of what was seen; false if that adds nothing.
func fill(said, seen faas.Event) (faas.Event, bool) {
	whole := said
	whole.ID, whole.Source = seen.ID, seen.Source
	whole.Data = join(said.Data, seen.Data)
	return whole, whole.Data != said.Data
}

// join fills the holes of a with what b says of the same fact.
func join(a, b faas.Data) faas.Data {
	switch a := a.(type) {
	case faas.Demanded:
		if b, ok := b.(faas.Demanded); ok {
			or(&a.RequestID, b.RequestID)
			or(&a.Image, b.Image)
			or(&a.Digest, b.Digest)
			or(&a.ImageBytes, b.ImageBytes)
			or(&a.Registry, b.Registry)
			or(&a.Region, b.Region)
			or(&a.MemoryLimit, b.MemoryLimit)
		}
		return a
	case faas.LayerPulled:
		if b, ok := b.(faas.LayerPulled); ok {
			or(&a.Bytes, b.Bytes)
			or(&a.Cache, b.Cache)
			if a.DownloadEnd.IsZero() { // an interval is one's or the other's
				a.DownloadStart, a.DownloadEnd = b.DownloadStart, b.DownloadEnd
			}
			if a.UnpackEnd.IsZero() {
				a.UnpackStart, a.UnpackEnd = b.UnpackStart, b.UnpackEnd
			}
		}
		return a
	case faas.Stopped:
		if b, ok := b.(faas.Stopped); ok {
			or(&a.Reason, b.Reason)
			or(&a.ExitCode, b.ExitCode)
			or(&a.MemoryPeak, b.MemoryPeak)
			or(&a.CPUTime, b.CPUTime)
			a.OOM = a.OOM || b.OOM
		}
		return a
	}
	return a
}

// or sets v to otherwise if nothing is known of it.
func or[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

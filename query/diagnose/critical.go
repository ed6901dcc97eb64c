// Package diagnose says where a start's time went and what would have saved
// it. It is pure: facts in, findings out; no clock, no I/O.
//
// # The critical path
//
// Phases overlap, so their durations add up to more than the start took. The
// critical path charges every instant from the demand to readiness to the one
// phase that the end of the start was waiting for, or to "other" where none was
// active. It is found backwards, as in any project plan: from readiness, go to
// the activity that ended there, since it is what let the rest begin; charge it
// back to its own start; go on from that instant with the activity that ended
// there. Where none ended exactly there, the one that ended next after it is
// charged, and where none was active, the gap is charged to "other".
//
// Pull and unpack are a pipeline: unpack lasts from the first layer to the
// last but idles while it waits for bytes. So where the layers' own intervals
// are known they stand for the phase: a layer's unpacking waited either for its
// download or for the layer before it, and the intervals tell which. Where they
// are not known, unpack is charged only for what is left of it after the pull
// has ended: until then nothing could have finished without the pull.
package diagnose

import (
	"slices"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/read"
)

// activity is something that a start may have waited for.
type activity struct {
	phase      int // index of the phase that is charged
	rank       int // of the phase, in the order of a start
	start, end time.Time
	idle       bool // the phase's frame: charged only when nothing real was active
}

// piece is a part of the path; phase -1 is other.
type piece struct {
	phase      int
	start, end time.Time
}

// CriticalPath fills in the start's total, the critical share of each of its
// phases, what no phase explains, and the path itself. The shares and the rest
// add up to the total, to the microsecond.
func CriticalPath(s *read.ColdStart) {
	from, to := bounds(s)
	path := walk(from, to, activities(s))
	offset := func(t time.Time) int64 { return int64(t.Sub(from).Round(time.Microsecond) / time.Microsecond) }
	charged := make([]int64, len(s.Phases)) // microseconds
	var other int64
	s.CriticalPath = make([]read.Segment, 0, len(path))
	for _, p := range path {
		name, us := read.Other, offset(p.end)-offset(p.start)
		if p.phase < 0 {
			other += us
		} else {
			name = string(s.Phases[p.phase].Name)
			charged[p.phase] += us
		}
		if n := len(s.CriticalPath); n > 0 && s.CriticalPath[n-1].Name == name {
			s.CriticalPath[n-1].End = p.end // next layer of the same phase
			continue
		}
		s.CriticalPath = append(s.CriticalPath, read.Segment{Name: name, Start: p.start, End: p.end})
	}
	for i, us := range charged {
		s.Phases[i].CriticalMS = float64(us) / 1000
	}
	s.OtherMS, s.TotalMS = float64(other)/1000, float64(offset(to))/1000
}

// bounds is from the demand to readiness, or as far as the start is known.
func bounds(s *read.ColdStart) (from, to time.Time) {
	for i := range s.Phases {
		if p := &s.Phases[i]; i == 0 || p.Start.Before(from) {
			from = p.Start
		}
		if p := &s.Phases[i]; p.End.After(to) {
			to = p.End
		}
	}
	if s.DemandedAt != nil {
		from = *s.DemandedAt
	}
	switch {
	case s.ReadyAt != nil:
		to = *s.ReadyAt
	case s.StoppedAt != nil:
		to = *s.StoppedAt
	}
	if from.IsZero() || to.Before(from) {
		return to, to
	}
	return from, to
}

func activities(s *read.ColdStart) []activity {
	list := make([]activity, 0, len(s.Phases)+2*len(s.Layers))
	for i := range s.Phases {
		p := &s.Phases[i]
		whole := activity{phase: i, rank: slices.Index(faas.Phases, p.Name), start: p.Start, end: p.End}
		parts := layerParts(s, whole)
		if len(parts) == 0 && p.Name == faas.PhaseUnpack {
			parts = afterPull(s, whole)
			if parts == nil { // it ended before the pull did
				whole.idle = true
			}
		}
		if len(parts) > 0 {
			whole.idle = true
			list = append(list, parts...)
		}
		list = append(list, whole)
	}
	return list
}

// layerParts gives what the layers say of a pull or an unpack: when each of
// them was worked on, within the phase.
func layerParts(s *read.ColdStart, whole activity) []activity {
	var parts []activity
	for i := range s.Layers {
		l := &s.Layers[i]
		var start, end *time.Time
		switch s.Phases[whole.phase].Name {
		case faas.PhasePull:
			start, end = l.DownloadStart, l.DownloadEnd
		case faas.PhaseUnpack:
			start, end = l.UnpackStart, l.UnpackEnd
		default:
			return nil
		}
		if start == nil || end == nil {
			continue
		}
		part := whole
		if start.After(part.start) {
			part.start = *start
		}
		if end.Before(part.end) {
			part.end = *end
		}
		if part.start.Before(part.end) {
			parts = append(parts, part)
		}
	}
	return parts
}

// afterPull gives the part of an unpack that lies behind the pulls that it
// overlaps; nil if there is none.
func afterPull(s *read.ColdStart, whole activity) []activity {
	part := whole
	for i := range s.Phases {
		p := &s.Phases[i]
		if p.Name == faas.PhasePull && p.Start.Before(whole.end) && p.End.After(part.start) {
			part.start = p.End
		}
	}
	if !part.start.Before(part.end) {
		return nil
	}
	return []activity{part}
}

// walk goes back from to until from and returns the pieces in order of time.
// They lie end to end: together they are the span from from to to.
func walk(from, to time.Time, list []activity) []piece {
	var path []piece
	for t := to; t.After(from); {
		a, bound := active(list, t, false)
		if a == nil {
			idle, idleBound := active(list, t, true)
			if a = idle; a == nil {
				bound = latest(bound, idleBound)
			}
		}
		p := piece{-1, latest(from, bound), t}
		if a != nil {
			p.phase, p.start = a.phase, latest(from, a.start)
			if a.idle {
				p.start = latest(p.start, bound)
			}
		}
		path = append(path, p)
		t = p.start
	}
	slices.Reverse(path)
	return path
}

// active gives the activity that ended first of those that ran right before
// t, or else when the last one before t ended (zero: none).
func active(list []activity, t time.Time, idle bool) (best *activity, ended time.Time) {
	for i := range list {
		a := &list[i]
		switch {
		case a.idle != idle || !a.start.Before(t):
		case a.end.Before(t):
			ended = latest(ended, a.end)
		case best == nil || before(a, best):
			best = a
		}
	}
	return best, ended
}

// before orders activities that ran at the same instant by how likely they
// are what the rest waited for: the first to end; of those that ended together
// the latest step of a start, then the longer one.
func before(a, b *activity) bool {
	if c := a.end.Compare(b.end); c != 0 {
		return c < 0
	}
	if a.rank != b.rank {
		return a.rank > b.rank
	}
	return a.start.Before(b.start)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

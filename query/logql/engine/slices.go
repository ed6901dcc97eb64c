package engine

import (
	"math"
	"sync"
	"time"

	"github.com/coldscope/coldscope/query/logql/eval"
)

// How wide slices are.
const (
	firstSlice  = time.Minute // where few lines are wanted and nothing is known
	minGrowth   = 2           // from one slice to the next
	maxGrowth   = 16
	sliceLines  = 200_000 // that a slice should have where all are wanted
	sliceGrowth = 4       // where it has not
	// spareLines is how many more lines than wanted a slice is expected to have.
	spareLines = 1.5
)

// slices cut the time of a query into pieces, each of which the store sorts on
// its own. Where only some lines are wanted, the next piece is as wide as those
// before it let expect to be enough, and the first one as the same query was
// answered by before: each piece costs a query.
type slices struct {
	left     eval.Span // that no slice has begun with
	backward bool
	whole    bool       // one slice is as fast as a narrow one
	density  *densities // of where few lines are wanted, else nil
	of       string     // what density is asked for
	width    int64      // of the newest slice, nanoseconds
	before   int64      // of all others together
	found    int        // lines in all of them
	last     int        // lines when the newest one began
}

// next is the next slice, of which wanted lines are read at most; false if all
// time is over.
func (s *slices) next(wanted int) (eval.Span, bool) {
	all := s.left.End - s.left.Start
	if all <= 0 {
		return eval.Span{}, false
	}
	covered := s.before + s.width
	switch {
	case s.whole:
		s.width = all
	case s.density == nil && covered == 0:
		s.width = all / 8
	case s.density == nil && s.found-s.last < sliceLines/4:
		s.width = grown(s.width, sliceGrowth)
	case s.density == nil && s.found-s.last > sliceLines:
		s.width /= sliceGrowth
	case s.density == nil: // it is right
	case covered == 0:
		s.width = int64(firstSlice)
		if apart := s.density.get(s.of); apart > 0 {
			s.width = width(apart, wanted)
		}
	case s.found == 0:
		s.width = grown(s.width, maxGrowth)
	default:
		s.width = min(max(width(float64(covered)/float64(s.found), wanted), grown(s.width, minGrowth)), grown(s.width, maxGrowth))
	}
	s.width = min(max(s.width, int64(time.Second)), all)
	s.before, s.last = covered, s.found
	if s.backward {
		s.left.End -= s.width
		return eval.Span{Start: s.left.End, End: s.left.End + s.width}, true
	}
	s.left.Start += s.width
	return eval.Span{Start: s.left.Start - s.width, End: s.left.Start}, true
}

// learn remembers how far apart the lines were, of which at is the last one that
// was read.
func (s *slices) learn(at time.Time) {
	covered := s.before + s.width
	if s.density == nil || s.whole || covered == 0 {
		return
	}
	if s.found > 0 {
		begin := s.left.Start - covered
		covered = at.UnixNano() - begin
		if s.backward {
			covered = s.left.End + s.before + s.width - at.UnixNano()
		}
	}
	s.density.put(s.of, float64(covered)/float64(max(s.found, 1)))
}

// width is that of a slice that should have wanted lines, which are apart
// nanoseconds from each other.
func width(apart float64, wanted int) int64 {
	return int64(min(apart*float64(wanted)*spareLines, math.MaxInt64/2))
}

// grown is width times factor, or as wide as can be.
func grown(width, factor int64) int64 {
	if width > math.MaxInt64/factor {
		return math.MaxInt64
	}
	return width * factor
}

// maxDensities is of how many queries the density is remembered.
const maxDensities = 1000

// densities are how far apart the lines of queries are, in nanoseconds: where
// a page of them is asked for, the same query comes again soon.
type densities struct {
	mu sync.Mutex
	of map[string]float64
}

func (d *densities) get(query string) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.of[query]
}

func (d *densities) put(query string, apart float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.of[query]; d.of == nil || !known && len(d.of) >= maxDensities {
		d.of = map[string]float64{}
	}
	d.of[query] = apart
}

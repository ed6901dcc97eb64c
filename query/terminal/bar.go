package terminal

import (
	"strings"
	"time"
)

// axis maps times to half columns: a block character has a left and a right half.
type axis struct {
	from, to time.Time
	columns  int
}

// half is the half column in which t lies.
func (a axis) half(t time.Time) int {
	span := a.to.Sub(a.from)
	if span <= 0 {
		return 0
	}
	h := int(float64(t.Sub(a.from)) / float64(span) * float64(2*a.columns))
	return min(max(h, 0), 2*a.columns)
}

// weight is how strongly half a column is drawn.
type weight uint8

const (
	none weight = iota
	soft
	hard
)

// bar is one row of the waterfall.
type bar struct {
	axis  axis
	halfs []weight
}

func (a axis) bar() *bar { return &bar{a, make([]weight, 2*a.columns)} }

// mark draws an interval. One that is too short to be seen gets half a column.
func (b *bar) mark(from, to time.Time, w weight) {
	first, last := b.axis.half(from), b.axis.half(to)
	first = min(first, len(b.halfs)-1)
	for i := first; i < max(last, first+1); i++ {
		b.halfs[i] = max(b.halfs[i], w)
	}
}

// glyphs draw a bar's columns: both halves, the left one, the right one, and
// columns with soft halves only.
type glyphs struct{ full, left, right, soft string }

var (
	blocks = glyphs{"█", "▌", "▐", "░"}
	shades = glyphs{"▓", "▓", "▓", "▒"}
)

func (b *bar) draw(g glyphs) string {
	var out strings.Builder
	for i := 0; i < len(b.halfs); i += 2 {
		switch l, r := b.halfs[i], b.halfs[i+1]; {
		case l == none && r == none:
			out.WriteByte(' ')
		case l == hard && r == none:
			out.WriteString(g.left)
		case l == none && r == hard:
			out.WriteString(g.right)
		case l == hard || r == hard:
			out.WriteString(g.full)
		default:
			out.WriteString(g.soft)
		}
	}
	return out.String()
}

// ticks are the axis' times: round ones, far enough apart, and the end.
func (a axis) ticks() string {
	end := duration(a.to.Sub(a.from).Seconds() * 1000)
	out := []rune(strings.Repeat(" ", a.columns))
	put := func(at int, text string) {
		for i, r := range []rune(text) {
			if at+i >= 0 && at+i < len(out) {
				out[at+i] = r
			}
		}
	}
	step := a.step()
	for d := time.Duration(0); d < a.to.Sub(a.from); d += step {
		label := "0"
		if d > 0 {
			label = round(d)
		}
		at := a.half(a.from.Add(d)) / 2
		if at+len(label)+2 > a.columns-len(end) {
			break
		}
		put(at, label)
	}
	put(a.columns-len(end), end)
	return string(out)
}

// step is 1, 2 or 5 times a power of ten, so that ticks are at least 12 columns apart.
func (a axis) step() time.Duration {
	const apart = 12
	least := a.to.Sub(a.from) * apart / time.Duration(max(a.columns, apart))
	for unit := time.Microsecond; ; unit *= 10 {
		for _, n := range []time.Duration{1, 2, 5} {
			if n*unit >= least || unit > time.Hour {
				return n * unit
			}
		}
	}
}

// round gives a tick without digits that say nothing.
func round(d time.Duration) string {
	s := duration(float64(d) / float64(time.Millisecond))
	number, unit, _ := strings.Cut(s, " ")
	if strings.Contains(number, ".") {
		number = strings.TrimRight(strings.TrimRight(number, "0"), ".")
	}
	return number + " " + unit
}

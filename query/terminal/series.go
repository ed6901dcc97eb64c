package terminal

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/query/client"
)

// Vector draws one value for each series.
func Vector(w io.Writer, series []client.Series, o Options) error {
	s := newScreen(o)
	common, title, names := seriesNames(series)
	if len(series) == 1 && len(common) == 0 {
		s.line(s.paint(bold, number(last(&series[0]))))
		return s.flush(w)
	}
	s.common(common)
	nameWidth, valueWidth, most := textWidth(title), len("VALUE"), 0.0
	for i := range series {
		v := last(&series[i])
		nameWidth = max(nameWidth, textWidth(names[i]))
		valueWidth = max(valueWidth, len(number(v)))
		if !math.IsInf(v, 0) {
			most = max(most, v)
		}
	}
	nameWidth = min(nameWidth, s.width*3/5)
	bar := min(s.width-nameWidth-valueWidth-2*columnGap, maxBar)
	s.line(s.paint(dim, left(title, nameWidth)+gap+right("VALUE", valueWidth)))
	for i := range series {
		v := last(&series[i])
		s.line(left(names[i], nameWidth), gap, s.paint(bold, right(number(v), valueWidth)), gap, s.paint(stable(names[i]), eighths(v/most, bar)))
	}
	return s.flush(w)
}

const gap = "  " // columnGap wide

func last(s *client.Series) float64 {
	if len(s.Points) == 0 {
		return math.NaN()
	}
	return s.Points[len(s.Points)-1].Value
}

// Matrix draws values over time: a graph of one series, or a row with a small
// one for each of several, all on the same scale; nothing if there are no values.
func Matrix(w io.Writer, series []client.Series, o Options) error {
	s := newScreen(o)
	var points int
	for i := range series {
		points += len(series[i].Points)
	}
	if points == 0 {
		return nil
	}
	common, title, names := seriesNames(series)
	s.common(common)
	if len(series) == 1 {
		s.graph(&series[0])
	} else {
		s.sparklines(series, title, names)
	}
	return s.flush(w)
}

// common writes the labels that all series have.
func (s *screen) common(labels map[string]string) {
	if len(labels) > 0 {
		s.line(s.paint(dim, cut("all of "+clean(Selector(labels)), s.width)))
	}
}

// seriesNames tells series apart by the labels that not all of them have in
// common: in columns, where all have the same ones, else as selectors. title is
// what stands above the names.
func seriesNames(series []client.Series) (common map[string]string, title string, names []string) {
	if len(series) > 0 {
		common = maps.Clone(series[0].Labels)
	}
	for i := range series {
		maps.DeleteFunc(common, func(k, v string) bool { other, ok := series[i].Labels[k]; return !ok || other != v })
	}
	own := make([]map[string]string, len(series))
	for i := range series {
		own[i] = maps.Clone(series[i].Labels)
		maps.DeleteFunc(own[i], func(k, _ string) bool { _, shared := common[k]; return shared })
	}
	if len(series) == 0 || len(own[0]) == 0 || slices.ContainsFunc(own, func(labels map[string]string) bool { return !sameKeys(labels, own[0]) }) {
		for _, labels := range own {
			names = append(names, clean(Selector(labels)))
		}
		return common, "SERIES", names
	}
	keys := slices.Sorted(maps.Keys(own[0]))
	rows := make([][]string, 1, 1+len(series))
	for _, k := range keys {
		rows[0] = append(rows[0], strings.ToUpper(clean(k)))
	}
	for _, labels := range own {
		row := make([]string, 0, len(keys))
		for _, k := range keys {
			row = append(row, clean(labels[k]))
		}
		rows = append(rows, row)
	}
	widths := columnWidths(rows, 0)
	for _, row := range rows {
		for i := range row[:len(row)-1] {
			row[i] = left(row[i], widths[i])
		}
		names = append(names, strings.Join(row, gap))
	}
	return common, names[0], names[1:]
}

func sameKeys(a, b map[string]string) bool {
	for k := range a {
		if _, ok := b[k]; !ok {
			return false
		}
	}
	return len(a) == len(b)
}

// Selector gives labels as LogQL does.
func Selector(labels map[string]string) string {
	parts := make([]string, 0, len(labels))
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, k+"="+strconv.Quote(labels[k]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// scale is the range of values and times that is drawn.
type scale struct {
	from, to  time.Time
	low, high float64
}

func scaleOf(series []client.Series) scale {
	s := scale{low: 0, high: 0}
	for i := range series {
		for _, p := range series[i].Points {
			if s.from.IsZero() || p.Time.Before(s.from) {
				s.from = p.Time
			}
			if p.Time.After(s.to) {
				s.to = p.Time
			}
			if finite(p.Value) {
				s.low, s.high = min(s.low, p.Value), max(s.high, p.Value)
			}
		}
	}
	return s
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// columns gives the largest value that falls into each column; NaN where none does.
func (s scale) columns(points []client.Point, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.NaN()
	}
	span := s.to.Sub(s.from)
	for _, p := range points {
		if !finite(p.Value) {
			continue
		}
		at := 0
		if span > 0 {
			at = min(int(float64(p.Time.Sub(s.from))/float64(span)*float64(n)), n-1)
		}
		if math.IsNaN(out[at]) || p.Value > out[at] {
			out[at] = p.Value
		}
	}
	return out
}

// height is where v is between the bottom, 0, and the top, 1.
func (s scale) height(v float64) float64 {
	if s.high <= s.low {
		return 0
	}
	return (v - s.low) / (s.high - s.low)
}

// width is how many columns points are drawn on: no more than there are steps.
func (s scale) width(points []client.Point, room int) int {
	step := time.Duration(math.MaxInt64)
	for i := 1; i < len(points); i++ {
		step = min(step, points[i].Time.Sub(points[i-1].Time))
	}
	if step <= 0 || step == math.MaxInt64 {
		return max(min(len(points), room), 1)
	}
	return max(min(int(s.to.Sub(s.from)/step)+1, room), 1)
}

const levels = "▁▂▃▄▅▆▇█"

// sparklines draws a row for each series.
func (s *screen) sparklines(series []client.Series, title string, names []string) {
	sc := scaleOf(series)
	const figure = 7
	nameWidth := textWidth(title)
	for _, n := range names {
		nameWidth = max(nameWidth, textWidth(n))
	}
	nameWidth = min(nameWidth, s.width/3)
	heads := []string{"LAST", "MEAN", "MAX"}
	if s.narrow() {
		heads = heads[:1]
	}
	room := s.width - nameWidth - len(heads)*(figure+1) - columnGap
	width := 1
	for i := range series {
		width = max(width, sc.width(series[i].Points, room))
	}
	row := func(name string, st style, cells ...string) string {
		parts := []string{left(name, nameWidth)}
		for i, cell := range cells[:len(heads)] {
			if cell = right(cell, figure); i == 0 {
				cell = s.paint(st, cell)
			}
			parts = append(parts, cell)
		}
		return strings.Join(parts, " ") + gap
	}
	s.line(s.paint(dim, row(title, plain, heads...)+s.ends(sc, width)))
	for i := range series {
		var line strings.Builder
		for _, v := range sc.columns(series[i].Points, width) {
			if math.IsNaN(v) {
				line.WriteByte(' ')
				continue
			}
			line.WriteRune([]rune(levels)[min(int(sc.height(v)*8), 7)])
		}
		mean, most := figures(series[i].Points)
		s.line(row(names[i], bold, number(last(&series[i])), number(mean), number(most)), s.paint(stable(names[i]), line.String()))
	}
}

func figures(points []client.Point) (mean, most float64) {
	n := 0
	most = math.NaN()
	for _, p := range points {
		if !finite(p.Value) {
			continue
		}
		n++
		mean += p.Value
		if math.IsNaN(most) || p.Value > most {
			most = p.Value
		}
	}
	return mean / float64(n), most
}

// ends gives the first and the last time on width columns, as far as there is room.
func (s *screen) ends(sc scale, width int) string {
	layout := "15:04"
	switch span := sc.to.Sub(sc.from); {
	case span >= 48*time.Hour:
		layout = "01-02"
	case span < 10*time.Minute:
		layout = "15:04:05"
	}
	first, last := sc.from.In(s.zone).Format(layout), sc.to.In(s.zone).Format(layout)
	if width < len(first)+1+len(last) {
		return first
	}
	return first + strings.Repeat(" ", width-len(first)-len(last)) + last
}

const graphRows = 8

// graph draws one series in eighths of rows over an axis.
func (s *screen) graph(one *client.Series) {
	sc := scaleOf([]client.Series{*one})
	const label = 8
	width := sc.width(one.Points, s.width-label-2)
	repeat := 1 // few points are drawn wide
	if width > 1 {
		repeat = min(max((s.width-label-2)/width, 1), 4)
	}
	values := sc.columns(one.Points, width)
	for row := graphRows - 1; row >= 0; row-- {
		text := ""
		switch row {
		case graphRows - 1:
			text = number(sc.high)
		case graphRows/2 - 1:
			text = number((sc.high + sc.low) / 2)
		}
		var line strings.Builder
		for _, v := range values {
			glyph := " "
			if full := sc.height(v)*graphRows - float64(row); !math.IsNaN(full) && full > 0 {
				glyph = string([]rune(levels)[min(max(int(math.Ceil(full*8))-1, 0), 7)])
			}
			line.WriteString(strings.Repeat(glyph, repeat))
		}
		s.line(s.paint(dim, right(text, label)+" │"), s.paint(cyan, line.String()))
	}
	s.line(s.paint(dim, right(number(sc.low), label)+" └"+strings.Repeat("─", width*repeat)))
	s.line(strings.Repeat(" ", label+2), s.paint(dim, s.ends(sc, width*repeat)))
	mean, most := figures(one.Points)
	s.line(fmt.Sprintf("last %s · mean %s · max %s", number(last(one)), number(mean), number(most)))
}

// eighths draws a share of so many columns in eighths of a column.
func eighths(share float64, columns int) string {
	if math.IsNaN(share) || columns <= 0 {
		return ""
	}
	n := int(math.Round(min(max(share, 0), 1) * float64(8*columns)))
	bar := strings.Repeat("█", n/8)
	if rest := n % 8; rest > 0 {
		bar += string([]rune(" ▏▎▍▌▋▊▉")[rest])
	}
	return bar
}

// number gives a value in three or four digits.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return strconv.FormatFloat(v, 'f', -1, 64)
	case a >= 1e15 || a > 0 && a < 1e-3:
		return strconv.FormatFloat(v, 'e', 1, 64)
	case a >= 1e12:
		return short3(v/1e12) + "T"
	case a >= 1e9:
		return short3(v/1e9) + "G"
	case a >= 1e6:
		return short3(v/1e6) + "M"
	case a >= 1e4:
		return short3(v/1e3) + "k"
	case v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return short3(v)
}

func short3(v float64) string {
	digits := 2
	switch a := math.Abs(v); {
	case a >= 100:
		digits = 0
	case a >= 10:
		digits = 1
	case a < 0.1:
		digits = 4
	case a < 1:
		digits = 3
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

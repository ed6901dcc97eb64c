package terminal

import (
	"io"
	"strings"

	"github.com/coldscope/coldscope/query/read"
)

// Table writes rows in aligned columns, the first row as their titles. Where
// the width is known, the widest columns give way until all fits.
func Table(w io.Writer, rows [][]string, o Options) error {
	s := newScreen(o)
	s.table(rows, nil, o.Width)
	return s.flush(w)
}

const columnGap = 2

// table draws rows. The columns in aligned are aligned at their right ends.
// room is 0 for as much as is needed.
func (s *screen) table(rows [][]string, aligned map[int]bool, room int) {
	widths := columnWidths(rows, room)
	for i, row := range rows {
		var line strings.Builder
		for n, cell := range row {
			if n > 0 {
				line.WriteString(strings.Repeat(" ", columnGap))
			}
			switch cell = clean(cell); {
			case aligned[n]:
				line.WriteString(right(cell, widths[n]))
			case n == len(row)-1:
				line.WriteString(cut(cell, widths[n]))
			default:
				line.WriteString(left(cell, widths[n]))
			}
		}
		st := plain
		if i == 0 {
			st = dim
		}
		s.line(s.paint(st, line.String()))
	}
}

func columnWidths(rows [][]string, room int) []int {
	var widths []int
	for _, row := range rows {
		for n, cell := range row {
			if n == len(widths) {
				widths = append(widths, 0)
			}
			widths[n] = max(widths[n], textWidth(clean(cell)))
		}
	}
	all := columnGap * (len(widths) - 1)
	for _, w := range widths {
		all += w
	}
	for ; room > 0 && all > room; all-- {
		widest := 0
		for n := range widths {
			if widths[n] > widths[widest] {
				widest = n
			}
		}
		if widths[widest] <= 1 {
			break
		}
		widths[widest]--
	}
	return widths
}

// Functions draws what each function did.
func Functions(w io.Writer, list *read.FunctionList, o Options) error {
	s := newScreen(o)
	if len(list.Functions) == 0 {
		s.line(s.paint(dim, "No function was invoked."))
		return s.flush(w)
	}
	head := []string{"FUNCTION", "REQUESTS", "COLD", "ERRORS", "P50", "P95", "P99", "LAST SEEN"}
	keep := []int{0, 1, 2, 3, 4, 5, 6, 7}
	if s.width < 80 {
		head[1], head[3] = "REQS", "ERRS"
		keep = []int{0, 1, 2, 3, 5}
	}
	layout := "2006-01-02 15:04:05"
	if s.width < 100 {
		layout = "01-02 15:04"
	}
	rows := [][]string{head}
	for i := range list.Functions {
		f := &list.Functions[i]
		rows = append(rows, []string{
			name(f.Namespace, f.Function), count(f.Invocations), percent(f.ColdRatio), count(f.Errors),
			optional(f.P50MS), optional(f.P95MS), optional(f.P99MS), f.LastSeen.In(s.zone).Format(layout),
		})
	}
	aligned := map[int]bool{}
	for i, row := range rows {
		kept := make([]string, 0, len(keep))
		for n, from := range keep {
			kept = append(kept, row[from])
			aligned[n] = from > 0 && from < 7
		}
		rows[i] = kept
	}
	s.table(rows, aligned, s.width)
	if list.Truncated {
		s.line(s.paint(dim, "There are more functions than these."))
	}
	return s.flush(w)
}

func optional(ms *float64) string {
	if ms == nil {
		return "-"
	}
	return duration(*ms)
}

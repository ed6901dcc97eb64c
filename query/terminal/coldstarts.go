package terminal

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/read"
)

// ColdStarts draws what cold starts took, as a whole and by phase, and the
// slowest of them.
func ColdStarts(w io.Writer, stats *read.ColdStartStats, o Options) error {
	s := newScreen(o)
	note := fmt.Sprintf("%d finished", stats.Count)
	if stats.Truncated {
		note = fmt.Sprintf("the newest %d finished", stats.Count)
	}
	if stats.Unfinished > 0 {
		note += fmt.Sprintf(" · %d failed or not ready yet", stats.Unfinished)
	}
	s.line(s.paint(bold, "Cold starts"), "  ", s.paint(dim, cut(note, s.width-len("Cold starts")-2)))
	if stats.Count > 0 {
		s.distributions(stats)
	}
	if len(stats.Slowest) > 0 {
		s.slowest(stats.Slowest)
	}
	return s.flush(w)
}

// The columns of the table.
const (
	phaseColumns = 12
	countColumns = 6
	valueColumns = 9
	fixedColumns = phaseColumns + countColumns + 5*valueColumns + shareColumns + 2
	maxBar       = 60
)

func (s *screen) distributions(stats *read.ColdStartStats) {
	s.line()
	var head strings.Builder
	head.WriteString(left("PHASE", phaseColumns) + s.counted("COUNT"))
	for _, v := range s.values(&stats.Total) {
		head.WriteString(right(v.name, valueColumns))
	}
	s.line(s.paint(dim, head.String()+right("SHARE", shareColumns)))
	row := func(p *read.PhaseStats, st style) {
		s.line(s.distribution(p.Phase, &p.Distribution, plain), right(percent(p.Share), shareColumns), "  ", s.paint(st, s.shareBar(p.Share)))
	}
	for i := range stats.Phases {
		row(&stats.Phases[i], phaseStyle(faas.Phase(stats.Phases[i].Phase)))
	}
	if stats.Other.Share > 0 {
		row(&stats.Other, dim)
	}
	s.line(s.distribution("total", &stats.Total, bold))
}

func (s *screen) distribution(name string, d *read.Distribution, st style) string {
	var text strings.Builder
	text.WriteString(left(clean(name), phaseColumns) + s.counted(strconv.FormatUint(d.Count, 10)))
	for _, v := range s.values(d) {
		text.WriteString(right(duration(v.ms), valueColumns))
	}
	return s.paint(st, text.String())
}

// counted is the column of counts, for which a narrow screen has no room.
func (s *screen) counted(text string) string {
	if s.narrow() {
		return ""
	}
	return right(text, countColumns)
}

type value struct {
	name string
	ms   float64
}

// values are the figures that there is room for.
func (s *screen) values(d *read.Distribution) []value {
	if s.narrow() {
		return []value{{"P50", d.P50MS}, {"P95", d.P95MS}}
	}
	if s.width < fixedColumns {
		return []value{{"P50", d.P50MS}, {"P95", d.P95MS}, {"MAX", d.MaxMS}}
	}
	return []value{{"P50", d.P50MS}, {"P90", d.P90MS}, {"P95", d.P95MS}, {"P99", d.P99MS}, {"MAX", d.MaxMS}}
}

// shareBar draws a share in eighths of a column.
func (s *screen) shareBar(share float64) string {
	return eighths(share, min(max(s.width-fixedColumns, 0), maxBar))
}

func (s *screen) slowest(list []read.ColdStartSummary) {
	s.title("Slowest", "")
	if s.narrow() { // a request's ID is there to be copied: it gets a row of its own
		for i := range list {
			c := &list[i]
			s.line(s.paint(bold, right(duration(c.TotalMS), 8)), "  ", cut(function(c), s.width-10))
			s.line(strings.Repeat(" ", 4), cut(demandedBy(c), s.width-4))
		}
		return
	}
	functions, requests := len("FUNCTION"), len("REQUEST")
	for i := range list {
		functions = max(functions, textWidth(function(&list[i])))
		requests = max(requests, textWidth(clean(list[i].RequestID)))
	}
	const total, demanded, longest, gaps = 8, 19, 16, 2 * 4 // gaps: of two columns
	room, layout := s.width-total-demanded-gaps, "2006-01-02 15:04:05"
	wide := room >= longest+functions+requests
	switch {
	case wide:
		room -= longest
	case room < functions+requests: // a request's ID is there to be copied: the date gives way
		layout = "01-02 15:04"
		room += demanded - len(layout)
	}
	functions = min(functions, max(room-requests, room/4))
	requests = min(requests, room-functions)
	head := right("TOTAL", total) + "  "
	if wide {
		head += left("LONGEST PHASE", longest) + "  "
	}
	s.line(s.paint(dim, head+left("FUNCTION", functions)+"  "+left("REQUEST", requests)+"  DEMANDED"))
	for i := range list {
		c := &list[i]
		request := demandedBy(c)
		middle := ""
		if wide {
			text := left(clean(c.LongestPhase), longest-9) + right(duration(c.LongestMS), 9)
			middle = s.paint(phaseStyle(faas.Phase(c.LongestPhase)), text) + "  "
		}
		s.line(s.paint(bold, right(duration(c.TotalMS), total)), "  ", middle,
			left(function(c), functions), "  ", left(request, requests), "  ", s.paint(dim, c.DemandedAt.In(s.zone).Format(layout)))
	}
}

func demandedBy(c *read.ColdStartSummary) string {
	if c.Initialization == faas.Provisioned && c.RequestID == "" {
		return "(provisioned)"
	}
	return clean(c.RequestID)
}

func function(c *read.ColdStartSummary) string {
	text := name(c.Namespace, c.Function)
	if c.Version != "" {
		text += "@" + clean(c.Version)
	}
	return text
}

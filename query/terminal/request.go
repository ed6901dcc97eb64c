package terminal

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/read"
)

// Request draws one request: what it was, where its time went, what was
// printed, and what would have made it faster.
func Request(w io.Writer, page *read.Page, o Options) error {
	s := newScreen(o)
	s.header(page)
	zero := s.waterfall(page)
	s.lines(page, zero)
	s.advice(page)
	return s.flush(w)
}

func (s *screen) header(page *read.Page) {
	v := &page.Invocation
	verdict, st := strings.ToUpper(cut(clean(string(v.Status)), 16)), fine
	if v.HTTPStatus != 0 {
		verdict += " " + strconv.Itoa(v.HTTPStatus)
	}
	switch v.Status {
	case faas.StatusOK:
	case faas.StatusRunning, faas.StatusCancelled, faas.StatusUnknown:
		st = yellow
	default:
		st = loud
	}
	mark := ""
	if v.Cold {
		mark = "  COLD"
	}
	id, room := clean(v.RequestID), s.width-textWidth(verdict)-textWidth(mark)-2
	if s.narrow() && textWidth(id) > room { // it is there to be copied
		s.line(s.paint(bold, cut(id, s.width)))
		s.line(s.paint(st, verdict), s.paint(cyan, mark))
	} else {
		s.line(s.paint(bold, left(id, room)), "  ", s.paint(st, verdict), s.paint(cyan, mark))
	}

	instance, host := "instance "+clean(v.Instance), ""
	if v.Host != "" {
		host = "host " + clean(v.Host)
	}
	s.facts(plain, name(v.Namespace, v.Function), clean(v.Version), instance, host, clean(v.Trigger))

	at := v.StartedAt
	if v.QueuedAt != nil {
		at = *v.QueuedAt
	}
	facts := []string{s.clock(at)}
	say := func(format string, ms *float64) {
		if ms != nil {
			facts = append(facts, fmt.Sprintf(format, duration(*ms)))
		}
	}
	say("total %s", v.TotalMS)
	if v.Cold {
		say("waited %s for the start", v.ColdWaitMS)
	}
	say("handler %s", v.DurationMS)
	say("CPU %s", v.CPUTimeMS)
	if v.MemoryPeak != nil {
		text := "memory " + size(*v.MemoryPeak)
		if page.ColdStart != nil && page.ColdStart.MemoryLimit != nil {
			text += " of " + size(*page.ColdStart.MemoryLimit)
		}
		facts = append(facts, text)
	}
	if v.UsageShared {
		facts = append(facts, "estimated: others ran on the instance, too")
	}
	s.facts(dim, facts...)
	if v.Error != "" {
		for i, text := range wrap(clean(v.Error), s.width) {
			if i == 3 {
				break
			}
			s.line(s.paint(red, text))
		}
	}
	if c := page.ColdStart; c != nil {
		s.why(c)
	}
	for i := range page.Attempts {
		a := &page.Attempts[i]
		s.line(s.paint(dim, cut(fmt.Sprintf("earlier attempt: %s on %s at %s", clean(string(a.Status)), clean(a.Instance), s.clock(a.StartedAt)), s.width)))
	}
}

// why says why there was a start, and who else waited for it.
func (s *screen) why(c *read.ColdStart) {
	var says []string
	if c.Cause != nil {
		says = append(says, "started because ("+clean(c.Cause.Kind)+"): "+clean(c.Cause.Evidence))
		for _, b := range c.Cause.Besides {
			says = append(says, clean(b.Evidence))
		}
	}
	if c.Waiting != nil && c.Waiting.Count > 0 {
		says = append(says, plural(int(min(c.Waiting.Count, math.MaxInt32)), "request")+" waited behind it.")
	}
	if len(says) == 0 {
		return
	}
	for _, row := range wrap(strings.Join(says, " "), s.width) {
		s.line(s.paint(dim, row))
	}
}

func name(namespace, function string) string {
	if namespace == "" {
		return clean(function)
	}
	return clean(namespace) + "/" + clean(function)
}

const (
	maxRows = 60 // of one multi-line body
	maxWrap = 3  // rows that one long row is continued on
)

func (s *screen) lines(page *read.Page, zero time.Time) {
	note := plural(len(page.Lines), "line")
	if page.LinesTruncated {
		note += ", and more that are not shown"
	}
	if page.Completeness.State == read.Unknown && page.Invocation.Status != faas.StatusRunning {
		note += ", not yet confirmed to be all"
	}
	s.title("Lines", note)
	if text := missing(&page.Completeness); text != "" {
		s.line(s.paint(yellow, cut(text, s.width)))
	}
	marked := 0
	for i := range page.Lines {
		marked = max(marked, textWidth(marker(&page.Lines[i])))
	}
	if marked > 0 {
		marked += 2
	}
	for i := range page.Lines {
		l := &page.Lines[i]
		st, body := plain, plain
		switch l.Stream {
		case faas.Platform:
			st, body = cyan, cyan
		case faas.Stderr:
			st = yellow
		case faas.Stdout:
			st = dim
		}
		prefix := s.paint(dim, right(relative(l.Time.Sub(zero)), 9))
		if s.narrow() {
			s.body(l, prefix+" "+s.paint(st, left(streamMark(l.Stream), 1))+" ", body, 9+1+1+1)
			continue
		}
		prefix += "  " + s.paint(st, left(clean(string(l.Stream)), 8)) + "  " + s.paint(purple, left(marker(l), marked))
		s.body(l, prefix, body, 9+2+8+2+marked)
	}
}

// streamMark is a stream in one letter.
func streamMark(stream faas.Stream) string {
	switch stream {
	case faas.Stdout:
		return "o"
	case faas.Stderr:
		return "e"
	case faas.Platform:
		return "p"
	}
	return "?"
}

// missing says in one line what is known not to be here; empty if nothing is.
func missing(c *read.Completeness) string {
	if c.State != read.Partial {
		return ""
	}
	var parts []string
	if n := len(c.Gaps); n > 0 {
		text := plural(n, "gap")
		if c.LostBytes > 0 {
			text += " of " + size(c.LostBytes)
		}
		parts = append(parts, text+" lost for good")
	}
	if c.RefusedLines > 0 {
		parts = append(parts, plural(int(c.RefusedLines), "line")+" refused in its log files")
	}
	if c.TruncatedLines > 0 {
		parts = append(parts, plural(int(c.TruncatedLines), "line")+" cut")
	}
	return "Not all is here: " + strings.Join(parts, ", ")
}

// body writes a line's text behind its prefix, which is indent columns wide.
func (s *screen) body(l *read.Line, prefix string, st style, indent int) {
	room := s.width - indent
	rows := strings.Split(strings.TrimRight(l.Body, "\r\n"), "\n")
	missing := ""
	if l.Truncated > 0 {
		missing = fmt.Sprintf(" (%d bytes cut)", l.Truncated)
	}
	if extra := len(rows) - maxRows; extra > 0 {
		rows = rows[:maxRows]
		missing = fmt.Sprintf(" (%s more)%s", plural(extra, "row"), missing)
	}
	for i, row := range rows {
		tail := ""
		if i == len(rows)-1 {
			tail = cut(missing, room)
		}
		pieces := fold(clean(strings.TrimRight(row, "\r")), room, maxWrap)
		for n, piece := range pieces {
			if n < len(pieces)-1 {
				s.line(prefix, s.paint(st, piece))
			} else {
				s.line(prefix, s.paint(st, cut(piece, room-textWidth(tail))), s.paint(dim, tail))
			}
			prefix = strings.Repeat(" ", indent)
		}
	}
}

// marker says how a line got here, where that is not the plain case.
func marker(l *read.Line) string {
	switch {
	case l.Stream == faas.Platform, l.Attribution == faas.AttributionExplicit, l.Attribution == faas.AttributionWindow:
		return ""
	case l.Attribution == faas.AttributionNone:
		return "unclaimed"
	}
	return cut(clean(string(l.Attribution)), 9)
}

func relative(d time.Duration) string {
	sign := "+"
	if d < 0 {
		sign, d = "-", -d
	}
	if d >= 1000*time.Second {
		return fmt.Sprintf("%s%.0fs", sign, d.Seconds())
	}
	return fmt.Sprintf("%s%.3fs", sign, d.Seconds())
}

func (s *screen) advice(page *read.Page) {
	if len(page.Advice) == 0 {
		return
	}
	s.title("Advice", "what each alone would have saved at most; savings do not add up")
	for i := range page.Advice {
		a := &page.Advice[i]
		saves := right("-"+duration(a.SavesMS), 9)
		for _, text := range wrap(clean(a.Title), s.width-11) {
			s.line(s.paint(green, saves), "  ", s.paint(bold, text))
			saves = strings.Repeat(" ", 9)
		}
		for _, text := range wrap(clean(a.Evidence), s.width-11) {
			s.line(strings.Repeat(" ", 11), s.paint(dim, text))
		}
	}
}

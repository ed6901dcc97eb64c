package terminal

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// LogLine is one line among others of whatever functions.
type LogLine struct {
	Time      time.Time
	Source    string // namespace/function, or what else there is to tell streams apart by
	Instance  string
	RequestID string
	Level     string // fatal, error, warn, info, debug, trace; empty if not known
	Stream    faas.Stream
	Body      string
	Truncated uint64 // bytes cut from the end of Body
}

// Lines writes lines one after the other, behind aligned prefixes: time,
// source, instance, level or stream. In a terminal a line that is too wide goes
// on below itself, and a day's first line comes after its date; elsewhere a
// line is as long as it is, and its time is whole.
type Lines struct {
	w          io.Writer
	s          *screen
	inTerminal bool
	hideSource bool
	requests   bool
	widths     [3]int // of source, instance and request, as wide as they have been
	day        string
}

// LinesOptions say what of a line to show.
type LinesOptions struct {
	Options
	HideSource bool // all lines are of one function
	Requests   bool // show each line's request
}

// NewLines draws on w.
func NewLines(w io.Writer, o LinesOptions) *Lines {
	l := &Lines{w: w, s: newScreen(o.Options), inTerminal: o.Terminal, hideSource: o.HideSource, requests: o.Requests}
	l.day = time.Now().In(l.s.zone).Format(time.DateOnly)
	return l
}

const (
	levelColumns    = 5
	maxInstance     = 12
	shortInstance   = 8
	leastBody       = 16 // columns that a body gets, whatever is in front of it
	maxRequestWidth = 36
	pipedCell       = 64
)

// Write writes one line.
func (l *Lines) Write(line *LogLine) error {
	l.s.Reset()
	prefix, indent := l.prefix(line)
	room := 0
	if l.inTerminal {
		room = max(l.s.width-indent, leastBody)
	}
	st := bodyStyle(line)
	rows := strings.Split(strings.TrimRight(line.Body, "\r\n"), "\n")
	for i, row := range rows {
		pieces := []string{clean(strings.TrimRight(row, "\r"))}
		if room > 0 {
			pieces = fold(pieces[0], room, 1+textWidth(pieces[0])) // as many as it needs
		}
		for n, piece := range pieces {
			tail := ""
			if line.Truncated > 0 && i == len(rows)-1 && n == len(pieces)-1 {
				tail = fmt.Sprintf(" (%d bytes cut)", line.Truncated)
			}
			l.s.line(prefix, l.s.paint(st, piece), l.s.paint(dim, tail))
			prefix = strings.Repeat(" ", indent)
		}
	}
	return l.flush()
}

// flush writes what was drawn. It keeps blanks at the ends of lines, which are
// the lines' own.
func (l *Lines) flush() error {
	if _, err := l.w.Write(bytes.Clone(l.s.Bytes())); err != nil {
		return fmt.Errorf("write line: %w", err)
	}
	return nil
}

// prefix is what stands in front of a line, and how many columns it takes.
func (l *Lines) prefix(line *LogLine) (text string, columns int) {
	narrow := l.inTerminal && l.s.narrow()
	var b strings.Builder
	put := func(st style, cell string) {
		b.WriteString(l.s.paint(st, cell))
		b.WriteByte(' ')
		columns += textWidth(cell) + 1
	}
	put(dim, l.stamp(line.Time.In(l.s.zone), narrow))
	if !l.hideSource && !narrow {
		put(stable(line.Source), l.cell(0, clean(line.Source), l.s.width/4))
	}
	if instance := short(clean(line.Instance), narrow); instance != "" || l.widths[1] > 0 {
		key := line.Instance
		if narrow {
			key = line.Source + "/" + line.Instance // its colour is all that tells sources apart
		}
		put(stable(key), l.cell(1, instance, maxInstance))
	}
	if l.requests {
		put(dim, l.cell(2, clean(line.RequestID), maxRequestWidth))
	}
	mark, st := levelMark(line)
	if narrow {
		if mark = mark[:1]; line.Stream == faas.Platform { // an ASCII letter, or a blank
			mark = streamMark(line.Stream)
		}
	} else {
		mark = left(mark, levelColumns)
	}
	put(st, mark)
	return b.String(), columns
}

// cell pads text to the widest one so far of its column, up to a limit.
func (l *Lines) cell(column int, text string, limit int) string {
	if !l.inTerminal {
		limit = pipedCell
	}
	l.widths[column] = min(max(l.widths[column], textWidth(text)), max(limit, 1))
	return left(text, l.widths[column])
}

// stamp is a line's time. In a terminal the date is left to a line of its own,
// where it is another one than before.
func (l *Lines) stamp(t time.Time, narrow bool) string {
	if !l.inTerminal {
		return t.Format("2006-01-02T15:04:05.000Z07:00")
	}
	if day := t.Format(time.DateOnly); day != l.day {
		l.day = day
		l.s.line(l.s.paint(dim, "── "+t.Format("Monday 2006-01-02 MST")+" ──"))
	}
	if narrow {
		return t.Format("15:04:05")
	}
	return t.Format("15:04:05.000")
}

// short is enough of an instance's name to tell it from others: the beginning
// of a container's ID, the end of a name that was made by counting or drawing.
func short(instance string, narrow bool) string {
	columns := maxInstance
	if narrow {
		columns = 4
	}
	if strings.Trim(instance, "0123456789abcdef") == "" {
		return instance[:min(len(instance), min(columns, shortInstance))]
	}
	if textWidth(instance) <= columns {
		return instance
	}
	runes := []rune(instance)
	for textWidth(string(runes)) > columns-1 {
		runes = runes[1:]
	}
	return ellipsis + string(runes)
}

func markText(line *LogLine) string {
	if level := levelName(line.Level); level != "" {
		return level
	}
	switch line.Stream {
	case faas.Stdout:
		return "out"
	case faas.Stderr:
		return "err"
	case faas.Platform:
		return "event"
	}
	return " "
}

func levelName(level string) string {
	switch level = strings.ToLower(level); level {
	case "fatal", "error", "warn", "info", "debug", "trace":
		return strings.ToUpper(level)
	case "critical":
		return "FATAL"
	case "warning":
		return "WARN"
	}
	return ""
}

func levelMark(line *LogLine) (string, style) {
	text := markText(line)
	switch text {
	case "FATAL", "ERROR":
		return text, loud
	case "WARN":
		return text, yellow
	case "INFO":
		return text, green
	case "err":
		return text, yellow
	case "event":
		return text, cyan
	}
	return text, dim
}

func bodyStyle(line *LogLine) style {
	switch markText(line) {
	case "FATAL", "ERROR":
		return red
	case "WARN":
		return yellow
	case "DEBUG", "TRACE":
		return dim
	case "event":
		return cyan
	}
	return plain
}

// stable gives a name its colour: the same one each time and everywhere. Red is
// left to errors.
func stable(name string) style {
	colors := []style{cyan, green, purple, blue, yellow, "96", "92", "95", "94", "93"}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return colors[h.Sum32()%uint32(len(colors))]
}

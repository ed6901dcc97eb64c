// Package terminal draws the API's answers for people: a request with its
// waterfall and its lines, and the figures of cold starts. What was read from
// containers is escaped: no line can drive the terminal.
package terminal

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

// Options say what the output can show.
type Options struct {
	Width    int            // columns; 0 means 80, less than 40 is taken as 40
	Color    bool           // ANSI colours
	Zone     *time.Location // of times; nil for UTC
	Terminal bool           // somebody looks at it right away
}

const (
	defaultWidth = 80
	minWidth     = 40
	maxWidth     = 200 // bars do not get clearer beyond it
)

// Detect says what out can show: its width, and colours if it is a terminal,
// unless NO_COLOR is set or TERM is dumb. Where out is no terminal, COLUMNS
// may give the width. getenv is os.Getenv.
func Detect(out *os.File, getenv func(string) string) Options {
	var o Options
	fd := int(out.Fd())
	if term.IsTerminal(fd) {
		o.Terminal = true
		o.Color = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
		if width, _, err := term.GetSize(fd); err == nil {
			o.Width = width
			return o
		}
	}
	if width, err := strconv.Atoi(getenv("COLUMNS")); err == nil {
		o.Width = width
	}
	return o
}

// style is an ANSI attribute; empty for none.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	blue   style = "34"
	purple style = "35"
	cyan   style = "36"
	loud   style = "1;31"
	fine   style = "1;32"
)

// screen collects what is drawn.
type screen struct {
	bytes.Buffer
	width int
	color bool
	zone  *time.Location
}

func newScreen(o Options) *screen {
	if o.Width == 0 {
		o.Width = defaultWidth
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	return &screen{width: min(max(o.Width, minWidth), maxWidth), color: o.Color, zone: o.Zone}
}

// narrowColumns is the width below which there is room for what matters most only.
const narrowColumns = 60

func (s *screen) narrow() bool { return s.width < narrowColumns }

// flush writes what was drawn, without blanks at the ends of lines.
func (s *screen) flush(w io.Writer) error {
	var out bytes.Buffer
	for line := range bytes.Lines(s.Bytes()) {
		out.Write(bytes.TrimRight(line, " \n"))
		out.WriteByte('\n')
	}
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	return nil
}

// paint gives text the style. It must be padded and cut before.
func (s *screen) paint(st style, text string) string {
	if !s.color || st == plain || text == "" {
		return text
	}
	return "\x1b[" + string(st) + "m" + text + "\x1b[0m"
}

// line writes one line.
func (s *screen) line(parts ...string) {
	for _, p := range parts {
		s.WriteString(p)
	}
	s.WriteByte('\n')
}

// title begins a section.
func (s *screen) title(text, note string) {
	s.line()
	s.line(s.paint(bold, text), "  ", s.paint(dim, cut(note, s.width-textWidth(text)-2)))
}

// facts writes texts one after the other, as many on a line as there is room for.
func (s *screen) facts(st style, texts ...string) {
	const between = " · "
	var line string
	for _, text := range texts {
		switch {
		case text == "":
		case line == "":
			line = text
		case textWidth(line)+textWidth(between)+textWidth(text) > s.width:
			s.line(s.paint(st, cut(line, s.width)))
			line = text
		default:
			line += between + text
		}
	}
	if line != "" {
		s.line(s.paint(st, cut(line, s.width)))
	}
}

// duration gives milliseconds in three significant digits or so.
func duration(ms float64) string {
	if ms < 0 {
		return "-" + duration(-ms)
	}
	switch {
	case ms >= 600_000:
		return fmt.Sprintf("%.1f min", ms/60_000)
	case ms >= 100_000:
		return fmt.Sprintf("%.0f s", ms/1000)
	case ms >= 9_995:
		return fmt.Sprintf("%.1f s", ms/1000)
	case ms >= 999.5:
		return fmt.Sprintf("%.2f s", ms/1000)
	case ms >= 99.95:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 9.995:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 0.005:
		return "0 ms"
	}
	return fmt.Sprintf("%.2f ms", ms)
}

// percent gives part of whole.
func percent(part float64) string {
	switch p := 100 * part; {
	case p == 0:
		return "0 %"
	case p < 0.1:
		return "<0.1 %"
	case p < 9.95:
		return fmt.Sprintf("%.1f %%", p)
	default:
		return fmt.Sprintf("%.0f %%", p)
	}
}

// size gives bytes in decimal units, as registries and networks count.
func size(n int64) string {
	switch f := float64(n); {
	case f >= 1e9:
		return fmt.Sprintf("%.2f GB", f/1e9)
	case f >= 1e6:
		return fmt.Sprintf("%.1f MB", f/1e6)
	case f >= 1e3:
		return fmt.Sprintf("%.1f kB", f/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

func (s *screen) clock(t time.Time) string { return t.In(s.zone).Format("2006-01-02 15:04:05.000 MST") }

// count gives a number its thousands' groups.
func count(n uint64) string {
	text := strconv.FormatUint(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + " " + text[at:]
	}
	return text
}

// digest gives the first digits of a digest, without its algorithm.
func digest(d string) string {
	if _, hex, ok := strings.Cut(d, ":"); ok {
		d = hex
	}
	d = clean(d)
	return d[:min(len(d), 12)] // hex digits: one byte, one column
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + one + "s"
}

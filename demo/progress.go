package demo

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Progress tells a person what the demo does. On a terminal the current step
// is one line that changes; elsewhere each step is a line when it is done.
// It is safe for concurrent use.
type Progress struct {
	w        io.Writer
	terminal bool

	mu      sync.Mutex
	step    string
	started time.Time
	drawn   time.Time
}

// NewProgress writes to w.
func NewProgress(w io.Writer) *Progress {
	f, ok := w.(*os.File)
	return &Progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// Step begins a step and ends the one before.
func (p *Progress) Step(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
	p.step, p.started = name, time.Now()
	p.draw("")
}

// Detail tells how far the current step is.
func (p *Progress) Detail(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.drawn) > 50*time.Millisecond {
		p.draw(text)
	}
}

// Done ends the current step with a result.
func (p *Progress) Done(result string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if result != "" {
		p.step += ": " + result
	}
	p.end()
}

func (p *Progress) draw(text string) {
	if !p.terminal {
		return
	}
	if text != "" {
		text = ": " + text
	}
	fmt.Fprintf(p.w, "\r\x1b[K  … %s%s", p.step, text)
	p.drawn = time.Now()
}

func (p *Progress) end() {
	if p.step == "" {
		return
	}
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprintf(p.w, "  ✓ %s (%.1f s)\n", p.step, time.Since(p.started).Seconds())
	p.step = ""
}

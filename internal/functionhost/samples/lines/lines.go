// Package lines numbers the lines that a sample function prints, so that
// whoever collects them can tell whether all of them arrived, and marks each
// with the request it belongs to, so that whoever attributes them can be
// checked against the truth.
package lines

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// Printer prints whole lines to stdout and stderr. Each ends in
// " n=<number> r=<first 8 characters of the request ID, or ->". The numbers
// run from 1 over both streams. It is safe for concurrent use.
type Printer struct {
	mu sync.Mutex
	n  int // guarded by mu, as the order of writes is
}

// Stdout prints a line that belongs to requestID, which may be empty.
func (p *Printer) Stdout(requestID, format string, args ...any) {
	p.print(os.Stdout, requestID, fmt.Sprintf(format, args...))
}

// Stderr prints text, which may have several lines, to stderr.
func (p *Printer) Stderr(requestID, format string, args ...any) {
	p.print(os.Stderr, requestID, fmt.Sprintf(format, args...))
}

// Count is how many lines have been printed so far.
func (p *Printer) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

func (p *Printer) print(w io.Writer, requestID, text string) {
	r := "-"
	if requestID != "" {
		r = requestID[:min(8, len(requestID))]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		p.n++
		// One write a line: the reader at the other end of the pipe then never
		// sees half of it for long.
		fmt.Fprintf(w, "%s n=%d r=%s\n", line, p.n, r)
	}
}

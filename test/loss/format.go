package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/coldscope/coldscope/test/loss/rig"
)

var formatCases = []testCase{
	{name: "line/16KiB", run: around16KiB},
	{name: "line/pieces-of-two-streams", run: interleaved},
	{name: "line/pieces-over-rotation", needs: pieces, run: piecesOverRotation},
	{name: "line/unterminated", run: unterminated},
	{name: "line/torn", run: torn},
	{name: "line/10MB", run: longLine},
	{name: "line/bytes", run: anyBytes},
	{name: "line/progress", run: progress},
	{name: "local/lines", needs: local, run: localLines},
	{name: "local/rotate", needs: local, run: localRotate},
	{name: "plain/lines", needs: plain, run: plainLines},
	{name: "plain/rotate", needs: plain, run: plainRotate},
	{name: "plain/copytruncate", needs: plain, run: plainCopyTruncate},
	{name: "plain/same-head", needs: plain, run: plainSameHead},
	{name: "links/containers", needs: links, run: containerLinks},
	{name: "links/log-elsewhere", run: logElsewhere},
}

// around16KiB writes lines that just fit into what the runtimes write at once,
// and such that do not: the record says nothing, only its missing newline.
func around16KiB(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	for _, l := range logs {
		for n := 16384 - 180; n < 16384+10; n += 3 { // with its head a line is some 70 to 130 longer
			l.Line(n%2 == 0, rig.Filler(n))
		}
		for n := 16384 - 140; n < 16384-60; n++ {
			l.Line(false, rig.Filler(n))
		}
		for _, n := range []int{2 * 16384, 3*16384 - 100, 50_000, 200_000} {
			l.Line(true, rig.Filler(n))
		}
	}
	return e.settle(ctx)
}

// interleaved writes lines of both streams in pieces, one within the other.
func interleaved(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	for i := range 10 {
		for _, l := range logs {
			l.Overlapping(rig.Filler(100*i), rig.Filler(1000-100*i), 90, func() {})
			n := 0
			l.Pieces(i%2 == 0, rig.Filler(2000), 100, func() {
				switch n++; {
				case n == 3: // begins within, ends within
					l.Pieces(i%2 != 0, rig.Filler(700), 50, func() {})
				case n%5 == 0:
					l.Line(i%2 != 0, rig.Filler(30))
				}
			})
		}
		if i == 5 {
			if err := e.moment(ctx); err != nil {
				return err
			}
			e.kill()
			if err := e.start(ctx); err != nil {
				return err
			}
		}
	}
	return e.settle(ctx)
}

// piecesOverRotation rotates in the middle of a line.
func piecesOverRotation(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	for range 3 {
		e.bursts(20)
		for _, l := range logs {
			n := 0
			l.Pieces(false, rig.Filler(2000), 300, func() {
				if n++; n == 3 {
					l.Rotate()
				}
			})
		}
		if err := e.moment(ctx); err != nil {
			return err
		}
	}
	return e.settle(ctx)
}

// unterminated: a process prints without a newline, and ends.
func unterminated(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	for _, l := range logs {
		e.burst(l, 10)
		l.Unterminated(true, rig.Filler(50))
		l.Unterminated(false, rig.Filler(80))
	}
	if err := e.settle(ctx); err != nil {
		return err
	}
	for _, l := range e.both() { // and is removed at once
		e.burst(l, 10)
		if err := e.settle(ctx); err != nil {
			return err
		}
		l.Unterminated(false, rig.Filler(50))
		l.Remove()
	}
	return e.settle(ctx)
}

// torn: a record is there in halves.
func torn(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	for range 3 {
		for _, l := range logs {
			e.burst(l, 5)
			var err error
			l.Torn(false, rig.Filler(200), func() { err = e.moment(ctx) })
			if err != nil {
				return err
			}
		}
	}
	return e.settle(ctx)
}

// longLine: what is too long is kept up to a limit, and marked. The lines
// around it are whole.
func longLine(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	for _, l := range logs {
		e.burst(l, 10)
		l.Line(false, rig.Filler(10<<20))
		e.burst(l, 10)
	}
	r, err := e.settled(ctx)
	e.note = fmt.Sprintf("(%d truncated)", r.Truncated)
	return err
}

// anyBytes writes every byte, and what is no UTF-8.
func anyBytes(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	var every []byte
	for i := range 256 {
		if i != '\n' {
			every = append(every, byte(i))
		}
	}
	texts := [][]byte{
		every,
		{0},
		{},
		[]byte("\x00\x00tail"), []byte("\xff\xfe\xc3"), []byte("caf\xc3\xa9 \xf0\x9f\x98\x80 \xed\xa0\x80 end"), []byte("  spaces  "),
		[]byte(`{"log":"fake\n","stream":"stderr","time":"2026-01-01T00:00:00Z"}`), []byte("2026-01-01T00:00:00Z stderr F fake"),
		[]byte(`\n \\n \u0000 " \`), []byte("\x1b[31mred\x1b[0m"), []byte("trailing return\r"), []byte("\u2028\u2029\ufeff"),
	}
	for _, l := range logs {
		for i, text := range texts {
			l.Line(i%2 == 0, text)
		}
	}
	return e.settle(ctx)
}

// progress: what overwrites itself on a terminal is one line.
func progress(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	var bar []byte
	for i := range 300 {
		bar = fmt.Appendf(bar, "frame=%5d fps=25 size=%8dKiB\r", i, i*31)
	}
	for _, l := range logs {
		l.Line(true, bar[:1000])
		l.Line(true, bar)
		l.Line(false, bytes.Repeat([]byte("\r"), 40))
	}
	return e.settle(ctx)
}

// localLines writes as Docker's local driver.
func localLines(ctx context.Context, e *env) error {
	l := e.newLog(rig.Local)
	if err := e.start(ctx); err != nil {
		return err
	}
	e.burst(l, 200)
	for _, n := range []int{0, 1, 16384 - 90, 16384, 40_000, 200_000} {
		l.Line(n%2 == 0, rig.Filler(n))
	}
	l.Line(false, []byte("raw \xff\x00\r bytes"))
	l.Torn(true, rig.Filler(300), func() { <-time.After(300 * time.Millisecond) })
	e.newLog(rig.Local).Unterminated(true, rig.Filler(50))
	if err := e.settle(ctx); err != nil {
		return err
	}
	e.kill()
	e.burst(l, 100)
	return e.start(ctx)
}

// localRotate rotates and compresses, as that driver does if nobody tells it not to.
func localRotate(ctx context.Context, e *env) error {
	l := e.newLog(rig.Local)
	l.MaxFile = 5
	if err := e.start(ctx); err != nil {
		return err
	}
	for range 4 {
		e.burst(l, 200)
		if err := e.settle(ctx); err != nil {
			return err
		}
		l.Compress(l.Rotate(), 2*time.Millisecond)
	}
	e.burst(l, 50)
	return e.settle(ctx)
}

// plainLines follows files that a pattern names.
func plainLines(ctx context.Context, e *env) error {
	e.config = rig.PlainConfig(rig.Plain, e.root(rig.Plain))
	for range 3 {
		e.newLog(rig.Plain)
	}
	if err := e.begin(ctx, 200); err != nil {
		return err
	}
	e.kill()
	e.newLog(rig.Plain)
	e.bursts(200)
	if err := e.start(ctx); err != nil {
		return err
	}
	return e.settle(ctx)
}

// plainRotate rotates them by renaming.
func plainRotate(ctx context.Context, e *env) error {
	e.config = rig.PlainConfig(rig.Plain, e.root(rig.Plain))
	l := e.newLog(rig.Plain)
	l.MaxFile = 4
	if err := e.start(ctx); err != nil {
		return err
	}
	for range 5 {
		e.burst(l, 100)
		if err := e.settle(ctx); err != nil {
			return err
		}
		l.Rotate()
	}
	e.burst(l, 100)
	return e.settle(ctx)
}

// plainCopyTruncate does what logrotate does to files that nobody reopens.
func plainCopyTruncate(ctx context.Context, e *env) error {
	e.config = rig.PlainConfig(rig.Plain, e.root(rig.Plain))
	l := e.newLog(rig.Plain)
	if err := e.start(ctx); err != nil {
		return err
	}
	for range 3 {
		e.burst(l, 100)
		if err := e.settle(ctx); err != nil {
			return err
		}
		l.CopyTruncate()
		if err := e.moment(ctx); err != nil {
			return err
		}
	}
	e.burst(l, 20)
	return e.settle(ctx)
}

// plainSameHead: many files begin alike, and have no times that differ.
func plainSameHead(ctx context.Context, e *env) error {
	e.config = rig.PlainConfig(rig.Plain, e.root(rig.Plain))
	e.foreign = []string{"BANNER", "starting"}
	banner := append([]byte("BANNER "), rig.Filler(1200)...)
	for range 20 {
		l := e.newLog(rig.Plain)
		l.Foreign(false, banner, time.Time{})
		l.Foreign(false, []byte("starting"), time.Time{})
	}
	if err := e.start(ctx); err != nil {
		return err
	}
	e.bursts(20)
	r, err := e.settled(ctx)
	if err != nil {
		return err
	}
	if got := r.Foreign["starting"]; got != 20 {
		return fmt.Errorf("%d of 20 lines behind the banner arrived", got)
	}
	return nil
}

// containerLinks: kubelet's links show the same files once more. They are
// named by what they are, and so arrive once.
func containerLinks(ctx context.Context, e *env) error {
	l := e.newLog(rig.CRI)
	dir := filepath.Join(e.dir, "containers")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	link := filepath.Join(dir, fmt.Sprintf("hello-v1_%s_hello-%064x.log", rig.Namespace, 1))
	if err := os.Symlink(l.Path, link); err != nil {
		return err
	}
	e.config = rig.LinksConfig(dir)
	if err := e.start(ctx); err != nil {
		return err
	}
	e.burst(l, 100)
	if err := e.moment(ctx); err != nil {
		return err
	}
	l.Rotate()
	e.burst(l, 100)
	return e.settle(ctx)
}

// logElsewhere: 0.log is a link to where another runtime keeps its logs.
func logElsewhere(ctx context.Context, e *env) error {
	l := e.newLog(rig.CRI)
	if l.Size() != 0 {
		return errors.New("a new log is not empty")
	}
	real := filepath.Join(e.dir, "elsewhere.log")
	if err := os.Rename(l.Path, real); err != nil {
		return err
	}
	if err := os.Symlink(real, l.Path); err != nil {
		return err
	}
	if err := e.start(ctx); err != nil {
		return err
	}
	e.burst(l, 200)
	return e.settle(ctx)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/coldscope/coldscope/test/loss/rig"
)

// steadyLoad is what containers print at an even rate.
type steadyLoad struct {
	files   int
	rate    int   // lines per second and file
	maxSize int64 // bytes at which a file is rotated; 0: never
	maxFile int
	poll    time.Duration // poll_interval; 0: the default
	cores   float64       // target, 0: none
	lag     time.Duration // target of its p99, 0: none
}

// writer prints a load into files.
type writer struct {
	load      steadyLoad
	logs      []*rig.Log
	payload   []byte
	lines     int
	rotations int
}

func newWriter(dir string, load steadyLoad) *writer {
	w := &writer{load: load, payload: rig.Filler(120)} // about 195 bytes a line, as the corpus has
	for k := range load.files {
		l := rig.NewLog(rig.JSONFile, dir, "bench", fmt.Sprintf("%064x", k+1))
		l.MaxFile = load.maxFile
		w.logs = append(w.logs, l)
	}
	return w
}

// write prints for d, evenly. What a loaded machine delays is made up for.
func (w *writer) write(ctx context.Context, d time.Duration) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	begin, printed := time.Now(), 0 // lines of all files, in turn
	for {
		elapsed := min(time.Since(begin), d)
		due := int(elapsed.Seconds() * float64(w.load.rate*w.load.files))
		for ; printed < due; printed++ {
			l := w.logs[printed%len(w.logs)]
			l.Line(printed%3 == 0, w.payload)
			w.lines++
			if w.load.maxSize > 0 && l.Size() >= w.load.maxSize {
				l.Rotate()
				w.rotations++
			}
		}
		if elapsed >= d {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (w *writer) close() {
	for _, l := range w.logs {
		l.Close()
	}
}

// steady measures what following files costs that grow at an even rate, and
// how late their lines are pushed.
func (b *bench) steady(ctx context.Context, name string, load steadyLoad) error {
	dir, done, err := b.place(name)
	if err != nil {
		return err
	}
	defer done()
	w := newWriter(dir, load)
	defer w.close()
	config := ""
	if load.poll > 0 {
		config = fmt.Sprintf("collector:\n  poll_interval: %s\n", load.poll)
	}
	r, err := b.start(ctx, dir, config, "-lag")
	if err != nil {
		return err
	}
	defer r.close()
	if err := w.write(ctx, 3*time.Second); err != nil { // until all is warm
		return err
	}
	before, err := r.collector.Processor()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := w.write(ctx, b.seconds); err != nil {
		return err
	}
	after, err := r.collector.Processor()
	if err != nil {
		return err
	}
	took := time.Since(begin)
	report, err := r.until(ctx, w.lines, 10*time.Second)
	if err != nil {
		return err
	}
	_, peak, err := r.collector.Memory()
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%s, %d lines/s in %d files", name, load.rate*load.files, load.files)
	note := fmt.Sprintf("%d lines, %d pushes, %.0f B/line on the wire, peak RSS %.0f MB",
		w.lines, report.Pushes, float64(report.Bytes)/float64(w.lines), float64(peak)/1e6)
	if load.maxSize > 0 {
		note += fmt.Sprintf(", %d rotations", w.rotations)
	}
	b.add(Result{Name: what, Figure: (after - before).Seconds() / took.Seconds(), Unit: "cores", Target: load.cores, Note: note})
	b.add(Result{Name: what + ", lag p50", Figure: ms(report.LagP50), Unit: "ms"})
	b.add(Result{Name: what + ", lag p99", Figure: ms(report.LagP99), Unit: "ms", Target: ms(load.lag), Note: fmt.Sprintf("most %.0f ms", ms(report.LagMax))})
	return b.kept(what, report.Entries, w.lines)
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// kept adds whether all lines arrived.
func (b *bench) kept(what string, got, want int) error {
	r := Result{Name: what + ", lost", Figure: float64(want - got), Unit: "lines", Note: fmt.Sprintf("%d of %d", got, want)}
	if got != want {
		r.State = "failed"
	}
	b.add(r)
	return nil
}

// footprint measures the memory that n growing files take.
func (b *bench) footprint(ctx context.Context, n, rate int, targetMB float64) error {
	dir, done, err := b.place("footprint")
	if err != nil {
		return err
	}
	defer done()
	w := newWriter(dir, steadyLoad{files: n, rate: rate})
	defer w.close()
	r, err := b.start(ctx, dir, "")
	if err != nil {
		return err
	}
	defer r.close()
	before, err := r.collector.Processor()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := w.write(ctx, b.seconds/2); err != nil {
		return err
	}
	after, err := r.collector.Processor()
	if err != nil {
		return err
	}
	took := time.Since(begin)
	now, peak, err := r.collector.Memory()
	if err != nil {
		return err
	}
	report, err := r.until(ctx, w.lines, 10*time.Second)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%d active files", n)
	b.add(Result{
		Name: what, Figure: float64(peak) / 1e6, Unit: "MB peak RSS", Target: targetMB,
		Note: fmt.Sprintf("%.0f MB at the end, %d lines/s, %.3f cores", float64(now)/1e6, n*rate, (after-before).Seconds()/took.Seconds()),
	})
	return b.kept(what, report.Entries, w.lines)
}

// idle measures what n files cost that nobody writes to.
func (b *bench) idle(ctx context.Context, n int) error {
	dir, done, err := b.place("idle")
	if err != nil {
		return err
	}
	defer done()
	w := newWriter(dir, steadyLoad{files: n, rate: 1})
	defer w.close()
	if err := w.write(ctx, 3*time.Second); err != nil {
		return err
	}
	r, err := b.start(ctx, dir, "")
	if err != nil {
		return err
	}
	defer r.close()
	report, err := r.until(ctx, w.lines, 10*time.Second)
	if err != nil {
		return err
	}
	if report.Entries != w.lines {
		return errors.New("not all lines arrived")
	}
	if err := rig.Wait(ctx, 8*time.Second); err != nil { // what a file that rests goes through
		return err
	}
	before, err := r.collector.Processor()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := rig.Wait(ctx, b.seconds/2); err != nil {
		return err
	}
	after, err := r.collector.Processor()
	if err != nil {
		return err
	}
	took := time.Since(begin)
	now, _, err := r.collector.Memory()
	if err != nil {
		return err
	}
	b.add(Result{
		Name: fmt.Sprintf("idle, %d files", n), Figure: (after - before).Seconds() / took.Seconds(), Unit: "cores", Target: 0.01,
		Note: fmt.Sprintf("RSS %.0f MB", float64(now)/1e6),
	})
	return nil
}

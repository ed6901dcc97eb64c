package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/coldscope/coldscope/test/corpus"
	"github.com/coldscope/coldscope/test/loss/rig"
)

// throughput measures what reading files that are there already costs, from
// the collector's start until the sink has every line.
func throughput(format rig.Format, target float64) func(context.Context, *bench) error {
	return func(ctx context.Context, b *bench) error {
		name := "read " + format.String()
		dir, done, err := b.place("read")
		if err != nil {
			return err
		}
		defer done()
		lines, size, err := writeCorpus(dir, format, b.files, b.size)
		if err != nil {
			return err
		}
		r, err := b.start(ctx, dir, rig.PlainConfig(format, dir))
		if err != nil {
			if format == rig.Plain {
				b.add(Result{Name: name, Unit: "", Target: target, State: "not yet", Note: "plain files cannot be named in the configuration"})
				return nil
			}
			return err
		}
		defer r.close()
		begin := time.Now()
		report, err := r.until(ctx, lines, 30*time.Second)
		if err != nil {
			return err
		}
		wall := report.LastPush.Sub(begin)
		_, peak, err := r.collector.Memory()
		if err != nil {
			return err
		}
		if err := r.collector.Terminate(30 * time.Second); err != nil {
			return err
		}
		user, sys := r.collector.Spent()
		gb := float64(size) / 1e9
		switch {
		case report.Entries == 0:
			b.add(Result{Name: name, Target: target, State: "not yet", Note: "no line arrived"})
			return nil
		case report.Entries != lines:
			return fmt.Errorf("%d lines of %d arrived", report.Entries, lines)
		}
		b.add(Result{
			Name: name, Figure: (user + sys).Seconds() / gb, Unit: "CPU s/GB", Target: target,
			Note: fmt.Sprintf("user %.2f sys %.2f s for %.2f GB, %d lines; wall %.1f s, %.0f lines/s; %d pushes, %.0f MB on the wire, %.1f B/line",
				user.Seconds(), sys.Seconds(), gb, lines, wall.Seconds(), float64(lines)/wall.Seconds(),
				report.Pushes, float64(report.Bytes)/1e6, float64(report.Bytes)/float64(lines)),
		})
		b.add(Result{Name: name + ", memory", Figure: float64(peak) / 1e6, Unit: "MB peak RSS", Target: 100})
		return nil
	}
}

// writeCorpus writes about size bytes into n containers' logs.
func writeCorpus(dir string, format rig.Format, n int, size int64) (lines int, total int64, err error) {
	for k := range n {
		l := rig.NewLog(format, dir, "bench", fmt.Sprintf("%064x", k+1))
		l.Close()
		g := corpus.NewGen(corpus.Params{
			Seed: 1, Stream: uint64(k), Functions: 200, Instances: 2000, Active: 16, RareP: 2e-4,
			Start: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), Step: 24 * time.Hour / 10_000_000,
		})
		n, bytes, err := fill(g, l.Path, format, size/int64(n))
		if err != nil {
			return 0, 0, err
		}
		lines += n
		total += bytes
	}
	return lines, total, nil
}

func fill(g *corpus.Gen, path string, format rig.Format, size int64) (lines int, total int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	var b []byte
	var l corpus.Line
	for total < size {
		g.Next(&l)
		switch format {
		case rig.JSONFile:
			b, _ = g.AppendDocker(b[:0], &l)
		case rig.CRI:
			b, _ = g.AppendCRI(b[:0], &l)
		case rig.Local:
			b, _ = g.AppendLocal(b[:0], &l)
		case rig.Plain:
			b = append(append(b[:0], l.Text...), '\n')
		}
		if _, err := w.Write(b); err != nil {
			return 0, 0, err
		}
		lines++
		total += int64(len(b))
	}
	return lines, total, w.Flush()
}

// running is a collector and its sink.
type running struct {
	collector *rig.Collector
	sink      *rig.Sink
	dir       string
}

// start starts a collector over dir's logs, in whichever format, and a sink
// that counts.
func (b *bench) start(ctx context.Context, dir, config string, sink ...string) (*running, error) {
	if b.binary == "" {
		path, err := rig.Binary(ctx, b.dir)
		if err != nil {
			return nil, err
		}
		b.binary = path
	}
	data, err := os.MkdirTemp("", "cs-")
	if err != nil {
		return nil, err
	}
	r := &running{dir: data}
	if r.sink, err = rig.StartSink(ctx, append([]string{"-count"}, sink...)...); err != nil {
		return nil, err
	}
	r.collector, err = rig.Start(ctx, rig.Options{
		Binary: b.binary, DataDir: filepath.Join(data, "data"), Target: r.sink.URL,
		Docker: []string{dir}, CRI: []string{dir}, Config: config,
	})
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *running) close() {
	if r.collector != nil {
		_ = r.collector.Kill()
	}
	r.sink.Close()
	_ = os.RemoveAll(r.dir)
}

// until waits until the sink has n entries, or nothing new for patience.
func (r *running) until(ctx context.Context, n int, patience time.Duration) (rig.Report, error) {
	last, since := -1, time.Now()
	for {
		report, err := r.sink.Report(ctx, nil)
		if err != nil {
			return report, err
		}
		if report.Entries != last {
			last, since = report.Entries, time.Now()
		}
		if report.Entries >= n || time.Since(since) > patience {
			return report, nil
		}
		if err := r.collector.Ended(); err != nil {
			return report, err
		}
		if err := rig.Wait(ctx, 100*time.Millisecond); err != nil {
			return report, err
		}
	}
}

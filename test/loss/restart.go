package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coldscope/coldscope/test/loss/rig"
)

// restartCases end the collector in each state that it can be in, in order
// and with kill -9, and mistreat what it keeps.
func restartCases() []testCase {
	var cases []testCase
	for _, s := range []struct {
		name string
		run  func(hard bool) func(context.Context, *env) error
	}{
		{"idle", restartIdle},
		{"reading", restartReading},
		{"sink-down", restartSinkDown},
		{"rotated-meanwhile", restartRotated},
		{"within-a-line", restartWithinLine},
		{"within-two-lines", restartWithinTwo},
		{"at-once", restartAtOnce},
	} {
		cases = append(cases,
			testCase{name: "restart/term/" + s.name, run: s.run(false)},
			testCase{name: "restart/kill/" + s.name, run: s.run(true)})
	}
	return append(cases,
		testCase{name: "data/disk-full", run: diskFull},
		testCase{name: "data/checkpoint-corrupt", run: checkpoint(func(b []byte) []byte {
			for i := len(b) / 2; i < len(b)/2+8 && i < len(b); i++ {
				b[i] ^= 0x55
			}
			return b
		})},
		testCase{name: "data/checkpoint-truncated", run: checkpoint(func(b []byte) []byte { return b[:len(b)/2] })},
		testCase{name: "data/checkpoint-empty", run: checkpoint(func([]byte) []byte { return nil })},
		testCase{name: "data/checkpoint-old", run: checkpoint(func([]byte) []byte { return []byte(oldCheckpoint) })},
		testCase{name: "data/checkpoint-gone", run: checkpoint(nil)},
		testCase{name: "data/two-collectors", run: refusesSecond},
	)
}

func restartIdle(hard bool) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		e.both()
		for range 3 {
			if err := e.begin(ctx, 100); err != nil {
				return err
			}
			if err := e.end(hard); err != nil {
				return err
			}
			e.bursts(100)
		}
		return e.start(ctx)
	}
}

func restartReading(hard bool) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		logs := e.both()
		if err := e.sink.Set(ctx, rig.Mode{Delay: 50 * time.Millisecond}); err != nil {
			return err
		}
		for range 3 {
			if err := e.start(ctx); err != nil {
				return err
			}
			for _, l := range logs {
				for range 100 {
					l.Lines(false, rig.Filler(150), 50)
				}
			}
			if err := rig.Wait(ctx, 250*time.Millisecond); err != nil {
				return err
			}
			if err := e.end(hard); err != nil {
				return err
			}
		}
		return e.start(ctx)
	}
}

func restartSinkDown(hard bool) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		e.both()
		if err := e.begin(ctx, 100); err != nil {
			return err
		}
		if err := e.sink.Set(ctx, rig.Mode{Down: true}); err != nil {
			return err
		}
		e.bursts(500)
		if err := e.moment(ctx); err != nil {
			return err
		}
		if err := e.end(hard); err != nil {
			return err
		}
		e.bursts(500)
		if err := e.start(ctx); err != nil {
			return err
		}
		if err := e.moment(ctx); err != nil {
			return err
		}
		return e.sink.Set(ctx, rig.Mode{})
	}
}

func restartRotated(hard bool) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		logs := e.both()
		if err := e.begin(ctx, 100); err != nil {
			return err
		}
		e.bursts(100)
		if err := e.end(hard); err != nil {
			return err
		}
		for range 3 {
			e.bursts(100)
			for _, l := range logs {
				l.Rotate()
			}
		}
		e.bursts(100)
		return e.start(ctx)
	}
}

func restartWithinLine(hard bool) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		logs := e.both()
		if err := e.start(ctx); err != nil {
			return err
		}
		for i := range 2 {
			for _, l := range logs {
				n := 0
				var failed error
				l.Pieces(false, rig.Filler(3000), 500, func() {
					if n++; n != 3 {
						return
					}
					l.Line(true, rig.Filler(40)) // the other stream's
					if i == 0 {                  // else before anything of it was read
						failed = e.moment(ctx)
					}
					failed = errors.Join(failed, e.end(hard), e.start(ctx))
				})
				if failed != nil {
					return failed
				}
			}
		}
		return e.settle(ctx)
	}
}

// restartWithinTwo ends the collector at each place of two lines that overlap,
// and after one of them has ended. Where one of them began the other is open:
// no place to go on from.
func restartWithinTwo(hard bool) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		logs := e.both()
		for i := range 4 { // in turn the one that began first ends first, and last
			e.bursts(3)
			if err := e.start(ctx); err != nil {
				return err
			}
			var wait sync.WaitGroup
			for _, l := range logs {
				n, payloads := 0, [2][]byte{rig.Filler(1000), rig.Filler(3000)}
				wait.Go(func() {
					l.Overlapping(payloads[i%2], payloads[1-i%2], 400, func() {
						if n++; n == 4+i {
							_ = e.moment(ctx) // read, and what can be is acknowledged and saved
						}
					})
				})
				if i%2 == 1 { // the restart finds the end, too
					wait.Wait()
				}
			}
			err := rig.Wait(ctx, 450*time.Millisecond)
			if err = errors.Join(err, e.end(hard)); err != nil {
				return err
			}
			wait.Wait()
		}
		return e.start(ctx)
	}
}

func restartAtOnce(hard bool) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		e.both()
		for range 5 {
			e.bursts(300)
			if err := e.start(ctx); err != nil {
				return err
			}
			if err := e.end(hard); err != nil {
				return err
			}
		}
		return e.start(ctx)
	}
}

// diskFull: nothing can be written to the data directory for a while. Lines
// go on; what cannot be kept then costs lines that come twice.
func diskFull(ctx context.Context, e *env) error {
	e.both()
	if err := os.MkdirAll(e.data(), 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", e.data(), "tmpfs", 0, "size=4m"); err != nil {
		return fmt.Errorf("%w: a small file system can't be mounted: %w", errSkip, err)
	}
	defer func() {
		e.kill()
		_ = syscall.Unmount(e.data(), syscall.MNT_DETACH)
	}()
	if err := e.begin(ctx, 100); err != nil {
		return err
	}
	ballast := filepath.Join(e.data(), "ballast")
	if err := fillUp(ballast); err != nil {
		return err
	}
	e.bursts(500)
	if err := e.settle(ctx); err != nil {
		return fmt.Errorf("disk full: %w", err)
	}
	if err := e.moment(ctx); err != nil {
		return err
	}
	e.kill()
	e.bursts(100)
	if err := e.start(ctx); err != nil {
		return fmt.Errorf("start with a full disk: %w", err)
	}
	if err := e.settle(ctx); err != nil {
		return fmt.Errorf("started with a full disk: %w", err)
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	e.bursts(100)
	return e.finish(ctx) // here, since the directory goes
}

func fillUp(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for n := 64 << 10; n > 0; {
		if _, err := f.Write(make([]byte, n)); errors.Is(err, syscall.ENOSPC) {
			n /= 2
		} else if err != nil {
			return err
		}
	}
	return nil
}

// oldCheckpoint is one of the first version, of another host.
const oldCheckpoint = `coldscope-file 1 1a8e9e3d 157
{"version":1,"files":{"00ab54a98ceb1f0a":{"offset":4096,"read":8192,"path":"/var/log/pods/ns_hello-v1_uid/hello/0.log","instance":"uid","seen":1790000000}}}
`

// checkpoint mistreats whatever file the collector keeps its places in: lines
// may come again, and none is lost. Without a change the files are removed.
func checkpoint(change func([]byte) []byte) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		e.both()
		for range 2 {
			if err := e.begin(ctx, 300); err != nil {
				return err
			}
			err := e.until(ctx, "no checkpoint is saved in the data directory", func() (bool, error) {
				return len(e.checkpoints()) > 0, nil
			})
			if err = errors.Join(err, e.moment(ctx)); err != nil { // with what was settled, most likely
				return err
			}
			e.kill()
			e.bursts(300)
			if err := e.mistreat(change); err != nil {
				return err
			}
		}
		return e.start(ctx)
	}
}

// checkpoints are the paths of whatever the collector keeps its places in.
func (e *env) checkpoints() (paths []string) {
	_ = filepath.WalkDir(e.data(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(filepath.Base(path), "checkpoint") {
			paths = append(paths, path)
		}
		return nil // what goes meanwhile is none
	})
	return paths
}

func (e *env) mistreat(change func([]byte) []byte) error {
	for _, path := range e.checkpoints() {
		if change == nil {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, change(b), 0o600); err != nil {
			return err
		}
	}
	return nil
}

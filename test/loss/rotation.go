package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/coldscope/coldscope/test/loss/rig"
)

var rotationCases = []testCase{
	{name: "rotate/docker", run: rotating(rig.JSONFile)},
	{name: "rotate/kubelet", run: rotating(rig.CRI)},
	{name: "rotate/flat-out", needs: inotify, timed: true, run: flatOut},
	{name: "rotate/compress", run: compressed},
	{name: "rotate/compress-before-seen", needs: gz, run: compressedUnseen},
	{name: "rotate/compress-half-read", needs: gz, run: compressedHalfRead},
	{name: "rotate/copytruncate", run: copyTruncate},
	{name: "rotate/copytruncate-while-down", run: copyTruncateDown},
	{name: "delete/open", run: deletedOpen},
	{name: "delete/short-lived", needs: inotify, timed: true, run: shortLived},
	{name: "delete/unsent-and-killed", needs: spool, run: deletedAndKilled},
	{name: "delete/recreated", run: recreated},
	{name: "identity/inode-reused", run: inodeReused},
	{name: "identity/same-head", run: sameHead},
	{name: "identity/empty", run: emptyFiles},
	{name: "identity/clock-steps", run: clockSteps},
}

// rotating rotates as the runtime does, and removes what is too old.
func rotating(f rig.Format) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		l := e.newLog(f)
		l.MaxFile = 4
		if err := e.start(ctx); err != nil {
			return err
		}
		for range 6 {
			e.burst(l, 100)
			if err := e.settle(ctx); err != nil {
				return err
			}
			e.burst(l, 100)
			l.Rotate()
			e.burst(l, 50)
		}
		return e.settle(ctx)
	}
}

// flatOut rotates each few milliseconds, as a container does that writes as
// fast as it can: a generation lives for less than a tenth of a second.
func flatOut(ctx context.Context, e *env) error {
	l := e.newLog(rig.JSONFile)
	l.MaxFile = 5
	if err := e.start(ctx); err != nil {
		return err
	}
	for range 30 {
		for range 10 {
			l.Lines(false, rig.Filler(120), 100)
		}
		l.Rotate()
		if err := rig.Wait(ctx, 25*time.Millisecond); err != nil {
			return err
		}
	}
	return e.settle(ctx)
}

// compressed compresses right behind the rotation, while the collector looks on.
func compressed(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	for i := range 5 {
		e.bursts(200)
		if err := e.settle(ctx); err != nil {
			return err
		}
		e.bursts(20)
		for _, l := range logs {
			l.Compress(l.Rotate(), time.Duration(1+i)*time.Millisecond)
		}
	}
	e.bursts(20)
	return e.settle(ctx)
}

// compressedUnseen compresses while no collector runs.
func compressedUnseen(ctx context.Context, e *env) error {
	logs := e.both()
	e.bursts(200)
	compressAll(logs)
	e.bursts(100)
	if err := e.start(ctx); err != nil {
		return err
	}
	if err := e.settle(ctx); err != nil {
		return err
	}
	if err := e.end(false); err != nil {
		return err
	}
	e.bursts(100)
	compressAll(logs)
	e.bursts(100)
	compressAll(logs)
	e.bursts(100)
	if err := e.start(ctx); err != nil {
		return err
	}
	return e.settle(ctx)
}

func compressAll(logs []*rig.Log) {
	for _, l := range logs {
		l.Compress(l.Rotate(), 2*time.Millisecond)
	}
}

// compressedHalfRead: a half of the file was acknowledged when it was
// compressed, and no collector saw that.
func compressedHalfRead(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.begin(ctx, 500); err != nil {
		return err
	}
	if err := e.sink.Set(ctx, rig.Mode{Status: 503}); err != nil {
		return err
	}
	e.bursts(500)
	if err := e.moment(ctx); err != nil { // the checkpoint is saved, too
		return err
	}
	e.kill()
	e.bursts(10)
	compressAll(logs)
	e.bursts(100)
	if err := e.sink.Set(ctx, rig.Mode{}); err != nil {
		return err
	}
	if err := e.start(ctx); err != nil {
		return err
	}
	return e.settle(ctx)
}

// copyTruncate copies and truncates a file that is read to its end.
func copyTruncate(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	for range 3 {
		e.bursts(200)
		if err := e.settle(ctx); err != nil {
			return err
		}
		for _, l := range logs {
			l.CopyTruncate()
		}
		if err := e.moment(ctx); err != nil {
			return err
		}
	}
	e.bursts(50)
	return e.settle(ctx)
}

// copyTruncateDown does it while no collector runs: the file has grown beyond
// where it was read when the collector is back.
func copyTruncateDown(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.begin(ctx, 100); err != nil {
		return err
	}
	e.kill()
	e.bursts(100)
	for _, l := range logs {
		l.CopyTruncate()
	}
	e.bursts(400)
	if err := e.start(ctx); err != nil {
		return err
	}
	return e.settle(ctx)
}

// deletedOpen removes containers whose lines are not sent yet.
func deletedOpen(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.begin(ctx, 100); err != nil {
		return err
	}
	if err := e.sink.Set(ctx, rig.Mode{Down: true}); err != nil {
		return err
	}
	e.bursts(2000)
	for _, l := range logs {
		l.Remove()
	}
	if err := e.moment(ctx); err != nil {
		return err
	}
	if err := e.sink.Set(ctx, rig.Mode{}); err != nil {
		return err
	}
	return e.settle(ctx)
}

// shortLived: containers that are there for a moment only.
func shortLived(ctx context.Context, e *env) error {
	if err := e.start(ctx); err != nil {
		return err
	}
	for range 20 {
		l := e.newLog(rig.JSONFile)
		if err := rig.Wait(ctx, 50*time.Millisecond); err != nil { // real ones: 200 ms
			return err
		}
		e.burst(l, 100)
		l.Remove()
	}
	return e.settle(ctx)
}

// deletedAndKilled: the file is gone, and so is the process that held it open.
func deletedAndKilled(ctx context.Context, e *env) error {
	e.config = rig.SpoolConfig()
	logs := e.both()
	if err := e.begin(ctx, 100); err != nil {
		return err
	}
	if err := e.sink.Set(ctx, rig.Mode{Status: 503}); err != nil {
		return err
	}
	e.bursts(200)
	for _, l := range logs {
		l.Remove()
	}
	// Each of them is copied two seconds after it was last written to.
	for copies := 0; copies < len(logs); {
		if err := rig.Wait(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		found, err := filepath.Glob(filepath.Join(e.data(), "collector", "spool", "*.spool"))
		if err != nil {
			return err
		}
		copies = len(found)
	}
	e.kill()
	if err := e.sink.Set(ctx, rig.Mode{}); err != nil {
		return err
	}
	if err := e.start(ctx); err != nil {
		return err
	}
	return e.settle(ctx)
}

// recreated removes a container's directory and makes one with the same name.
func recreated(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	for i := range 4 {
		e.bursts(100 * (i + 1))
		if err := e.settle(ctx); err != nil {
			return err
		}
		for _, l := range logs {
			l.Remove()
			if i%2 == 1 {
				if err := e.moment(ctx); err != nil {
					return err
				}
			}
			l.Recreate()
		}
	}
	e.bursts(100)
	return e.settle(ctx)
}

// inodeReused gives a file's inode to the next one at once, and writes beyond
// where the old one was read.
func inodeReused(ctx context.Context, e *env) error {
	logs := e.both()
	reused := 0
	for range 4 {
		if err := e.begin(ctx, 100); err != nil {
			return err
		}
		e.kill()
		for _, l := range logs {
			was := inode(l.Path)
			if err := os.Remove(l.Path); err != nil {
				return err
			}
			for range 20 { // the file system gives the freed number soon
				l.Create()
				if inode(l.Path) == was {
					reused++
					break
				}
				if err := os.Rename(l.Path, filepath.Join(e.dir, strconv.FormatUint(inode(l.Path), 10))); err != nil {
					return err
				}
			}
			if !exists(l.Path) {
				l.Create()
			}
		}
		e.bursts(300)
	}
	e.note = fmt.Sprintf("(%d inodes used again)", reused)
	if err := e.start(ctx); err != nil {
		return err
	}
	return e.settle(ctx)
}

func inode(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		return sys.Ino
	}
	return 0
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// sameHead: the containers of one image begin with the same kilobyte.
func sameHead(ctx context.Context, e *env) error {
	banner := append([]byte("BANNER "), rig.Filler(1200)...)
	e.foreign = []string{"BANNER", "starting"}
	at := time.Now().Truncate(time.Second)
	for range 25 {
		for _, l := range e.both() {
			l.Foreign(false, banner, at)
			l.Foreign(false, []byte("starting"), at)
		}
	}
	if err := e.start(ctx); err != nil {
		return err
	}
	e.bursts(20)
	r, err := e.settled(ctx) // the banners are before the lines
	if err != nil {
		return err
	}
	if got := r.Foreign[string(banner[:200])]; got != 50 {
		return fmt.Errorf("%d of 50 banners arrived", got)
	}
	if got := r.Foreign["starting"]; got != 50 {
		return fmt.Errorf("%d of 50 lines behind the banner arrived", got)
	}
	return nil
}

// emptyFiles: files without a byte, some for ever, some rotated away so.
func emptyFiles(ctx context.Context, e *env) error {
	var logs []*rig.Log
	for range 5 {
		logs = append(logs, e.both()...)
	}
	logs[1].Rotate()
	if err := e.start(ctx); err != nil {
		return err
	}
	if err := e.moment(ctx); err != nil {
		return err
	}
	for i, l := range logs {
		if i%3 == 0 {
			l.Rotate()
		}
		if i%2 == 0 {
			e.burst(l, 20)
		}
	}
	if err := e.settle(ctx); err != nil {
		return err
	}
	e.kill()
	for _, l := range logs {
		e.burst(l, 10)
	}
	return e.start(ctx)
}

// clockSteps sets clock and files' times an hour ahead and back.
func clockSteps(ctx context.Context, e *env) error {
	logs := e.both()
	step := time.Duration(0)
	for _, l := range logs {
		l.Now = func() time.Time { return time.Now().Add(step) }
	}
	if err := e.start(ctx); err != nil {
		return err
	}
	for i := range 8 {
		step = [...]time.Duration{0, time.Hour, -time.Hour, 24 * time.Hour}[i%4]
		e.bursts(50)
		for _, l := range logs {
			l.Pieces(i%2 == 0, rig.Filler(900), 100, func() {})
			if i%3 == 2 {
				l.Rotate()
				e.burst(l, 5)
			}
			l.Touch(time.Now().Add(step))
		}
		if err := rig.Wait(ctx, 200*time.Millisecond); err != nil {
			return err
		}
		if i == 4 {
			e.kill()
			if err := e.start(ctx); err != nil {
				return err
			}
		}
	}
	if e.c == nil {
		return errors.New("no collector")
	}
	return e.settle(ctx)
}

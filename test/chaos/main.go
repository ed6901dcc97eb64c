// Command chaos looks for lines and events that the aggregator lost or doubled:
// it sends a known load to the real binary, kills, freezes and fills what it
// stands on, and counts in the end what is stored.
//
//	go run ./test/chaos [-for 10m] [-senders 8] [-seed N] [-dir DIR] [-only kill,engine,...]
//
// $COLDSCOPE_BINARY names a binary instead of building one. As root, the data
// directory is a small file system of its own, which is filled now and then.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/test/loss/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // the program's root
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		stop()
		os.Exit(1)
	}
}

// diskBytes is the size of the file system that is filled.
const diskBytes = 2 << 30

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	set := flag.NewFlagSet("chaos", flag.ContinueOnError)
	lasts := set.Duration("for", 10*time.Minute, "how long to do harm")
	senders := set.Int("senders", 8, "how many send at a time")
	seed := set.Uint64("seed", uint64(time.Now().UnixNano()), "of what is done, and when")
	dir := set.String("dir", os.TempDir(), "where to put the data")
	only := set.String("only", "", "the harms to do, separated by commas (default all)")
	if err := set.Parse(args); err != nil {
		return err
	}
	base, err := os.MkdirTemp(*dir, "cs-chaos-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(base)) }()
	w := &world{dir: base, data: filepath.Join(base, "disk", "data"), out: out, random: rand.New(rand.NewPCG(*seed, 0))}
	fmt.Fprintf(out, "chaos: for %s, seed %d\n", *lasts, *seed)
	if w.binary, err = rig.Server(ctx, base); err != nil {
		return err
	}
	unmount, err := w.mount()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unmount()) }()
	if err := w.start(ctx); err != nil {
		return err
	}
	defer w.close()

	load := newLoad(w.url)
	harm, stop := context.WithTimeout(ctx, *lasts)
	defer stop()
	var g errgroup.Group
	for n := range *senders {
		g.Go(func() error { return load.send(ctx, harm, n) })
	}
	err = w.harm(harm, strings.FieldsFunc(*only, func(r rune) bool { return r == ',' }))
	stop()
	if err == nil {
		fmt.Fprintln(out, "chaos: calm; the senders bring what they have left")
		err = w.recover(ctx)
	}
	if err = errors.Join(err, g.Wait()); err != nil {
		return err
	}
	return w.check(ctx, load)
}

// mount gives the data a disk of its own, for who may mount one.
func (w *world) mount() (unmount func() error, err error) {
	disk := filepath.Dir(w.data)
	if err := os.MkdirAll(disk, 0o700); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return func() error { return nil }, nil
	}
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskBytes)); err != nil {
		fmt.Fprintf(w.out, "chaos: the disk is not filled, since none can be mounted: %v\n", err)
		return func() error { return nil }, nil
	}
	w.disk = disk
	return func() error { return unix.Unmount(disk, 0) }, nil
}

// harms are done one after another, in any order.
func (w *world) harms(only []string) []harm {
	all := []harm{
		{"kill", w.kill}, {"engine", w.killEngine}, {"freeze", w.freeze}, {"disk", w.fill}, {"slow", w.slow}, {"crowd", w.crowd},
	}
	return slices.DeleteFunc(all, func(h harm) bool {
		return len(only) > 0 && !slices.Contains(only, h.name) || h.name == "disk" && w.disk == ""
	})
}

type harm struct {
	name string
	do   func(context.Context) error
}

// harm does what it can until ctx ends.
func (w *world) harm(ctx context.Context, only []string) error {
	harms := w.harms(only)
	if len(harms) == 0 {
		return fmt.Errorf("none of the harms is %s", strings.Join(only, ", "))
	}
	for ctx.Err() == nil {
		w.random.Shuffle(len(harms), func(a, b int) { harms[a], harms[b] = harms[b], harms[a] })
		for _, h := range harms {
			if !w.wait(ctx, 500*time.Millisecond, 5*time.Second) {
				return nil
			}
			fmt.Fprintf(w.out, "chaos: %s %s\n", time.Now().UTC().Format("15:04:05"), h.name)
			w.done[h.name]++
			if err := h.do(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
		}
	}
	return nil
}

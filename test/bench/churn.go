package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/coldscope/coldscope/test/loss/rig"
)

const linesEach = 100

// churnFiles lets containers start and die, each with its own directory, as
// dockerd makes and removes them: the file is there some tenths of a second
// before the process starts, and removed right after it ended.
func (b *bench) churnFiles(ctx context.Context) error {
	dir, done, err := b.place("churn")
	if err != nil {
		return err
	}
	defer done()
	n, span := 200, 30*time.Second
	if b.long {
		n, span = 2000, 5*time.Minute
	}
	r, err := b.start(ctx, dir, "")
	if err != nil {
		return err
	}
	defer r.close()
	dice := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same lives each time
	var lives sync.WaitGroup
	tick := time.NewTicker(span / time.Duration(n))
	defer tick.Stop()
	for k := range n {
		start := time.Duration(200+dice.IntN(200)) * time.Millisecond
		lives.Go(func() { live(ctx, dir, fmt.Sprintf("%064x", k+1), start) })
		select {
		case <-ctx.Done():
			lives.Wait()
			return ctx.Err()
		case <-tick.C:
		}
	}
	lives.Wait()
	return b.churned(ctx, r, fmt.Sprintf("churn, %d containers in %s", n, span), n)
}

// live is one container's life.
func live(ctx context.Context, dir, id string, start time.Duration) {
	l := rig.NewLog(rig.JSONFile, dir, "bench", id)
	defer l.Remove()
	if rig.Wait(ctx, start) != nil {
		return
	}
	payload := rig.Filler(120)
	for i := range linesEach {
		l.Line(i%2 == 0, payload)
		if i%10 == 9 && rig.Wait(ctx, 5*time.Millisecond) != nil {
			return
		}
	}
	_ = rig.Wait(ctx, 50*time.Millisecond) // until dockerd has heard of its end
}

func (b *bench) churned(ctx context.Context, r *running, what string, n int) error {
	report, err := r.until(ctx, n*linesEach, 10*time.Second)
	if err != nil {
		return err
	}
	_, peak, err := r.collector.Memory()
	if err != nil {
		return err
	}
	spent, err := r.collector.Processor()
	if err != nil {
		return err
	}
	b.add(Result{
		Name: what, Figure: spent.Seconds() / float64(n) * 1000, Unit: "CPU ms/container",
		Note: fmt.Sprintf("peak RSS %.0f MB", float64(peak)/1e6),
	})
	return b.kept(what, report.Entries, n*linesEach)
}

const churnImage = "coldscope-bench-hundred"

// churnDocker does it with real containers, where a dockerd answers.
func (b *bench) churnDocker(ctx context.Context) error {
	const name = "churn, real containers"
	if err := exec.CommandContext(ctx, "docker", "version").Run(); err != nil {
		b.add(Result{Name: name, State: "skipped", Note: "no dockerd answers"})
		return nil
	}
	root, err := docker(ctx, "info", "--format", "{{.DockerRootDir}}")
	if err != nil {
		return err
	}
	if err := b.makeImage(ctx); err != nil {
		return err
	}
	defer docker(ctx, "rmi", churnImage)                   //nolint:errcheck // it is small
	function := fmt.Sprintf("bench-churn-%d", os.Getpid()) // other containers are there too
	r, err := b.start(ctx, filepath.Join(root, "containers"), "", "-only", function)
	if err != nil {
		return err
	}
	defer r.close()
	n := 50
	if b.long {
		n = 200
	}
	ids := make(chan int)
	var starters sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range 2 {
		starters.Go(func() {
			for range ids {
				if _, err := docker(ctx, "run", "--rm", "--network", "none", "--log-driver", "json-file",
					"--label", "dev.coldscope.function="+function, "--label", "dev.coldscope.namespace=rig", churnImage); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	begin := time.Now()
	for k := range n {
		ids <- k
	}
	close(ids)
	starters.Wait()
	if failed != nil {
		return failed
	}
	return b.churned(ctx, r, fmt.Sprintf("%s, %d in %.0f s", name, n, time.Since(begin).Seconds()), n)
}

// makeImage makes an image of nothing but the command hundred.
func (b *bench) makeImage(ctx context.Context) error {
	dir, done, err := b.place("image")
	if err != nil {
		return err
	}
	defer done()
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "hundred"),
		"github.com/coldscope/coldscope/test/bench/hundred")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	tar := filepath.Join(dir, "image.tar")
	if out, err := exec.CommandContext(ctx, "tar", "-C", dir, "-cf", tar, "hundred").CombinedOutput(); err != nil {
		return fmt.Errorf("tar: %w: %s", err, out)
	}
	_, err = docker(ctx, "import", "--change", `ENTRYPOINT ["/hundred"]`, tar, churnImage)
	return err
}

func docker(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

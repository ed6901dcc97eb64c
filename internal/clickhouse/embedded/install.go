package embedded

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// npmFiles pin the library: the lock file holds the hash of its package, and
// npm ci refuses anything else. It names no registry, so that npm's own
// configuration decides where the package comes from.
//
//go:embed npm/package.json npm/package-lock.json
var npmFiles embed.FS

// Install brings libchdb into the user's cache with npm and returns its path.
// It does nothing if it is there. Progress goes to w. Several processes may
// install at once: one does it, the others wait for it.
func Install(ctx context.Context, w io.Writer) (path string, err error) {
	pkg, ok := packages[platform()]
	if !ok {
		return "", fmt.Errorf("install engine: no package of libchdb is pinned for %s: build or download libchdb %s and set %s=/path/to/%s, or use a ClickHouse server with --clickhouse DSN",
			platform(), packageVersion, libraryEnv, libraryName)
	}
	cache, err := cacheDir()
	if err != nil {
		return "", fmt.Errorf("install engine: %w", err)
	}
	path = cachedLibrary(cache)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", fmt.Errorf("install engine: npm is not on PATH: install Node.js with npm (Debian: apt-get install npm) and run `coldscope engine install` again, or set %s=/path/to/%s: %w", libraryEnv, libraryName, err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("install engine: %w", err)
	}
	unlock, err := waitForLock(ctx, filepath.Join(cache, "lock"))
	if err != nil {
		return "", fmt.Errorf("install engine: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if _, err := os.Stat(path); err == nil { // another process was first
		return path, nil
	}
	began := time.Now()
	if _, err := fmt.Fprintf(w, "installing the embedded engine, %s %s (178 MB to download) into %s\n", pkg, packageVersion, cache); err != nil {
		return "", fmt.Errorf("install engine: %w", err)
	}
	if err := installInto(ctx, npm, pkg, cache); err != nil {
		return "", fmt.Errorf("install engine: %w", err)
	}
	if _, err := fmt.Fprintf(w, "installed %s in %s\n", path, time.Since(began).Round(100*time.Millisecond)); err != nil {
		return "", fmt.Errorf("install engine: %w", err)
	}
	return path, nil
}

const unfinished = ".unfinished-" // folders of installs; only the lock's holder has one

// installInto runs npm in a folder beside the final one and moves the checked
// library there in one step. The caller holds the cache's lock.
func installInto(ctx context.Context, npm, pkg, cache string) (err error) {
	leftovers, err := filepath.Glob(filepath.Join(cache, unfinished+"*"))
	if err != nil {
		return err
	}
	for _, leftover := range leftovers { // of an install that was killed
		if err := os.RemoveAll(leftover); err != nil {
			return err
		}
	}
	work, err := os.MkdirTemp(cache, unfinished)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()

	for _, name := range []string{"package.json", "package-lock.json"} {
		content, err := fs.ReadFile(npmFiles, "npm/"+name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(work, name), content, 0o600); err != nil {
			return err
		}
	}
	if err := runNPM(ctx, npm, work); err != nil {
		return err
	}

	finished := filepath.Join(work, packageVersion)
	if err := os.Mkdir(finished, 0o755); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(work, "node_modules", filepath.FromSlash(pkg), libraryName), filepath.Join(finished, libraryName)); err != nil {
		return fmt.Errorf("package %s holds no %s: %w", pkg, libraryName, err)
	}
	return os.Rename(finished, filepath.Join(cache, packageVersion))
}

func runNPM(ctx context.Context, npm, dir string) error {
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	text := strings.TrimSpace(output.String())
	hint := "npm ci failed"
	switch {
	case strings.Contains(text, "EINTEGRITY"):
		hint = "the package is not the one this release was built with (its hash differs): check the registry that npm uses (npm config get registry)"
	case containsAny(text, "ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH", "network"):
		hint = "npm cannot reach its registry: check the network, the proxy and `npm config get registry`"
	case containsAny(text, "E404", "ETARGET", "ENOVERSIONS"):
		hint = "npm's registry does not have the package: check `npm config get registry`"
	case strings.Contains(text, "ENOSPC"):
		hint = "no space left on the disk of the cache: about 1 GB is needed"
	}
	return fmt.Errorf("%s: %w\n%s", hint, err, text)
}

func containsAny(s string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}

// waitForLock locks path, waiting as long as another process holds it.
func waitForLock(ctx context.Context, path string) (unlock func() error, err error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		f, err := flock(path, unix.O_CREAT)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another install: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

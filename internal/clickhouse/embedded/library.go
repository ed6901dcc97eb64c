package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// The engine this release is built and tested with. npm/package.json and
// npm/package-lock.json name the same package; a test holds them together.
const (
	packageVersion = "26.7.3-stable.1" // of the npm package, and the cache's folder
	engineVersion  = "26.7.2.1"        // what that library says of itself: SELECT version()
)

const libraryEnv = "COLDSCOPE_LIBCHDB"

// Errors that callers tell apart.
var (
	// ErrNotInstalled means that libchdb is not on this machine. The message
	// around it says what to do.
	ErrNotInstalled = errors.New("the embedded engine (libchdb) is not installed")
	// ErrInUse means that another process uses the data directory.
	ErrInUse = errors.New("data directory in use")
)

// packages names the npm package with the library for each platform that the
// lock file holds.
var packages = map[string]string{
	"linux/amd64": "@chdb/lib-linux-x64-gnu",
}

// findLibrary returns the path of libchdb: explicit, else $COLDSCOPE_LIBCHDB,
// else what Install put into the cache, else beside the executable. A path
// that somebody named must exist: it never gives way to another place.
func findLibrary(explicit string) (string, error) {
	for _, named := range []struct{ path, from string }{
		{explicit, "the configured library"},
		{os.Getenv(libraryEnv), libraryEnv},
	} {
		if named.path == "" {
			continue
		}
		path, err := filepath.Abs(named.path)
		if err == nil {
			_, err = os.Stat(path)
		}
		if err != nil {
			return "", fmt.Errorf("%w: %s: %w", ErrNotInstalled, named.from, err)
		}
		return path, nil
	}
	var candidates []string
	if dir, err := cacheDir(); err == nil {
		candidates = append(candidates, cachedLibrary(dir))
	}
	if exe, err := os.Executable(); err == nil {
		candidates = append(candidates, filepath.Join(filepath.Dir(exe), libraryName))
	}
	for _, path := range candidates {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	remedy := "run `coldscope engine install`"
	if _, ok := packages[platform()]; !ok {
		remedy = "no package of it is known for " + platform()
	}
	return "", fmt.Errorf("%w: %s, or set %s=/path/to/%s, or use a ClickHouse server with --clickhouse DSN (looked at %q)",
		ErrNotInstalled, remedy, libraryEnv, libraryName, candidates)
}

func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

const libraryName = "libchdb.so"

// cacheDir holds one folder for each version of the library.
func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	return filepath.Join(dir, "coldscope", "libchdb"), nil
}

func cachedLibrary(cache string) string {
	return filepath.Join(cache, packageVersion, libraryName)
}

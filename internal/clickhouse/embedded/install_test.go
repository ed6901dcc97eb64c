package embedded

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lockedPackages reads what the embedded lock file pins.
func lockedPackages(t *testing.T) map[string]map[string]any {
	t.Helper()
	content, err := npmFiles.ReadFile("npm/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]map[string]any `json:"packages"`
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		t.Fatal(err)
	}
	return lock.Packages
}

func TestLockFile(t *testing.T) {
	locked := lockedPackages(t)
	for platform, pkg := range packages {
		entry := locked["node_modules/"+pkg]
		if entry["version"] != packageVersion {
			t.Errorf("%s: lock file has version %v of %s, want %s", platform, entry["version"], pkg, packageVersion)
		}
		if integrity, _ := entry["integrity"].(string); !strings.HasPrefix(integrity, "sha512-") {
			t.Errorf("%s: lock file has no sha512 of %s", platform, pkg)
		}
	}
	if len(locked) != len(packages)+1 {
		t.Errorf("lock file holds %d packages besides the root, want %d", len(locked)-1, len(packages))
	}
	for name, entry := range locked {
		if entry["resolved"] != nil {
			t.Errorf("%s is tied to a registry: %v", name, entry["resolved"])
		}
	}
}

func TestInstallThere(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("PATH", "") // and no npm is needed
	cache, err := cacheDir()
	if err != nil {
		t.Fatal(err)
	}
	want := cachedLibrary(cache)
	if err := os.MkdirAll(filepath.Dir(want), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(want, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	got, err := Install(t.Context(), &out)
	if err != nil || got != want || out.Len() > 0 {
		t.Errorf("Install = %q, %v, and printed %q; want %q in silence", got, err, out.String(), want)
	}
}

func TestInstallWithoutNPM(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	_, err := Install(t.Context(), t.Output())
	if err == nil || !strings.Contains(err.Error(), "apt-get install npm") {
		t.Errorf("Install = %v, want how to install npm", err)
	}
}

// Install against registries that cannot give it the pinned package.
func TestInstallFails(t *testing.T) {
	if _, ok := packages[platform()]; !ok {
		t.Skipf("no package for %s", platform())
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	empty := httptest.NewServer(http.NotFoundHandler())
	defer empty.Close()
	forged := httptest.NewServer(http.HandlerFunc(forge))
	defer forged.Close()

	for name, tc := range map[string]struct{ registry, want string }{
		"no network":    {closed.URL, "cannot reach its registry"},
		"not there":     {empty.URL, "registry does not have the package"},
		"other content": {forged.URL, "its hash differs"},
	} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			t.Setenv("XDG_CACHE_HOME", cache)
			t.Setenv("npm_config_cache", t.TempDir()) // where the real one may lie
			t.Setenv("npm_config_registry", tc.registry)
			t.Setenv("npm_config_fetch_retries", "0")
			path, err := Install(t.Context(), t.Output())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Install = %q, %v; want an error with %q", path, err, tc.want)
			}
			left, err := filepath.Glob(filepath.Join(cache, "coldscope", "libchdb", "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range left {
				if filepath.Base(file) != "lock" {
					t.Errorf("left behind: %s", file)
				}
			}
		})
	}
}

// forge is a registry that serves the right name and version with a package of
// its own.
func forge(w http.ResponseWriter, r *http.Request) {
	content := []byte("not the library")
	if strings.HasSuffix(r.URL.Path, ".tgz") {
		_, _ = w.Write(content)
		return
	}
	name := strings.TrimPrefix(strings.ReplaceAll(r.URL.Path, "%2f", "/"), "/")
	sum := sha512.Sum512(content)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"name":      name,
		"dist-tags": map[string]string{"latest": packageVersion},
		"versions": map[string]any{packageVersion: map[string]any{
			"name": name, "version": packageVersion,
			"dist": map[string]string{
				"tarball":   "http://" + r.Host + "/" + name + "/-/forged.tgz",
				"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:]),
			},
		}},
	})
}

package containerdtest

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/coldscope/coldscope/internal/functionhost/image"
)

// program is what build has made: once is enough for a test binary.
var program struct {
	sync.Mutex
	data []byte
}

// build builds the program of all containers.
func build(t testing.TB) ([]byte, error) {
	program.Lock()
	defer program.Unlock()
	if program.data != nil {
		return program.data, nil
	}
	name := filepath.Join(t.TempDir(), "program")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", name,
		"github.com/coldscope/coldscope/internal/containerdtest/program")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return nil, &buildError{err, stderr.String()}
	}
	var err error
	program.data, err = os.ReadFile(name)
	return program.data, err
}

type buildError struct {
	err    error
	stderr string
}

func (e *buildError) Error() string { return "build program: " + e.err.Error() + "\n" + e.stderr }
func (e *buildError) Unwrap() error { return e.err }

// Program is the executable that ProgramLayer has at /program.
func Program(t testing.TB) []byte {
	t.Helper()
	data, err := build(t)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// ProgramLayer is the layer with /program, which an image's command may run:
// serve WAIT PORT, exit WAIT CODE, eat WAIT MIB or print LINES CODE. Padding is bytes beside it
// that cannot be compressed, and make it another layer than the sandboxes'.
func ProgramLayer(t testing.TB, padding int) v1.Layer {
	t.Helper()
	files := []image.File{{Name: "/program", Mode: 0o755, Data: Program(t)}}
	if padding > 0 {
		files = append(files, image.File{Name: "/padding", Data: random(uint64(padding), padding)})
	}
	return layer(t, files...)
}

// RandomLayer is a layer of so many bytes that cannot be compressed. The same
// seed gives the same layer.
func RandomLayer(t testing.TB, seed uint64, size int) v1.Layer {
	t.Helper()
	return layer(t, image.File{Name: "/data/" + strconv.FormatUint(seed, 10), Data: random(seed, size)})
}

func random(seed uint64, size int) []byte {
	data := make([]byte, size)
	key := [32]byte{1}
	binary.LittleEndian.PutUint64(key[1:], seed)
	_, _ = rand.NewChaCha8(key).Read(data)
	return data
}

func layer(t testing.TB, files ...image.File) v1.Layer {
	t.Helper()
	l, err := image.Layer(files...)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Push puts an image of the layers into the registry and returns its
// reference. It runs /program; what it does is the container's arguments.
func (c *Containerd) Push(t testing.TB, repo, tag string, layers ...v1.Layer) string {
	t.Helper()
	return c.push(t, repo, tag, v1.Config{Entrypoint: []string{"/program"}}, layers...)
}

func (c *Containerd) push(t testing.TB, repo, tag string, cfg v1.Config, layers ...v1.Layer) string {
	t.Helper()
	img, err := image.Build(cfg, layers...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.registry.Push(t.Context(), repo, tag, img); err != nil {
		t.Fatal(err)
	}
	return c.registry.Addr() + "/" + repo + ":" + tag
}

// pushPause brings in the sandboxes' image, before any test looks.
func (c *Containerd) pushPause(t testing.TB) {
	t.Helper()
	ref := c.push(t, "pause", "1", v1.Config{Entrypoint: []string{"/program", "pause"}}, ProgramLayer(t, 0))
	c.Pull(t, ref)
}

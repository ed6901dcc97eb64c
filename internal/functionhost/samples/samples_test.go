package samples

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestBuildIsDeterministicAndOfTheRightSize(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"webapp", "inference"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("program of "+name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	first, err := Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("built in %v", time.Since(begin))
	second, err := Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for i := range first {
		a, errA := first[i].Image.Digest()
		b, errB := second[i].Image.Digest()
		if errA != nil || errB != nil || a != b {
			t.Errorf("%s: digests %v (%v) and %v (%v)", first[i].Name, a, errA, b, errB)
		}
		m, err := first[i].Image.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range m.Layers {
			t.Logf("%s: layer %s %.1f MB", first[i].Name, l.Digest, float64(l.Size)/1e6)
			total += l.Size
		}
	}
	if total < 60e6 || total > 95e6 {
		t.Errorf("the images have %d compressed bytes, want 60 to 95 million", total)
	}
}

func TestBuildNamesTheRemedyForMissingPrograms(t *testing.T) {
	_, err := Build(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("got error %v, want one that says `make build`", err)
	}
}

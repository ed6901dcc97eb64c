package containerd

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"testing"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/coldscope/coldscope/internal/workload"
)

// Two layers, and the name that containerd itself gave the upper one's snapshot.
const (
	diffA  = "sha256:2437e1dd1cf9a5fb3357ba90f24e75d18efc74621bdf2036d2e190a988f5119d"
	diffB  = "sha256:e554d9cb6d30eb4a7d4639c182792844f230b6d179d0da395272c08dc481e27a"
	chainB = "sha256:fc4ac2a59677d6060b985a3f5b2506777285726c7eb982091e5640ff9c35d64a"
)

func TestImage(t *testing.T) {
	manifest := `{"schemaVersion":2,"config":{"digest":"` + chainB + `","size":5},"layers":[{"digest":"` + diffA + `","size":10},{"digest":"` + diffB + `","size":20}]}`
	img, config := parseManifest([]byte(manifest))
	if img == nil || config != chainB || img.bytes != 35 {
		t.Fatalf("manifest is %+v, configuration %s", img, config)
	}
	img.chain([]byte(`{"rootfs":{"diff_ids":["` + diffA + `","` + diffB + `"]}}`))
	want := []imageLayer{{diffA, 10, diffA}, {diffB, 20, chainB}}
	if diff := cmp.Diff(want, img.layers, cmp.AllowUnexported(imageLayer{})); diff != "" {
		t.Errorf("layers (-want +got):\n%s", diff)
	}
	// A configuration that does not fit says nothing.
	img, _ = parseManifest([]byte(manifest))
	img.chain([]byte(`{"rootfs":{"diff_ids":["` + diffA + `"]}}`))
	if img.layers[0].chainID != "" {
		t.Errorf("layers are %+v", img.layers)
	}
	for _, bad := range []string{
		``, `[]`, `{}`, `{"config":{"digest":"sha256:1"}}`,
		`{"config":{"digest":"` + diffA + `"},"layers":[{"digest":"../../etc","size":1}]}`,
		`{"config":{"digest":"` + diffA + `"},"layers":[{"digest":"` + diffA + `","size":-1}]}`,
	} {
		if img, _ := parseManifest([]byte(bad)); img != nil {
			t.Errorf("%s is taken for a manifest", bad)
		}
	}
	index := `{"manifests":[
		{"digest":"` + diffB + `","platform":{"os":"linux","architecture":"none"}},
		{"digest":"` + chainB + `","platform":{"os":"linux","architecture":"amd64"}},
		{"digest":"` + diffA + `","platform":{"os":"linux","architecture":"arm64"}}]}`
	if got := indexed([]byte(index)); len(got) != 1 || got[0] == diffB {
		t.Errorf("index gives %v", got)
	}
	if got := indexed([]byte(manifest)); got != nil {
		t.Errorf("manifest as an index gives %v", got)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"127.0.0.1:5000/a/b:v1": "127.0.0.1:5000", "docker.io/library/a": "docker.io", "localhost/a": "localhost",
		"library/a": "", "a": "", "sha256:abc": "",
	} {
		if got := registryOf(name); got != want {
			t.Errorf("registry of %s is %q, want %q", name, got, want)
		}
	}
	if id, ok := layerOf("extract-810557935-LDU7 sha256:fc4a"); id != "sha256:fc4a" || !ok {
		t.Errorf("extracted layer is %q, %t", id, ok)
	}
	if _, ok := layerOf("4c0d80463251280f7b4c2d8adb96ed42"); ok {
		t.Error("a container's snapshot is taken for a layer's")
	}
	if digest, ok := blobOf("layer-sha256:56a1"); digest != "sha256:56a1" || !ok {
		t.Errorf("blob is %q, %t", digest, ok)
	}
	if _, ok := blobOf("upload-1"); ok {
		t.Error("an upload without digest is taken for a blob")
	}
}

func TestProcessStart(t *testing.T) {
	if n, ok := startTicks("1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 1 2"); n != 4711 || !ok {
		t.Errorf("ticks %d, %t", n, ok)
	}
	now := time.Now()
	at := processStart(os.Getpid(), now, time.Time{})
	if at.IsZero() || at.After(now.Add(ticks)) || now.Sub(at) > time.Hour {
		t.Errorf("this process was started at %v", at)
	}
	if got := processStart(math.MaxInt32, now, now); !got.Equal(now) {
		t.Errorf("no process was started at %v", got)
	}
}

// TestDescribe: what CRI's record does not say, its labels or the sandbox do.
func TestDescribe(t *testing.T) {
	metadata := `{"Version":"v1","Metadata":{"SandboxID":"box","Config":{"metadata":{"name":"fn","attempt":1},
		"image":{"image":"sha256:abc","user_specified_image":"reg.example/fn:v1"},"annotations":{"a":"b"}}}}`
	c := &containersapi.Container{
		ID: "c1", Image: "reg.example/fn@sha256:d", Labels: map[string]string{kindLabel: kindContainer, nameLabel: "fn"},
		Spec:       &anypb.Any{Value: []byte(`{"annotations":{"io.kubernetes.cri.x":"y"},"linux":{"resources":{"memory":{"limit":64}}}}`)},
		Extensions: map[string]*anypb.Any{metadataExtension: {Value: []byte(metadata)}},
	}
	pod := workload.Pod{Namespace: "n", Name: "p", UID: "u", Labels: map[string]string{"l": "m"}}
	d, err := describe(t.Context(), "k8s.io", c, func(_ context.Context, id string) (*sandbox, error) {
		if id != "box" {
			t.Errorf("sandbox %q", id)
		}
		return &sandbox{created: time.Unix(1, 0), pod: pod}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := workload.Container{ID: "c1", Name: "fn", Image: "reg.example/fn:v1", Labels: c.GetLabels(), Annotations: map[string]string{"a": "b"}, Pod: pod, MemoryLimit: 64}
	if diff := cmp.Diff(want, d.container); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !d.sandboxed.IsZero() {
		t.Error("a restart is told to have begun with its sandbox")
	}
}

func TestRecent(t *testing.T) {
	r := newRecent[int, int](3)
	for i := range 100 {
		r.put(i, i)
		r.put(i, i+1)
		if len(r.values) > 3 || len(r.order) > 3 {
			t.Fatalf("%d values", len(r.values))
		}
	}
	for i, want := range map[int]bool{96: false, 97: true, 99: true} {
		if v, ok := r.get(i); ok != want || (ok && v != i+1) {
			t.Errorf("%d is %d, %t", i, v, ok)
		}
	}
}

// FuzzImage: an image's bytes were written by a stranger.
func FuzzImage(f *testing.F) {
	f.Add([]byte(`{"config":{"digest":"`+diffA+`"},"layers":[{"digest":"`+diffB+`","size":1}]}`), []byte(`{"rootfs":{"diff_ids":["`+diffA+`"]}}`))
	f.Add([]byte(`{"manifests":[{"digest":"x"}]}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, manifest, config []byte) {
		for _, name := range indexed(manifest) {
			if len(name) > len(manifest) {
				t.Error("a name longer than what it stands in")
			}
		}
		img, name := parseManifest(manifest)
		if img == nil {
			return
		}
		if len(img.layers) > maxLayers || name == "" {
			t.Errorf("%d layers, configuration %q", len(img.layers), name)
		}
		img.chain(config)
		for _, l := range img.layers {
			if l.bytes < 0 || l.digest == "" {
				t.Errorf("layer %+v", l)
			}
		}
	})
}

// FuzzContainer: a container's labels, specification and extensions too.
func FuzzContainer(f *testing.F) {
	f.Add([]byte(`{"Metadata":{"SandboxID":"x"}}`), []byte(`{"linux":{"resources":{"memory":{"limit":-1}}}}`), "1 (x) S 1")
	f.Fuzz(func(t *testing.T, metadata, spec []byte, stat string) {
		c := &containersapi.Container{
			ID: "c1", Labels: map[string]string{kindLabel: kindContainer}, Spec: &anypb.Any{Value: spec},
			Extensions: map[string]*anypb.Any{metadataExtension: {Value: metadata}, sandboxExtension: {Value: metadata}},
		}
		d, err := describe(t.Context(), "k8s.io", c, func(context.Context, string) (*sandbox, error) { return sandboxOf(c), nil })
		if err != nil || d.container.MemoryLimit < 0 {
			t.Errorf("%+v, %v", d, err)
		}
		if pid := pidOf(map[string]string{"info": string(metadata)}); pid != 0 && !json.Valid(metadata) {
			t.Errorf("process %d in %q", pid, metadata)
		}
		if _, ok := startTicks(stat); ok && json.Valid([]byte(stat)) {
			t.Errorf("%q is taken for a process", stat)
		}
	})
}

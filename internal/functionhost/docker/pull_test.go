package docker

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/moby/api/types/jsonstream"

	"github.com/coldscope/coldscope/internal/faas"
)

// TestLayerProgress replays what dockerd 20.10 said of an image with a cached
// layer, a small one and a large one, a message a second.
func TestLayerProgress(t *testing.T) {
	const stream = `{"status":"Pulling from samples/webapp","id":"sha256:8a00"}
{"status":"Already exists","progressDetail":{},"id":"aaaaaaaaaaaa"}
{"status":"Pulling fs layer","progressDetail":{},"id":"bbbbbbbbbbbb"}
{"status":"Pulling fs layer","progressDetail":{},"id":"cccccccccccc"}
{"status":"Verifying Checksum","progressDetail":{},"id":"bbbbbbbbbbbb"}
{"status":"Download complete","progressDetail":{},"id":"bbbbbbbbbbbb"}
{"status":"Downloading","progressDetail":{"current":1,"total":9},"id":"cccccccccccc"}
{"status":"Pull complete","progressDetail":{},"id":"bbbbbbbbbbbb"}
{"status":"Downloading","progressDetail":{"current":5,"total":9},"id":"cccccccccccc"}
{"status":"Download complete","progressDetail":{},"id":"cccccccccccc"}
{"status":"Extracting","progressDetail":{"current":1,"total":9},"id":"cccccccccccc"}
{"status":"Extracting","progressDetail":{"current":9,"total":9},"id":"cccccccccccc"}
{"status":"Pull complete","progressDetail":{},"id":"cccccccccccc"}
{"status":"Digest: sha256:8a00"}
`
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	var clock int64 = -1
	p := layerProgress{now: func() time.Time { clock++; return at(clock) }, byID: map[string]*faas.LayerPulled{}}
	for line := range strings.Lines(stream) {
		var m jsonstream.Message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		p.note(m)
	}
	digest := func(c string) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: strings.Repeat(c, 64)} }
	m := &v1.Manifest{Layers: []v1.Descriptor{
		{Digest: digest("a"), Size: 1}, {Digest: digest("b"), Size: 2}, {Digest: digest("c"), Size: 3}, {Digest: digest("d"), Size: 4},
	}}
	want := []faas.LayerPulled{
		{Digest: digest("a").String(), Bytes: 1, Cache: "hit"},
		{Digest: digest("b").String(), Bytes: 2, Cache: "miss", DownloadStart: at(2), DownloadEnd: at(4), UnpackStart: at(4), UnpackEnd: at(7)},
		{Digest: digest("c").String(), Bytes: 3, Cache: "miss", DownloadStart: at(6), DownloadEnd: at(9), UnpackStart: at(10), UnpackEnd: at(12)},
		{Digest: digest("d").String(), Bytes: 4, Cache: "hit"}, // nobody spoke of it
	}
	if diff := cmp.Diff(want, p.layers(m)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

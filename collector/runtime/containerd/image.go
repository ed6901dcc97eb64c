package containerd

import (
	"context"
	"encoding/json"
	"runtime"
	"strings"

	"github.com/containerd/containerd/api/types"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Limits of what is read of an image: everything an index, manifest or
// configuration says was written by a stranger.
const (
	maxManifest = 4 << 20
	maxConfig   = 8 << 20
	maxLayers   = 512
	maxImages   = 1000 // that are remembered
)

// image is what its manifest and configuration say.
type image struct {
	manifest string // digest of this host's manifest
	bytes    int64  // compressed layers and configuration
	layers   []imageLayer
}

type imageLayer struct {
	digest  string
	bytes   int64
	chainID string // name of its snapshot; empty if the configuration does not say
}

// image reads what target stands for, nil if its manifest is not there or
// cannot be understood.
func (c *client) image(ctx context.Context, namespace string, target *types.Descriptor) (*image, error) {
	name := target.GetDigest()
	raw, err := c.blob(ctx, namespace, name, maxManifest)
	if raw == nil || err != nil {
		return nil, err
	}
	if manifests := indexed(raw); manifests != nil {
		for _, name = range manifests {
			if raw, err = c.blob(ctx, namespace, name, maxManifest); raw != nil || err != nil {
				break
			}
		}
		if raw == nil || err != nil {
			return nil, err
		}
	}
	img, config := parseManifest(raw)
	if img == nil {
		return nil, nil
	}
	img.manifest = name
	raw, err = c.blob(ctx, namespace, config, maxConfig)
	if err != nil {
		return nil, err
	}
	img.chain(raw)
	return img, nil
}

// indexed gives the digests of an index's manifests that may be for this
// host; nil if raw is no index.
func indexed(raw []byte) []string {
	var index ocispec.Index
	if json.Unmarshal(raw, &index) != nil || len(index.Manifests) == 0 {
		return nil
	}
	out := []string{}
	for _, m := range index.Manifests {
		if p := m.Platform; p == nil || (p.OS == runtime.GOOS && p.Architecture == runtime.GOARCH) {
			out = append(out, m.Digest.String())
		}
	}
	return out[:min(len(out), 16)] // variants, of which one has been pulled
}

// parseManifest reads an image's manifest and names its configuration; nil if
// it is none.
func parseManifest(raw []byte) (img *image, config string) {
	var m ocispec.Manifest
	if json.Unmarshal(raw, &m) != nil || len(m.Layers) > maxLayers || m.Config.Digest.Validate() != nil || m.Config.Size < 0 {
		return nil, ""
	}
	img = &image{bytes: m.Config.Size}
	for _, l := range m.Layers {
		if l.Digest.Validate() != nil || l.Size < 0 {
			return nil, ""
		}
		img.bytes += l.Size
		img.layers = append(img.layers, imageLayer{digest: l.Digest.String(), bytes: l.Size})
	}
	return img, m.Config.Digest.String()
}

// chain computes the names of the layers' snapshots from the configuration.
func (img *image) chain(config []byte) {
	var c struct {
		RootFS struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if json.Unmarshal(config, &c) != nil || len(c.RootFS.DiffIDs) != len(img.layers) {
		return
	}
	for i, id := range identity.ChainIDs(c.RootFS.DiffIDs) {
		img.layers[i].chainID = id.String()
	}
}

// registryOf is the registry's part of an image's name, empty if it has none.
func registryOf(name string) string {
	host, _, ok := strings.Cut(name, "/")
	if !ok || (!strings.ContainsAny(host, ".:") && host != "localhost") {
		return ""
	}
	return host
}

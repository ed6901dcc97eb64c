package docker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/client"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/functionhost/container"
)

// Pull has the daemon pull the image. Only who asks for a pull learns how it
// goes, from the answer's stream of progress messages. Those carry no times,
// so they are stamped as they come, and name layers by the first digits of
// their digests.
func (r *Runtime) Pull(ctx context.Context, img container.Image, cred container.Credentials) (container.Pulled, error) {
	var out container.Pulled
	out.Pull.Start = r.cfg.Now()
	err := r.pull(ctx, img, cred, &out)
	end := r.cfg.Now()
	for _, l := range out.Layers {
		if l.DownloadEnd.After(out.Pull.End) {
			out.Pull.End = l.DownloadEnd
		}
		out.Unpack.Widen(l.UnpackStart, l.UnpackEnd)
	}
	failedUnpack := err != nil && !out.Unpack.Start.IsZero() && strings.Contains(err.Error(), "failed to register layer")
	if out.Pull.End.IsZero() || err != nil && !failedUnpack {
		out.Pull.End = end
	}
	if out.Unpack.Start.IsZero() && err == nil {
		out.Unpack.Start = out.Pull.End
	}
	if !out.Unpack.Start.IsZero() {
		out.Unpack.End = end
	}
	switch {
	case failedUnpack:
		err = fmt.Errorf("pull %s: %w: %w", img, container.ErrUnpack, err)
	case err != nil:
		err = fmt.Errorf("pull %s: %w", img, err)
	}
	return out, err
}

func (r *Runtime) pull(ctx context.Context, img container.Image, cred container.Credentials, out *container.Pulled) error {
	auth, err := json.Marshal(registry.AuthConfig{Username: cred.Username, Password: cred.Password, ServerAddress: img.Registry})
	if err != nil {
		return err
	}
	if err := r.noteImage(img); err != nil {
		return err
	}
	// What the messages do not tell, the layers' digests and sizes, is asked
	// for meanwhile.
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	var manifest *v1.Manifest
	var manifestErr error
	asking.Go(func() { manifest, manifestErr = r.manifest(ctx, img, cred) })

	progress := layerProgress{now: r.cfg.Now, byID: map[string]*faas.LayerPulled{}}
	stream, err := r.api.ImagePull(ctx, img.String(), client.ImagePullOptions{RegistryAuth: base64.URLEncoding.EncodeToString(auth)})
	if err != nil {
		return err
	}
	defer stream.Close()
	for m, err := range stream.JSONMessages(ctx) {
		if err != nil {
			return err
		}
		if m.Error != nil {
			return m.Error
		}
		progress.note(m)
	}
	asking.Wait()
	if manifestErr != nil {
		r.cfg.Logger.Warn("layers of a pulled image are not reported: its manifest cannot be read", "image", img.String(), "error", manifestErr)
	}
	out.Layers = progress.layers(manifest)
	return nil
}

func (r *Runtime) manifest(ctx context.Context, img container.Image, cred container.Credentials) (*v1.Manifest, error) {
	ref, err := name.NewDigest(img.String())
	if err != nil {
		return nil, err
	}
	remoteImage, err := remote.Image(ref, remote.WithContext(ctx), remote.WithTransport(r.transport),
		remote.WithAuth(&authn.Basic{Username: cred.Username, Password: cred.Password}))
	if err != nil {
		return nil, err
	}
	return remoteImage.Manifest()
}

// layerProgress makes intervals of progress messages.
type layerProgress struct {
	now       func() time.Time
	byID      map[string]*faas.LayerPulled // by the first digits of the digest
	announced map[string]time.Time
	unpacked  time.Time // when the layer before was
}

func (p *layerProgress) note(m jsonstream.Message) {
	if m.ID == "" {
		return
	}
	at := p.now()
	l := p.byID[m.ID]
	if l == nil {
		l = new(faas.LayerPulled)
		p.byID[m.ID] = l
	}
	switch m.Status {
	case "Pulling fs layer":
		if p.announced == nil {
			p.announced = map[string]time.Time{}
		}
		p.announced[m.ID] = at
	case "Downloading":
		setOnce(&l.DownloadStart, at)
	case "Verifying Checksum", "Download complete":
		// A small layer may come between two messages.
		if begin, ok := p.announced[m.ID]; ok {
			setOnce(&l.DownloadStart, begin)
		}
		setOnce(&l.DownloadStart, at)
		setOnce(&l.DownloadEnd, at)
	case "Extracting":
		setOnce(&l.UnpackStart, at)
	case "Pull complete":
		if l.UnpackStart.IsZero() {
			l.UnpackStart = at
			if begin := later(l.DownloadEnd, p.unpacked); !begin.IsZero() {
				l.UnpackStart = begin
			}
		}
		l.UnpackEnd, p.unpacked = at, at
	case "Already exists":
		l.Cache = "hit"
	}
}

func setOnce(t *time.Time, at time.Time) {
	if t.IsZero() {
		*t = at
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// layers joins what was seen with what the manifest says. Layers that no
// message named were there before.
func (p *layerProgress) layers(m *v1.Manifest) []faas.LayerPulled {
	if m == nil {
		return nil
	}
	var out []faas.LayerPulled
	for _, d := range m.Layers {
		l := faas.LayerPulled{Cache: "hit"}
		for id, seen := range p.byID {
			if strings.HasPrefix(d.Digest.Hex, id) && seen.Cache != "hit" && !seen.DownloadEnd.IsZero() {
				l = *seen
				l.Cache = "miss"
			}
		}
		l.Digest, l.Bytes = d.Digest.String(), d.Size
		out = append(out, l)
	}
	return out
}

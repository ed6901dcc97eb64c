package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/functionhost/container"
)

// parallelDownloads is how many layers of one image are fetched at a time, as
// containerd and dockerd do.
const parallelDownloads = 3

// imageStore keeps unpacked layers and the configurations of images.
// Layers are shared between images and instances.
type imageStore struct {
	dir       string // layers/<id>/ unpacked, blobs/<hex> downloaded, tmp/ unfinished
	now       func() time.Time
	transport *http.Transport

	mu sync.Mutex
	// guarded by mu:
	layers map[string]*layerState // by digest
	images map[string]*storedImage
}

// storedImage is an image that is here, ready to run.
type storedImage struct {
	config v1.Config
	layers []string // layer IDs, lowest first
}

// layerState is what is known of a layer. Whoever works on the layer holds
// turn; that work never waits for another layer, so that pulls that share
// layers in different orders cannot block one another.
type layerState struct {
	turn chan struct{} // of size 1: holds one token while free
	last faas.LayerPulled
}

// openImageStore begins with an empty store: what a host that was killed left
// is removed.
func openImageStore(dir string, now func() time.Time) (*imageStore, error) {
	s := &imageStore{
		dir: dir, now: now,
		transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second},
		layers:    map[string]*layerState{}, images: map[string]*storedImage{},
	}
	if err := s.clear(); err != nil {
		return nil, err
	}
	for _, sub := range []string{"layers", "blobs", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o711); err != nil {
			return nil, fmt.Errorf("make image store: %w", err)
		}
	}
	return s, nil
}

func (s *imageStore) clear() error {
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("clear image store: %w", err)
	}
	return nil
}

func (s *imageStore) image(digest string) (*storedImage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	img, ok := s.images[digest]
	return img, ok
}

// layerID is a layer's directory name: short, since all of an image's have to
// fit into the options of one mount.
func layerID(digest v1.Hash) string { return digest.Hex[:24] }

// pull makes img's layers be here.
func (s *imageStore) pull(ctx context.Context, img container.Image, cred container.Credentials) (container.Pulled, error) {
	p := puller{store: s}
	p.out.Pull.Start = s.now()
	err := p.run(ctx, img, cred)
	end := s.now()
	if err != nil {
		err = fmt.Errorf("pull %s: %w", img, err)
		if p.out.Unpack.Start.IsZero() || !errors.Is(err, container.ErrUnpack) {
			p.out.Pull.End = end
		}
	}
	if p.out.Pull.End.IsZero() {
		p.out.Pull.End = end
	}
	if err == nil && p.out.Unpack.Start.IsZero() {
		p.out.Unpack.Start = p.out.Pull.End
	}
	if !p.out.Unpack.Start.IsZero() {
		p.out.Unpack.End = end
	}
	return p.out, err
}

// puller is one pull.
type puller struct {
	store *imageStore
	out   container.Pulled
}

func (p *puller) run(ctx context.Context, img container.Image, cred container.Credentials) error {
	ref, err := name.NewDigest(img.String())
	if err != nil {
		return err
	}
	remoteImage, err := remote.Image(ref, remote.WithContext(ctx), remote.WithTransport(p.store.transport),
		remote.WithAuth(&authn.Basic{Username: cred.Username, Password: cred.Password}),
		remote.WithRetryBackoff(remote.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Steps: 3}))
	if err != nil {
		return err
	}
	config, err := remoteImage.ConfigFile()
	if err != nil {
		return err
	}
	layers, err := remoteImage.Layers()
	if err != nil {
		return err
	}
	if len(layers) == 0 || len(layers) != len(config.RootFS.DiffIDs) {
		return fmt.Errorf("the image has %d layers and %d in its configuration", len(layers), len(config.RootFS.DiffIDs))
	}
	states := make([]*layerState, len(layers))
	stored := &storedImage{config: config.Config}
	for i, l := range layers {
		digest, err := l.Digest()
		if err != nil {
			return err
		}
		size, err := l.Size()
		if err != nil {
			return err
		}
		states[i] = p.store.state(digest, size)
		stored.layers = append(stored.layers, layerID(digest))
	}
	err = p.fetch(ctx, layers, states, config.RootFS.DiffIDs)
	p.report(states)
	if err != nil {
		return err
	}
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	p.store.images[img.Digest] = stored
	return nil
}

// fetch downloads a few layers at a time and unpacks them in order, while
// later ones are still on their way.
func (p *puller) fetch(ctx context.Context, layers []v1.Layer, states []*layerState, diffIDs []v1.Hash) error {
	g, ctx := errgroup.WithContext(ctx)
	here := make([]chan struct{}, len(layers))
	for i := range here {
		here[i] = make(chan struct{})
	}
	g.Go(func() error {
		downloads, ctx := errgroup.WithContext(ctx)
		downloads.SetLimit(parallelDownloads)
		for i, l := range layers {
			downloads.Go(func() error {
				if err := p.store.download(ctx, l, states[i]); err != nil {
					return err
				}
				close(here[i])
				return nil
			})
		}
		return downloads.Wait()
	})
	g.Go(func() error {
		for i := range layers {
			select {
			case <-here[i]:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := p.store.unpack(ctx, states[i], diffIDs[i]); err != nil {
				return fmt.Errorf("%w: %w", container.ErrUnpack, err)
			}
		}
		return nil
	})
	return g.Wait()
}

// report fills in what the layers took, as far as this pull waited for it: a
// layer that was complete before it began is a hit.
func (p *puller) report(states []*layerState) {
	begin := p.out.Pull.Start
	for _, st := range states {
		<-st.turn
		l := st.last
		st.turn <- struct{}{}
		if !l.UnpackEnd.IsZero() && l.UnpackEnd.Before(begin) {
			p.out.Layers = append(p.out.Layers, faas.LayerPulled{Digest: l.Digest, Bytes: l.Bytes, Cache: "hit"})
			continue
		}
		l.Cache = "miss"
		clip(begin, &l.DownloadStart, &l.DownloadEnd)
		clip(begin, &l.UnpackStart, &l.UnpackEnd)
		p.out.Layers = append(p.out.Layers, l)
		if l.DownloadEnd.After(p.out.Pull.End) {
			p.out.Pull.End = l.DownloadEnd
		}
		p.out.Unpack.Widen(l.UnpackStart, l.UnpackEnd)
	}
	if p.out.Pull.End.IsZero() { // all hits: the pull was the look at the manifest
		p.out.Pull.End = p.store.now()
	}
}

// clip cuts what lies before begin off an interval.
func clip(begin time.Time, start, end *time.Time) {
	switch {
	case end.Before(begin):
		*start, *end = time.Time{}, time.Time{}
	case start.Before(begin):
		*start = begin
	}
}

func (s *imageStore) state(digest v1.Hash, size int64) *layerState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.layers[digest.String()]
	if !ok {
		st = &layerState{turn: make(chan struct{}, 1), last: faas.LayerPulled{Digest: digest.String(), Bytes: size}}
		st.turn <- struct{}{}
		s.layers[digest.String()] = st
	}
	return st
}

func (st *layerState) take(ctx context.Context) error {
	select {
	case <-st.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *imageStore) blobPath(digest v1.Hash) string {
	return filepath.Join(s.dir, "blobs", digest.Hex)
}

// download brings the layer's blob here unless blob or layer are.
// The digest is checked as it is read.
func (s *imageStore) download(ctx context.Context, l v1.Layer, st *layerState) error {
	digest, err := l.Digest()
	if err != nil {
		return err
	}
	if err := st.take(ctx); err != nil {
		return err
	}
	defer func() { st.turn <- struct{}{} }()
	if exists(filepath.Join(s.dir, "layers", layerID(digest))) || exists(s.blobPath(digest)) {
		return nil
	}
	start := s.now()
	from, err := l.Compressed()
	if err != nil {
		return fmt.Errorf("download layer %s: %w", digest, err)
	}
	defer from.Close()
	f, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "blob-*")
	if err != nil {
		return fmt.Errorf("download layer %s: %w", digest, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already if all went well
	_, err = io.Copy(f, from)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("download layer %s: %w", digest, err)
	}
	if err := os.Rename(f.Name(), s.blobPath(digest)); err != nil {
		return fmt.Errorf("download layer %s: %w", digest, err)
	}
	st.last.DownloadStart, st.last.DownloadEnd = start, s.now()
	return nil
}

// unpack makes a layer of the blob unless it is there.
func (s *imageStore) unpack(ctx context.Context, st *layerState, diffID v1.Hash) error {
	if err := st.take(ctx); err != nil {
		return err
	}
	defer func() { st.turn <- struct{}{} }()
	digest, err := v1.NewHash(st.last.Digest)
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "layers", layerID(digest))
	if exists(dir) {
		return nil
	}
	start := s.now()
	blob, err := os.Open(s.blobPath(digest))
	if err != nil {
		return err
	}
	defer blob.Close()
	tmp, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "layer-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // gone already if all went well
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	got, err := unpack(blob, tmp, maxLayerBytes)
	if err != nil {
		return fmt.Errorf("layer %s: %w", digest, err)
	}
	if got != diffID.String() {
		return fmt.Errorf("layer %s unpacks to %s, the image says %s", digest, got, diffID)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return err
	}
	st.last.UnpackStart, st.last.UnpackEnd = start, s.now()
	return os.Remove(blob.Name())
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

package docker

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/client"
)

// maxImages bounds what is remembered of images; it is read again if need be.
const maxImages = 1024

// image is what is known of an image on this host. What is not known is empty.
type image struct {
	id     string
	digest string // of the manifest that the reference names
	imageFiles
}

// images knows the images of the daemon. It is safe for concurrent use.
type images struct {
	api   *client.Client
	blobs *blobWatch

	mu sync.Mutex
	// guarded by mu:
	store  *store // nil: its files cannot be read
	known  map[string]*knownImage
	claims map[string]claim // by image ID
}

// knownImage is an image as the API and the files tell.
type knownImage struct {
	repoDigests []string
	diffIDs     []string
	stored      time.Time // when it was when files was read
	files       imageFiles
}

// claim says whose start a pull was made for.
type claim struct {
	stored time.Time // the pull's end
	by     string    // container ID
}

func newImages(api *client.Client, blobs *blobWatch) *images {
	return &images{api: api, blobs: blobs, known: map[string]*knownImage{}, claims: map[string]claim{}}
}

// use sets where the image store's files are.
func (i *images) use(s *store) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.store = s
	clear(i.known)
}

// created is when the daemon began to create a container; zero if it cannot be
// told. It costs less than to ask the daemon.
func (i *images) created(containerID string) time.Time {
	i.mu.Lock()
	s := i.store
	i.mu.Unlock()
	if s == nil {
		return time.Time{}
	}
	return s.created(containerID)
}

// of tells about an image. ref is how it was asked for.
func (i *images) of(ctx context.Context, id, ref string) *image {
	out := &image{id: id}
	k, s := i.lookup(ctx, id)
	var repoDigest string
	if k != nil {
		repoDigest = pickDigest(k.repoDigests, ref)
	}
	out.digest = digestOf(repoDigest)
	if out.digest == "" {
		out.digest = digestOf(ref)
	}
	if k == nil || s == nil {
		return out
	}
	stored := s.stored(id)
	i.mu.Lock()
	defer i.mu.Unlock()
	if stored.IsZero() || !stored.Equal(k.stored) {
		k.stored = stored
		k.files = s.read(id, repoDigest, k.diffIDs)
	}
	out.imageFiles = k.files
	return out
}

// lookup asks the daemon for an image once.
func (i *images) lookup(ctx context.Context, id string) (*knownImage, *store) {
	i.mu.Lock()
	k, s := i.known[id], i.store
	i.mu.Unlock()
	if k != nil || id == "" {
		return k, s
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	got, err := i.api.ImageInspect(ctx, id)
	if err != nil {
		return nil, s // was removed; what its containers know of it is enough
	}
	k = &knownImage{repoDigests: got.RepoDigests, diffIDs: got.RootFS.Layers}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.known) >= maxImages {
		clear(i.known)
	}
	i.known[id] = k
	return k, s
}

// pullFor gives the pull that was made for a container's start, nil if none
// was. second says that another container of the image was created before it.
// seen is false if the image came here at that time, but nobody saw how.
func (i *images) pullFor(img *image, containerID string, created time.Time, second bool) (p *pull, seen bool) {
	if img.stored.IsZero() {
		return nil, false
	}
	if age := created.Sub(img.stored); age < -grain || age > maxPullAge || second {
		return nil, true
	}
	blobs, since := i.blobs.all()
	i.mu.Lock()
	defer i.mu.Unlock()
	if c, ok := i.claims[img.id]; ok && c.stored.Equal(img.stored) && c.by != containerID {
		return nil, true
	}
	p = reconstruct(&img.imageFiles, blobs)
	if p == nil {
		return nil, since.Before(img.stored)
	}
	if p.begin().Before(since) {
		return nil, false
	}
	for id, c := range i.claims {
		if created.Sub(c.stored) > 2*maxPullAge {
			delete(i.claims, id)
		}
	}
	i.claims[img.id] = claim{stored: img.stored, by: containerID}
	return p, true
}

// pickDigest finds the repository digest that belongs to a reference's
// repository, else the first.
func pickDigest(repoDigests []string, ref string) string {
	if len(repoDigests) == 0 {
		return ""
	}
	if named, err := reference.ParseDockerRef(ref); err == nil {
		familiar := reference.FamiliarName(named)
		for _, d := range repoDigests {
			if name, _, ok := strings.Cut(d, "@"); ok && name == familiar {
				return d
			}
		}
	}
	return repoDigests[0]
}

// digestOf is the digest of a reference that has one.
func digestOf(ref string) string {
	_, digest, _ := strings.Cut(ref, "@")
	if _, ok := hashOf(digest); !ok {
		return ""
	}
	return digest
}

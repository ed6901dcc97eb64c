package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// imageFiles is what dockerd's files say of an image. dockerd (to version 28,
// with a graph driver) pulls an image so:
//
//	containerd's content store/ingest/…     the manifest comes; renamed to blobs/sha256/<digest>
//	tmp/GetImageBlob<n>                     a layer comes; unlinked when all of it was read for unpacking
//	image/<driver>/layerdb/tmp/write-set-…  unpacking begins; renamed to layerdb/sha256/<chain ID> at its end
//	image/<driver>/distribution/…           which blob the layer came as
//	image/<driver>/imagedb/content/…        the image's configuration: the pull is done
//
// The kernel's stamps on these (birth, last write, last change of the inode,
// which renaming and unlinking are) hold the pull's whole course, without
// anybody looking while it goes on. Only blob files have to be held open to
// keep theirs, see blobWatch.
type imageFiles struct {
	stored   time.Time // the pull's end; zero: not known
	bytes    int64     // of the layers and the configuration, compressed; 0: not known
	manifest interval  // its download; zero: not known
	layers   []layerFile
}

// layerFile is a layer of an image, as its files tell.
type layerFile struct {
	digest string   // of the blob that it came as; empty: it was not pulled
	bytes  int64    // of that blob; 0: not known
	unpack interval // Start may be zero: the file system keeps no births
}

type interval struct{ start, end time.Time }

// store is a daemon's image store, and where it keeps its containers.
type store struct {
	images     string   // <data root>/image/<driver>
	content    []string // where manifests may be: blobs/sha256 of content stores
	containers string   // <data root>/containers
}

func newStore(root, driver, containerdRoot string) *store {
	const content = "io.containerd.content.v1.content/blobs/sha256"
	return &store{
		images:     filepath.Join(root, "image", driver),
		content:    []string{filepath.Join(root, "containerd/daemon", content), filepath.Join(containerdRoot, content)},
		containers: filepath.Join(root, "containers"),
	}
}

// created is when the daemon began to create a container; zero if it cannot be told.
func (s *store) created(containerID string) time.Time {
	var config struct{ Created time.Time }
	if readJSON(filepath.Join(s.containers, containerID, "config.v2.json"), &config) != nil || config.Created.Year() < 1970 {
		return time.Time{}
	}
	return config.Created
}

// stored is when an image's configuration was written; zero if it cannot be told.
func (s *store) stored(id string) time.Time {
	hash, ok := hashOf(id)
	if !ok {
		return time.Time{}
	}
	info, err := os.Stat(filepath.Join(s.images, "imagedb/content/sha256", hash))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// read gathers what the files tell.
func (s *store) read(id, repoDigest string, diffIDs []string) imageFiles {
	out := imageFiles{stored: s.stored(id)}
	var chain string
	for _, diff := range diffIDs {
		chain = chainID(chain, diff)
		out.layers = append(out.layers, s.layer(chain, diff, repoDigest))
	}
	m := s.manifest(digestOf(repoDigest), id)
	if m == nil || len(m.Layers) != len(out.layers) {
		return out
	}
	out.manifest = m.came
	out.bytes = m.Config.Size
	for n, l := range m.Layers {
		out.layers[n].digest, out.layers[n].bytes = l.Digest, l.Size
		out.bytes += l.Size
	}
	return out
}

// chainID names a layer with all those below it.
func chainID(parent, diff string) string {
	if parent == "" {
		return diff
	}
	sum := sha256.Sum256([]byte(parent + " " + diff))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (s *store) layer(chain, diff, repoDigest string) layerFile {
	var l layerFile
	if hash, ok := hashOf(chain); ok {
		if st, err := stampsOf(filepath.Join(s.images, "layerdb/sha256", hash)); err == nil {
			l.unpack = interval{st.born, st.changed}
		}
	}
	hash, ok := hashOf(diff)
	if !ok {
		return l
	}
	var sources []struct{ Digest, SourceRepository string }
	if readJSON(filepath.Join(s.images, "distribution/v2metadata-by-diffid/sha256", hash), &sources) != nil {
		return l
	}
	// The same content may have come as several blobs: one of the image's own
	// repository is the likeliest, then the latest.
	repo, _, _ := strings.Cut(repoDigest, "@")
	for _, src := range sources {
		l.digest = src.Digest
		if repo != "" && strings.HasSuffix(src.SourceRepository, repo) {
			break
		}
	}
	return l
}

type descriptor struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// manifest is an image's manifest, or the index that names one for each platform.
type manifest struct {
	Config    descriptor   `json:"config"`
	Layers    []descriptor `json:"layers"`
	Manifests []descriptor `json:"manifests"`

	came interval // its download
}

// manifest finds the manifest with a digest, or, if that is an index, the one
// of the image id. It gives nil if that is not there.
func (s *store) manifest(digest, id string) *manifest {
	m := s.readManifest(digest)
	if m == nil || m.Config.Digest == id {
		return m
	}
	for _, d := range m.Manifests {
		if sub := s.readManifest(d.Digest); sub != nil && sub.Config.Digest == id {
			if between := sub.came.start.Sub(m.came.end); between >= -grain && between < maxStall {
				sub.came.start = m.came.start
			}
			return sub
		}
	}
	return nil
}

func (s *store) readManifest(digest string) *manifest {
	hash, ok := hashOf(digest)
	if !ok {
		return nil
	}
	for _, dir := range s.content {
		path := filepath.Join(dir, hash)
		var m manifest
		if readJSON(path, &m) != nil {
			continue
		}
		if st, err := stampsOf(path); err == nil {
			m.came = interval{st.born, st.written}
		}
		return &m
	}
	return nil
}

// maxJSON is what registries take for a manifest.
const maxJSON = 4 << 20

func readJSON(path string, into any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err != nil {
		return err
	}
	if len(b) > maxJSON {
		return errors.New("too long")
	}
	return json.Unmarshal(b, into)
}

// hashOf is the part of a SHA-256 digest that makes a file's name.
func hashOf(digest string) (string, bool) {
	hash, ok := strings.CutPrefix(digest, "sha256:")
	if !ok || len(hash) != 2*sha256.Size {
		return "", false
	}
	_, err := hex.DecodeString(hash)
	return hash, err == nil
}

// stamps are a file's times.
type stamps struct {
	born    time.Time // zero: the file system does not keep it
	written time.Time
	changed time.Time // its inode: also renamed, unlinked
	size    int64
	links   uint32
}

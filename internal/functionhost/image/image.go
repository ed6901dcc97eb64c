// Package image builds container images out of files, without a container
// engine. What it builds depends on its input alone: the same files give the
// same digests.
package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// created is the time that every image and file carries, so that they are
// the same each time.
var created = time.Date(2021, 11, 1, 0, 0, 0, 0, time.UTC)

// File is one file of a layer. Directories above it are made as needed.
type File struct {
	Name string // absolute path in the image
	Mode int64  // permission bits; default 0644
	Data []byte
	Link string // target, if this is a symbolic link
	Dir  bool
}

// Layer makes a gzip-compressed layer that holds files.
func Layer(files ...File) (v1.Layer, error) {
	var plain, packed bytes.Buffer
	for _, f := range files {
		plain.Grow(len(f.Data) + 2048)
	}
	if err := writeTar(&plain, files); err != nil {
		return nil, fmt.Errorf("build layer: %w", err)
	}
	diffID, _, err := v1.SHA256(bytes.NewReader(plain.Bytes()))
	if err != nil {
		return nil, fmt.Errorf("build layer: %w", err)
	}
	packed.Grow(plain.Len() + plain.Len()/1000 + 1024)
	zip, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("build layer: %w", err)
	}
	if _, err := zip.Write(plain.Bytes()); err != nil {
		return nil, fmt.Errorf("build layer: %w", err)
	}
	if err := zip.Close(); err != nil {
		return nil, fmt.Errorf("build layer: %w", err)
	}
	digest, _, err := v1.SHA256(bytes.NewReader(packed.Bytes()))
	if err != nil {
		return nil, fmt.Errorf("build layer: %w", err)
	}
	return &layer{digest: digest, diffID: diffID, packed: packed.Bytes()}, nil
}

func writeTar(w io.Writer, files []File) error {
	t := tar.NewWriter(w)
	made := map[string]bool{"": true, ".": true}
	mkdir := func(name string, mode int64) error {
		made[name] = true
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, ModTime: created})
	}
	for _, f := range files {
		name := strings.TrimPrefix(path.Clean(f.Name), "/")
		var parents []string
		for dir := path.Dir(name); !made[dir]; dir = path.Dir(dir) {
			parents = append(parents, dir)
		}
		slices.Reverse(parents)
		for _, dir := range parents {
			if err := mkdir(dir, 0o755); err != nil {
				return err
			}
		}
		mode := f.Mode
		if f.Dir {
			if mode == 0 {
				mode = 0o755
			}
			if err := mkdir(name, mode); err != nil {
				return err
			}
			continue
		}
		if mode == 0 {
			mode = 0o644
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(f.Data)), ModTime: created}
		if f.Link != "" {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, f.Link, 0
		}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if f.Link == "" {
			if _, err := t.Write(f.Data); err != nil {
				return err
			}
		}
	}
	return t.Close()
}

// Build makes an image of layers, lowest first, that runs as cfg says.
func Build(cfg v1.Config, layers ...v1.Layer) (v1.Image, error) {
	img := mutate.MediaType(empty.Image, types.DockerManifestSchema2)
	img, err := mutate.AppendLayers(img, layers...)
	if err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	file = file.DeepCopy()
	file.Architecture, file.OS = runtime.GOARCH, "linux"
	file.Created = v1.Time{Time: created}
	file.Config = cfg
	for i := range file.History {
		file.History[i].Created = v1.Time{Time: created}
	}
	img, err = mutate.ConfigFile(img, file)
	if err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	return img, nil
}

// layer is a v1.Layer held in memory. go-containerregistry's own would
// compress once for each question asked of it.
type layer struct {
	digest, diffID v1.Hash
	packed         []byte
}

func (l *layer) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *layer) Size() (int64, error)                { return int64(len(l.packed)), nil }
func (l *layer) MediaType() (types.MediaType, error) { return types.DockerLayer, nil }
func (l *layer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.packed)), nil
}

func (l *layer) Uncompressed() (io.ReadCloser, error) {
	return gzip.NewReader(bytes.NewReader(l.packed))
}

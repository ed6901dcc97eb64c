package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// blobStore keeps blobs as files named by their digest. What is there under
// its name is complete: files are written beside and then renamed.
type blobStore struct{ dir string }

func newBlobStore(dir string) (*blobStore, error) {
	if dir == "" {
		return nil, errors.New("no directory for blobs")
	}
	// Manifests are kept in memory, so nobody can ask for an earlier
	// registry's blobs any more.
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("clear blob directory: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "sha256"), 0o700); err != nil {
		return nil, fmt.Errorf("make blob directory: %w", err)
	}
	return &blobStore{dir: dir}, nil
}

func (s *blobStore) path(h v1.Hash) string { return filepath.Join(s.dir, h.Algorithm, h.Hex) }

// Stat is part of ggcr.BlobStatHandler.
func (s *blobStore) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	info, err := os.Stat(s.path(h))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, ggcr.ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Get is part of ggcr.BlobHandler.
func (s *blobStore) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	f, err := os.Open(s.path(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ggcr.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// add writes the blob h unless it is there. What open gives is checked
// against h.
func (s *blobStore) add(ctx context.Context, h v1.Hash, open func() (io.ReadCloser, error)) error {
	if _, err := os.Stat(s.path(h)); err == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	from, err := open()
	if err != nil {
		return fmt.Errorf("read blob %s: %w", h, err)
	}
	defer from.Close()
	f, err := os.CreateTemp(s.dir, "upload-*")
	if err != nil {
		return fmt.Errorf("write blob %s: %w", h, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already if all went well
	got, _, err := v1.SHA256(io.TeeReader(from, f))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write blob %s: %w", h, err)
	}
	if got != h {
		return fmt.Errorf("write blob %s: content has digest %s", h, got)
	}
	if err := os.Rename(f.Name(), s.path(h)); err != nil {
		return fmt.Errorf("write blob %s: %w", h, err)
	}
	return nil
}

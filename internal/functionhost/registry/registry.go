// Package registry is an OCI registry of the function host's own, on
// loopback. It behaves as a cloud's registry does towards a function platform:
// anonymous access is refused, each pull gets a user and a password of its own
// that live for minutes, those are exchanged for a bearer token at /token, and
// bandwidth and latency are those of a network (settable). Nothing can be
// pushed to it over the network: only this process puts images in.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
)

// minTokenTTL is what dockerd assumes of every token: it does not look at
// expires_in below a minute and never refreshes a token during a pull.
const minTokenTTL = 60 * time.Second

// Config is what a Registry needs. Zero values are replaced by the defaults named.
type Config struct {
	Dir           string        // for blobs; required, emptied by New
	Bandwidth     int64         // bytes per second of one blob's download; 0: unlimited
	Latency       time.Duration // added to every request
	CredentialTTL time.Duration // life of a pull's user and password; default 5 minutes
	TokenTTL      time.Duration // life of a bearer token; default 5 minutes
	Now           func() time.Time
	Logger        *slog.Logger
}

// Registry is a running registry. It is safe for concurrent use.
type Registry struct {
	cfg      Config
	listener net.Listener
	store    *blobStore
	images   http.Handler // the registry proper: no access control, not throttled
	access   *access

	mu     sync.Mutex
	pushed map[string]Image // guarded by mu: by repo:tag
}

// Image is what the registry knows of an image without being asked for it
// over the network.
type Image struct {
	Digest v1.Hash
	Bytes  int64 // compressed, with its configuration
}

// New binds a free port of 127.0.0.1 and opens the blob directory.
func New(ctx context.Context, cfg Config) (*Registry, error) {
	if cfg.CredentialTTL <= 0 {
		cfg.CredentialTTL = 5 * time.Minute
	}
	if cfg.TokenTTL <= 0 {
		cfg.TokenTTL = 5 * time.Minute
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	store, err := newBlobStore(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open registry: %w", err)
	}
	if cfg.TokenTTL < minTokenTTL {
		cfg.Logger.Warn("registry tokens live shorter than dockerd assumes", "token_ttl", cfg.TokenTTL, "assumed", minTokenTTL)
	}
	return &Registry{
		cfg:      cfg,
		listener: listener,
		store:    store,
		images: ggcr.New(ggcr.WithBlobHandler(store),
			ggcr.Logger(log.New(io.Discard, "", 0))),
		access: newAccess(cfg.CredentialTTL, cfg.TokenTTL, cfg.Now),
		pushed: map[string]Image{},
	}, nil
}

// Addr is the registry's host:port, as it stands in image references.
func (r *Registry) Addr() string { return r.listener.Addr().String() }

// Run serves until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	srv := &http.Server{
		Handler:           r.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(r.cfg.Logger.Handler(), slog.LevelDebug),
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(r.listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve registry: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return srv.Close()
	})
	return g.Wait()
}

// Close releases the port of a registry that was never run.
func (r *Registry) Close() error { return r.listener.Close() }

// handler is what the network sees: read only, with access control, at the
// network's pace.
func (r *Registry) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, req *http.Request) { r.access.serveToken(w, req) })
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "this registry is read-only over the network")
			return
		}
		if err := r.access.check(req); err != nil {
			challenge := `Bearer realm="http://` + r.Addr() + `/token",service="` + service + `"`
			if repo := repository(req.URL.Path); repo != "" {
				challenge += `,scope="repository:` + repo + `:pull"`
			}
			w.Header().Set("WWW-Authenticate", challenge)
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", err.Error())
			return
		}
		if r.cfg.Bandwidth > 0 && req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/blobs/") {
			w = &pacedWriter{ResponseWriter: w, ctx: req.Context().Done(), bandwidth: r.cfg.Bandwidth}
		}
		r.images.ServeHTTP(w, req)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !wait(req.Context().Done(), r.cfg.Latency) {
			return
		}
		mux.ServeHTTP(w, req)
	})
}

// Push puts img into the registry under repo:tag and returns its digest.
// Blobs that are already there are not written again.
func (r *Registry) Push(ctx context.Context, repo, tag string, img v1.Image) (v1.Hash, error) {
	fail := func(err error) (v1.Hash, error) {
		return v1.Hash{}, fmt.Errorf("push %s:%s: %w", repo, tag, err)
	}
	layers, err := img.Layers()
	if err != nil {
		return fail(err)
	}
	var total int64
	for _, l := range layers {
		size, err := l.Size()
		if err != nil {
			return fail(err)
		}
		total += size
		h, err := l.Digest()
		if err != nil {
			return fail(err)
		}
		if err := r.store.add(ctx, h, l.Compressed); err != nil {
			return fail(err)
		}
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return fail(err)
	}
	name, err := img.ConfigName()
	if err != nil {
		return fail(err)
	}
	err = r.store.add(ctx, name, func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(string(config))), nil
	})
	if err != nil {
		return fail(err)
	}
	digest, err := img.Digest()
	if err != nil {
		return fail(err)
	}
	if err := r.putManifest(ctx, repo, tag, img); err != nil {
		return fail(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pushed[repo+":"+tag] = Image{Digest: digest, Bytes: total + int64(len(config))}
	return digest, nil
}

// Lookup tells what repo:tag is now.
func (r *Registry) Lookup(repo, tag string) (Image, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	img, ok := r.pushed[repo+":"+tag]
	return img, ok
}

// putManifest hands the manifest to the registry proper, inside the process.
func (r *Registry) putManifest(ctx context.Context, repo, tag string, img v1.Image) error {
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	media, err := img.MediaType()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+r.Addr()+"/v2/"+repo+"/manifests/"+tag, strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", string(media))
	answer := &answerRecorder{header: http.Header{}}
	r.images.ServeHTTP(answer, req)
	if answer.status/100 != 2 {
		return fmt.Errorf("put manifest: HTTP %d: %s", answer.status, strings.TrimSpace(answer.body.String()))
	}
	return nil
}

// Issue makes a user and a password that can pull repo, for a short time.
func (r *Registry) Issue(ctx context.Context, repo string) (username, password string, err error) {
	if err := ctx.Err(); err != nil {
		return "", "", err
	}
	username, password = r.access.issue(repo)
	return username, password, nil
}

// answerRecorder keeps the answer of a handler that is called in the process.
type answerRecorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (a *answerRecorder) Header() http.Header { return a.header }

func (a *answerRecorder) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answerRecorder) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

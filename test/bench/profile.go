package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// profiles are those of a server under load: of its processor time, and of its
// memory at the end. They are read with `go tool pprof`.
type profiles struct {
	s    *server
	dir  string // empty: none are taken
	name string
	cpu  chan error
}

// profiled begins to profile s; the profile of the processor ends after limit,
// so that the load should last at least as long.
func (b *bench) profiled(ctx context.Context, s *server, name string, limit time.Duration) *profiles {
	p := &profiles{s: s, dir: b.profile, name: strings.ReplaceAll(name, " ", "-"), cpu: make(chan error, 1)}
	if p.dir != "" {
		go func() { p.cpu <- p.get(ctx, fmt.Sprintf("profile?seconds=%d", max(1, int(limit.Seconds()))), "cpu") }()
	}
	return p
}

// end waits for the processor's profile, and takes those of the memory: of
// what is in use after a collection, and of all that was allocated.
func (p *profiles) end(ctx context.Context) error {
	if p.dir == "" {
		return nil
	}
	return errors.Join(p.get(ctx, "heap", "heap-peak"), <-p.cpu, p.get(ctx, "heap?gc=1", "heap"))
}

func (p *profiles) get(ctx context.Context, what, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.s.URL+"/debug/pprof/"+what, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := p.s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile %s: %s", what, resp.Status)
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(p.dir, p.name+"."+file+".pprof"))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}

package functionhost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/functionhost/container"
)

// start is one cold start. Its phases share their boundaries, so that nothing
// lies between them; only pull and unpack overlap.
type start struct {
	host  *Host
	i     *instance
	begin time.Time // of the phase that is going on

	tag   name.Tag
	cred  container.Credentials
	login http.RoundTripper // with the token
	image container.Image
}

// bringUp takes an instance from its demand to readiness.
func (h *Host) bringUp(ctx context.Context, i *instance) error {
	s := &start{host: h, i: i, begin: i.demandedAt}
	for _, p := range []struct {
		phase faas.Phase
		do    func(context.Context) (faas.Attributes, error)
	}{
		{faas.PhaseQueue, s.queue},
		{faas.PhaseCredentials, s.credentials},
		{faas.PhaseResolve, s.resolve},
		{faas.PhasePull, s.pull}, // reports unpack as well
		{faas.PhaseCreate, s.create},
		{faas.PhaseStart, s.run},
		{faas.PhaseInit, s.init},
	} {
		attributes, err := p.do(ctx)
		if p.phase == faas.PhaseQueue && err == nil {
			defer func() { <-h.startSlot }()
		}
		if p.phase != faas.PhasePull {
			s.done(p.phase, attributes, err)
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrStart, p.phase, err)
		}
	}
	i.readyAt = s.begin
	i.report(i.readyAt, faas.Ready{})
	return nil
}

// done reports the phase that is going on and begins the next.
func (s *start) done(phase faas.Phase, attributes faas.Attributes, err error) {
	end := s.host.clock.now()
	s.reportPhase(phase, s.begin, end, attributes, err)
	s.begin = end
}

func (s *start) reportPhase(phase faas.Phase, begin, end time.Time, attributes faas.Attributes, err error) {
	p := faas.PhaseDone{Name: phase, Start: begin, End: end, Attributes: attributes}
	if err != nil {
		p.Error = err.Error()
	}
	s.i.report(end, p)
}

// queue waits until few enough other instances are being started.
func (s *start) queue(ctx context.Context) (faas.Attributes, error) {
	select {
	case s.host.startSlot <- struct{}{}:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// credentials gets a user and a password for this pull and exchanges them for
// the registry's token.
func (s *start) credentials(ctx context.Context) (faas.Attributes, error) {
	attributes := faas.Attributes{"registry": s.host.registry.Addr()}
	repo, tag := s.i.pool.fn.repoTag()
	ref, err := name.NewTag(s.host.registry.Addr() + "/" + repo + ":" + tag)
	if err != nil {
		return attributes, err
	}
	s.tag = ref
	username, password, err := s.host.registry.Issue(ctx, repo)
	if err != nil {
		return attributes, err
	}
	s.cred = container.Credentials{Username: username, Password: password}
	s.login, err = transport.NewWithContext(ctx, ref.Registry, &authn.Basic{Username: username, Password: password},
		s.host.toRegistry, []string{ref.Scope(transport.PullScope)})
	return attributes, err
}

// resolve asks the registry what the tag is now.
func (s *start) resolve(ctx context.Context) (faas.Attributes, error) {
	attributes := faas.Attributes{"tag": s.tag.TagStr()}
	found, err := remote.Head(s.tag, remote.WithContext(ctx), remote.WithTransport(s.login))
	if err != nil {
		return attributes, err
	}
	s.image = container.Image{Registry: s.host.registry.Addr(), Repository: s.tag.RepositoryStr(), Digest: found.Digest.String()}
	if s.i.pool.resolved(s.image.Digest) {
		// The demand named another digest, or none.
		s.i.reportDemand(s.image.Digest)
	}
	attributes["digest"] = s.image.Digest
	return attributes, nil
}

// pull has the runtime bring the image here, and reports layers, pull and unpack.
func (s *start) pull(ctx context.Context) (faas.Attributes, error) {
	p, err := s.host.runtime.Pull(ctx, s.image, s.cred)
	cache := "hit"
	for _, l := range p.Layers {
		if l.Cache != cache {
			cache = "miss"
		}
		at := p.Pull.End
		if l.UnpackEnd.After(at) {
			at = l.UnpackEnd
		}
		s.i.report(at, l)
	}
	pullErr, unpackErr := err, error(nil)
	if errors.Is(err, container.ErrUnpack) {
		pullErr, unpackErr = nil, err
	}
	s.reportPhase(faas.PhasePull, s.begin, p.Pull.End,
		faas.Attributes{"bytes": strconv.FormatInt(p.Bytes(), 10), "layers": strconv.Itoa(len(p.Layers)), "cache": cache}, pullErr)
	s.begin = p.Pull.End
	if !p.Unpack.Start.IsZero() {
		if p.Unpack.Start.After(p.Pull.End) {
			// What dockerd does between the two is about unpacking.
			p.Unpack.Start = p.Pull.End
		}
		s.reportPhase(faas.PhaseUnpack, p.Unpack.Start, p.Unpack.End, faas.Attributes{"cache": cache}, unpackErr)
		s.begin = p.Unpack.End
	}
	return nil, err
}

func (s *start) create(ctx context.Context) (_ faas.Attributes, err error) {
	fn := &s.i.pool.fn
	s.i.container, err = s.host.runtime.Create(ctx, container.Spec{
		Ref: s.i.ref, Image: s.image, Command: fn.Command, Args: fn.Args, MemoryLimit: fn.MemoryLimit,
		Env: append([]string{
			"TENCENTCLOUD_RUNENV=SCF", "TENCENTCLOUD_REGION=" + s.host.cfg.Region,
			"SCF_NAMESPACE=" + fn.Namespace, "SCF_FUNCTIONNAME=" + fn.Name, "SCF_FUNCTIONVERSION=" + fn.Version,
		}, fn.Env...),
	})
	return faas.Attributes{"runtime": s.host.runtime.Name()}, err
}

func (s *start) run(ctx context.Context) (faas.Attributes, error) {
	return nil, s.i.container.Start(ctx)
}

// init waits for the function's own initialization.
func (s *start) init(ctx context.Context) (faas.Attributes, error) {
	if err := s.i.waitReady(ctx); err != nil {
		return nil, err
	}
	s.i.transport = &http.Transport{
		DialContext: dialInto(s.i.container),
		// Each request gets a connection of its own: one that was kept could
		// have been closed by the function just now, and the request would
		// fail for no reason of its own.
		DisableKeepAlives:  true,
		DisableCompression: true,
	}
	return nil, nil
}

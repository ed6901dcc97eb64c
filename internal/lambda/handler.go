package lambda

import (
	"context"
	"fmt"
	"net/http"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// Path is where Handler is served.
const Path = "/v1/lambda/telemetry"

// maxRefBytes is the longest function, version, instance or namespace.
const maxRefBytes = 256

// Sink is where batches go. Its functions' errors are answered 429 or 503, so
// that the sender tries again.
type Sink struct {
	// Events makes events durable before it returns.
	Events func(context.Context, []faas.Event) error
	// Lines brings lines to where they are stored before it returns. Without it
	// they are dropped, and counted.
	Lines func(context.Context, []faas.Line) error
	// Ignored counts records that went nowhere, by reason: type (says nothing to
	// us) or line (there is no Lines). May be nil.
	Ignored func(reason string, n int)
}

// Handler serves POST Path: a body as the Telemetry API sends it. Whose it is
// say the query parameters function, instance, version, namespace and tenant
// (else the header X-Scope-OrgID), of which function and instance are needed
// where the records do not say them.
func Handler(sink Sink) http.Handler {
	decoder := NewDecoder()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := wire.ReadBody(w, r, wire.MaxEventsBytes)
		if !ok {
			return
		}
		ref, err := RefOf(r)
		if err != nil {
			wire.Refuse(w, err)
			return
		}
		batch, err := decoder.Decode(body, ref)
		if err != nil {
			wire.Refuse(w, err)
			return
		}
		if err := sink.take(r.Context(), batch); err != nil {
			wire.ComeBack(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func (s Sink) take(ctx context.Context, b Batch) error {
	// Events first: they have names of their own, and sending them again is harmless.
	if len(b.Events) > 0 {
		if err := s.Events(ctx, b.Events); err != nil {
			return err
		}
	}
	ignored := map[string]int{"type": b.Ignored}
	if s.Lines == nil {
		ignored["line"] = len(b.Lines)
	} else if len(b.Lines) > 0 {
		if err := s.Lines(ctx, b.Lines); err != nil {
			return err
		}
	}
	for reason, n := range ignored {
		if n > 0 && s.Ignored != nil {
			s.Ignored(reason, n)
		}
	}
	return nil
}

// RefOf reads whose a request's records are from its query and its header, as
// Handler says.
func RefOf(r *http.Request) (faas.Ref, error) {
	q := r.URL.Query()
	ref := faas.Ref{
		Tenant: q.Get("tenant"), Namespace: q.Get("namespace"), Function: q.Get("function"),
		Version: q.Get("version"), Instance: q.Get("instance"),
	}
	if ref.Tenant == "" || wire.SenderOf(r.Context()).Proven {
		ref.Tenant = wire.Tenant(r)
	}
	if err := faas.CheckTenant(ref.Tenant); err != nil {
		return ref, fmt.Errorf("tenant: %w", err)
	}
	for _, v := range []string{ref.Namespace, ref.Function, ref.Version, ref.Instance} {
		if len(v) > maxRefBytes {
			return ref, fmt.Errorf("%.40q… is longer than %d bytes", v, maxRefBytes)
		}
	}
	return ref, nil
}

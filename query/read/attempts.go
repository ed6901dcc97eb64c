package read

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// RequestFilter says which request is meant. Empty Namespace and Function say
// nothing; where they are given, nothing else is looked through.
type RequestFilter struct{ ID, Namespace, Function string }

// attempts are those of one request.
type attempts struct {
	newest  Invocation
	earlier []Invocation // newest first
	until   time.Time    // ends the newest one's time where its end is not known
	// coldUnknown says that it is not known yet whether the newest one waited.
	coldUnknown bool
}

// attempts finds those of a request: what was told of it, else what its lines
// say. The error is ErrNotFound if there is neither.
func (r *Reader) attempts(ctx context.Context, tenant string, f RequestFilter, now time.Time) (*attempts, error) {
	key := args{"tenant": tenant, "namespace": f.Namespace, "function": f.Function, "request": f.ID, "limit": maxAttempts}
	told, err := selectRows[invocationRow](ctx, r, "attempts", maxAttempts, key)
	if err != nil {
		return nil, err
	}
	if len(told) > 0 {
		a := &attempts{newest: told[0].invocation(), until: now, coldUnknown: told[0].Cold == nil}
		for i := range told[1:] {
			a.earlier = append(a.earlier, told[1+i].invocation())
		}
		return a, nil
	}
	seen, err := selectRows[seenRow](ctx, r, "seen", maxAttempts, key)
	if err != nil {
		return nil, err
	}
	if len(seen) == 0 {
		return nil, fmt.Errorf("request %q: %w", f.ID, ErrNotFound)
	}
	return untold(f.ID, seen), nil
}

// seenRow is what one instance's lines say of a request.
type seenRow struct {
	Namespace string    `ch:"namespace"`
	Function  string    `ch:"function"`
	Instance  string    `ch:"instance"`
	Version   string    `ch:"version"`
	Host      string    `ch:"host"`
	First     time.Time `ch:"first"`
	Last      time.Time `ch:"last"`
}

// untold makes attempts of lines: those of one instance are one attempt, and so
// are those of several instances of a function that printed at the same time.
func untold(request string, seen []seenRow) *attempts {
	a := &attempts{newest: seen[0].invocation(request), until: seen[0].Last, coldUnknown: true}
	for i := range seen[1:] {
		s := &seen[1+i]
		v := s.invocation(request)
		if s.Namespace != a.newest.Namespace || s.Function != a.newest.Function || s.Last.Before(a.newest.StartedAt) {
			a.earlier = append(a.earlier, v)
			continue
		}
		a.newest.StartedAt = v.StartedAt // they are in order: it is not later
		a.newest.Version = cmp.Or(a.newest.Version, v.Version)
		if s.Last.After(a.until) {
			a.until = s.Last
		}
	}
	return a
}

func (r *seenRow) invocation(request string) Invocation {
	return Invocation{
		RequestID: request, Namespace: r.Namespace, Function: r.Function, Version: r.Version,
		Instance: r.Instance, Host: r.Host, StartedAt: r.First.UTC(), LastLineAt: new(r.Last.UTC()), Status: faas.StatusUnknown,
	}
}

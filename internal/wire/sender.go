package wire

import (
	"cmp"
	"context"
	"net/http"

	"github.com/coldscope/coldscope/internal/faas"
)

// Sender is who a request comes from, as the guard of the port has found out
// (package access).
type Sender struct {
	// Name is that of the sender's token or certificate. It is empty where
	// nobody is asked who they are.
	Name string
	// Tenant is whom the sender acts for in this request.
	Tenant string
	// Proven says that the sender has shown credentials: it may act for Tenant,
	// and for no other that it names in the request's body or its parameters.
	Proven bool
}

type senderKey struct{}

// WithSender gives a context of a request that comes from s.
func WithSender(ctx context.Context, s Sender) context.Context {
	return context.WithValue(ctx, senderKey{}, s)
}

// SenderOf is who the request of ctx comes from; a zero Sender if no guard
// stands before it, as on a collector's socket.
func SenderOf(ctx context.Context) Sender {
	s, _ := ctx.Value(senderKey{}).(Sender)
	return s
}

// TenantOf is whom the request of ctx acts for: the sender's tenant, where no
// guard stands the one that its header named, else the default.
func TenantOf(ctx context.Context, header string) string {
	return cmp.Or(SenderOf(ctx).Tenant, header, faas.DefaultTenant)
}

// Tenant is TenantOf an HTTP request.
func Tenant(r *http.Request) string {
	return TenantOf(r.Context(), r.Header.Get(HeaderTenant))
}

package access

import (
	"context"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/coldscope/coldscope/internal/wire"
)

// Interceptor puts the guard before all unary calls of a gRPC server.
func (g *Guard) Interceptor(scope Scope) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		ctx, err := g.GRPC(ctx, info.FullMethod, scope)
		if err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

// GRPC is the guard of one call: it reads the metadata authorization and
// x-scope-orgid, and the client's certificate, and gives the context that has
// the sender and the tenant (wire.SenderOf, wire.TenantOf). Its error is a
// status: Unauthenticated, PermissionDenied or InvalidArgument. method is for
// the log.
func (g *Guard) GRPC(ctx context.Context, method string, scope Scope) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	s := shown{authorization: md.Get("authorization"), tenant: md.Get(wire.HeaderTenant)}
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 {
			s.certificate = info.State.PeerCertificates[0]
		}
	}
	sender, refused := g.admit(&s, &need{scope: scope})
	ctx = wire.WithSender(ctx, sender)
	if refused == nil {
		return ctx, nil
	}
	g.note(ctx, scope, method, refused)
	code := codes.InvalidArgument
	switch refused.code {
	case http.StatusUnauthorized:
		code = codes.Unauthenticated
	case http.StatusForbidden:
		code = codes.PermissionDenied
	}
	return nil, status.Error(code, refused.text)
}

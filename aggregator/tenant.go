package aggregator

import (
	"context"
	"net/http"

	"google.golang.org/grpc/metadata"

	"github.com/coldscope/coldscope/internal/wire"
)

// tenantOf is whose an HTTP request is. All of the intake asks here.
func tenantOf(r *http.Request) string { return wire.Tenant(r) }

// tenantOfCall is whose a gRPC call is.
func tenantOfCall(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	header := ""
	if named := md.Get(wire.HeaderTenant); len(named) > 0 {
		header = named[0]
	}
	return wire.TenantOf(ctx, header)
}

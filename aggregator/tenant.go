package aggregator

import (
	"context"
	"net/http"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// tenantOf is whose an HTTP request is. All of the intake asks here.
func tenantOf(r *http.Request) string { return wire.Tenant(r) }

// tenantOfCall is whose a gRPC call is.
func tenantOfCall(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, tenant := range md.Get(strings.ToLower(wire.HeaderTenant)) {
		if tenant != "" {
			return tenant
		}
	}
	return faas.DefaultTenant
}

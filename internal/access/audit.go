package access

import (
	"context"
	"log/slog"

	"github.com/coldscope/coldscope/internal/wire"
)

// Audit logs what somebody did with the rights of an admin, or, with err, could
// not or may not do: one line with the key audit. Who and for which tenant is
// taken from ctx's request; what no request asked for has neither.
func Audit(ctx context.Context, logger *slog.Logger, what string, err error, details ...slog.Attr) {
	s := wire.SenderOf(ctx)
	level, outcome := slog.LevelInfo, "done"
	if err != nil {
		level, outcome = slog.LevelWarn, "failed"
		details = append(details, slog.String("error", err.Error()))
	}
	logger.LogAttrs(ctx, level, "audit", append([]slog.Attr{
		slog.String("audit", what), slog.String("who", s.Name), slog.String("tenant", s.Tenant), slog.String("outcome", outcome),
	}, details...)...)
}

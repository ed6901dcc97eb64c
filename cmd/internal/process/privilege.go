package process

import (
	"context"
	"errors"

	"github.com/coldscope/coldscope/internal/privilege"
)

// DropPrivileges takes all capabilities from this process but those in keep,
// for good. Where that does not work it says so and goes on: a process with too
// many of them does its work all the same.
func (p *Process) DropPrivileges(ctx context.Context, keep privilege.Set) {
	left, err := privilege.Drop(keep)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		p.Logger.DebugContext(ctx, "capabilities are kept: this binary has C code in it", "error", err)
	case err != nil:
		p.Logger.WarnContext(ctx, "capabilities cannot be dropped", "error", err)
	default:
		p.Logger.InfoContext(ctx, "capabilities that are not needed are dropped", "left", left.String())
	}
}

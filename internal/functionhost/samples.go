package functionhost

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/functionhost/samples"
)

// PushSamples builds the images of the sample functions from their programs
// in binDir, puts them into the registry and returns functions to deploy:
// default/webapp and default/inference.
func (h *Host) PushSamples(ctx context.Context, binDir string) ([]Function, error) {
	all, err := samples.Build(binDir)
	if err != nil {
		return nil, err
	}
	functions := make([]Function, len(all))
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range all {
		functions[i] = Function{Name: s.Name, Image: "samples/" + s.Name + ":1"}
		g.Go(func() error { return h.Push(ctx, "samples/"+s.Name, "1", s.Image) })
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("push sample functions: %w", err)
	}
	return functions, nil
}

package api

import (
	"context"

	"github.com/coldscope/coldscope/query/read"
)

type functionsInput struct {
	Owner
	Span
}

func (a *API) functions(ctx context.Context, in *functionsInput) (*body[*read.FunctionList], error) {
	list, err := a.reader.Functions(ctx, in.id(ctx), in.within(a.now()))
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.FunctionList]{list}, nil
}

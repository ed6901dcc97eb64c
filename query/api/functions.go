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

type versionsInput struct {
	Owner
	Namespace string `query:"namespace" maxLength:"512" doc:"The function's namespace; empty is one, too"`
	Function  string `query:"function" required:"true" minLength:"1" maxLength:"512" doc:"The function's name without its namespace"`
	Span
}

func (a *API) versions(ctx context.Context, in *versionsInput) (*body[*read.FunctionVersionList], error) {
	list, err := a.reader.FunctionVersions(ctx, in.id(ctx), in.Namespace, in.Function, in.within(a.now()))
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.FunctionVersionList]{list}, nil
}

package api

import (
	"context"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/diagnose"
	"github.com/coldscope/coldscope/query/read"
)

type coldStartsInput struct {
	Owner
	Namespace      string              `query:"namespace" maxLength:"512"`
	Function       string              `query:"function" maxLength:"512" doc:"The function's name without its namespace"`
	Version        string              `query:"version" maxLength:"512"`
	Initialization faas.Initialization `query:"initialization" enum:"on-demand,provisioned"`
	Limit          int                 `query:"limit" minimum:"1" maximum:"1000" default:"10" doc:"How many starts each of the lists slowest and recent holds"`
	Span
}

func (a *API) coldStarts(ctx context.Context, in *coldStartsInput) (*body[*read.ColdStartStats], error) {
	starts, truncated, err := a.reader.ColdStarts(ctx, in.id(ctx), read.StartFilter{
		Namespace: in.Namespace, Function: in.Function, Version: in.Version,
		Initialization: in.Initialization, Range: in.within(a.now()),
	})
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.ColdStartStats]{diagnose.Summarize(starts, truncated, in.Limit)}, nil
}

type startsHistoryInput struct {
	HistoryInput
	Digest string `query:"digest" maxLength:"512" doc:"Only starts of this image"`
}

func (a *API) startHistory(ctx context.Context, in *startsHistoryInput) (*body[[]read.StartHistory], error) {
	f := in.filter(a.now())
	f.Digest = in.Digest
	history, err := a.reader.StartHistory(ctx, in.id(ctx), f)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[[]read.StartHistory]{history}, nil
}

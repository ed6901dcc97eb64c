package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/diagnose"
	"github.com/coldscope/coldscope/query/read"
)

type requestInput struct {
	Owner
	ID        string `path:"id" minLength:"1" maxLength:"512" doc:"The request's ID"`
	Namespace string `query:"namespace" maxLength:"512" doc:"Look in this namespace only"`
	Function  string `query:"function" maxLength:"512" doc:"Look in this function only: its name without its namespace. Saves time where many functions have lines"`
}

func (a *API) request(ctx context.Context, in *requestInput) (*body[*read.Page], error) {
	page, err := a.reader.Request(ctx, in.id(ctx), read.RequestFilter{ID: in.ID, Namespace: in.Namespace, Function: in.Function}, a.now())
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	if page.ColdStart != nil {
		diagnose.CriticalPath(page.ColdStart)
		around, err := a.reader.Surroundings(ctx, in.id(ctx), page.ColdStart)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		page.ColdStart.Cause = diagnose.Cause(page.ColdStart, around)
	}
	page.Advice = diagnose.Advise(&page.Invocation, page.ColdStart)
	return &body[*read.Page]{page}, nil
}

type requestsInput struct {
	Owner
	Namespace string      `query:"namespace" maxLength:"512"`
	Function  string      `query:"function" maxLength:"512" doc:"The function's name without its namespace"`
	Status    faas.Status `query:"status" enum:"ok,error,timeout,oom,cancelled,running"`
	Cold      string      `query:"cold" enum:"true,false" doc:"Only requests that waited for a start, or only those that did not"`
	Limit     int         `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor    string      `query:"cursor" maxLength:"4096" doc:"Where to read on: next_cursor of the answer before, with the same filters"`
	Span
}

// Resolve reports what of the input cannot be read.
func (in *requestsInput) Resolve(ctx huma.Context) []error {
	errs := in.Span.Resolve(ctx)
	if in.Cursor != "" {
		_, err := read.ParseCursor(in.Cursor)
		errs = refuse(errs, "query.cursor", in.Cursor, err)
	}
	return errs
}

func (a *API) requests(ctx context.Context, in *requestsInput) (*body[*read.InvocationList], error) {
	f := read.InvocationFilter{
		Namespace: in.Namespace, Function: in.Function, Range: in.within(a.now()), Status: in.Status, Limit: in.Limit,
	}
	if in.Cold != "" {
		cold := in.Cold == "true"
		f.Cold = &cold
	}
	if in.Cursor != "" {
		f.After, _ = read.ParseCursor(in.Cursor) // Resolve has checked it
	}
	list, err := a.reader.Invocations(ctx, in.id(ctx), f)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.InvocationList]{list}, nil
}

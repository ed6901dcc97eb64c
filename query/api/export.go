package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coldscope/coldscope/query/read"
)

func (a *API) registerExport() {
	for _, e := range []struct{ id, path, what string }{
		{"export-lines", "/export/lines", "Lines"}, {"export-requests", "/export/requests", "Requests"}, {"export-cold-starts", "/export/coldstarts", "Cold starts"},
	} {
		op := operation(e.id, e.path, e.what+" as a file",
			"All that the filters mean, by function and time: NDJSON, CSV with a header, or Parquet. It is sent while it is read; where it cannot be finished, the connection breaks.")
		op.Responses = map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			"application/x-ndjson":           {Schema: &huma.Schema{Type: huma.TypeString}},
			"text/csv":                       {Schema: &huma.Schema{Type: huma.TypeString}},
			"application/vnd.apache.parquet": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}},
		}}}
		switch e.id {
		case "export-lines":
			huma.Register(a.huma, op, a.exportLines)
		case "export-requests":
			huma.Register(a.huma, op, a.exportRequests)
		default:
			huma.Register(a.huma, op, a.exportStarts)
		}
	}
}

// ExportOptions are those of every export. It is exported for huma, as Owner is.
type ExportOptions struct {
	Format read.Format `query:"format" enum:"ndjson,csv,parquet" default:"ndjson"`
	Rows   int         `query:"rows" minimum:"0" doc:"At most so many rows; 0: all of them"`
}

var contentTypes = map[read.Format]string{
	read.NDJSON: "application/x-ndjson", read.CSV: "text/csv; header=present; charset=utf-8", read.Parquet: "application/vnd.apache.parquet",
}

type exportLinesInput struct {
	Owner
	LineFilter
	ExportOptions
}

func (a *API) exportLines(ctx context.Context, in *exportLinesInput) (*huma.StreamResponse, error) {
	e, err := a.reader.ExportLines(in.id(ctx), in.filter(a.now()), in.Rows, in.Format)
	return a.export(ctx, "lines", in.Format, e, err)
}

type exportRequestsInput struct {
	Owner
	RequestFilter
	ExportOptions
}

func (a *API) exportRequests(ctx context.Context, in *exportRequestsInput) (*huma.StreamResponse, error) {
	e, err := a.reader.ExportRequests(in.id(ctx), in.filter(a.now()), in.Rows, in.Format)
	return a.export(ctx, "requests", in.Format, e, err)
}

type exportStartsInput struct {
	Owner
	StartFilter
	ExportOptions
}

func (a *API) exportStarts(ctx context.Context, in *exportStartsInput) (*huma.StreamResponse, error) {
	e, err := a.reader.ExportStarts(in.id(ctx), in.filter(a.now()), in.Rows, in.Format)
	return a.export(ctx, "coldstarts", in.Format, e, err)
}

// export answers with what e writes.
func (a *API) export(ctx context.Context, name string, format read.Format, e *read.Export, err error) (*huma.StreamResponse, error) {
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		out := &late{ctx: hctx, head: func() {
			hctx.SetHeader("Content-Type", contentTypes[format])
			hctx.SetHeader("Content-Disposition", `attachment; filename="`+name+"."+string(format)+`"`)
			hctx.SetHeader("Cache-Control", "no-store")
		}}
		err := e.WriteTo(hctx.Context(), out)
		switch {
		case err == nil && !out.begun: // an empty answer is one, too
			_, _ = out.Write(nil)
		case err != nil && out.begun:
			a.logger.WarnContext(ctx, "export ended early", "error", err)
			panic(http.ErrAbortHandler) // the client must not take it for the whole
		case err != nil:
			writeProblem(hctx, a.problem(ctx, err))
		}
	}}, nil
}

// writeProblem answers with what problem gave, where huma cannot.
func writeProblem(hctx huma.Context, err error) {
	if with, ok := errors.AsType[huma.HeadersError](err); ok {
		for name, values := range with.GetHeaders() {
			for _, v := range values {
				hctx.SetHeader(name, v)
			}
		}
	}
	m := model(err)
	hctx.SetHeader("Content-Type", "application/problem+json")
	hctx.SetStatus(m.Status)
	_ = json.NewEncoder(hctx.BodyWriter()).Encode(m) // a client that has gone need not be told
}

// model is the problem alone, without headers.
func model(err error) *huma.ErrorModel {
	if m, ok := errors.AsType[*huma.ErrorModel](err); ok {
		return m
	}
	return &huma.ErrorModel{Title: http.StatusText(http.StatusInternalServerError), Status: http.StatusInternalServerError, Detail: err.Error()}
}

// late writes the answer's head only when there is something to answer with.
type late struct {
	ctx   huma.Context
	head  func()
	begun bool
}

func (l *late) Write(b []byte) (int, error) {
	if !l.begun {
		l.begun = true
		l.head()
	}
	return l.ctx.BodyWriter().Write(b)
}

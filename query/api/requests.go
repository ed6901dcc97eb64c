package api

import (
	"context"
	"time"

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

// RequestFilter says which requests are meant. It is exported for huma, as Owner is.
type RequestFilter struct {
	Namespace      string              `query:"namespace" maxLength:"512"`
	Function       string              `query:"function" maxLength:"512" doc:"The function's name without its namespace"`
	Version        string              `query:"version" maxLength:"512"`
	Instance       string              `query:"instance" maxLength:"512"`
	Prefix         string              `query:"request" maxLength:"512" doc:"What the request's ID begins with"`
	Trigger        string              `query:"trigger" maxLength:"64"`
	Statuses       []string            `query:"status" maxItems:"6" enum:"ok,error,timeout,oom,cancelled,running" doc:"How it ended; separated by commas"`
	ClosedBy       []string            `query:"closed_by" maxItems:"4" enum:"oom,timeout,crash,stop" doc:"Nobody told how it ended, and its instance ended like this; separated by commas"`
	HTTPStatus     int                 `query:"http_status" minimum:"100" maximum:"599"`
	Error          string              `query:"error" maxLength:"1024" doc:"A part of what is said of its failure, in upper or lower case"`
	MinDuration    string              `query:"min_duration" maxLength:"64" example:"250ms" doc:"It took at least so long in the handler"`
	MaxDuration    string              `query:"max_duration" maxLength:"64" example:"3s" doc:"It took at most so long in the handler"`
	Cold           string              `query:"cold" enum:"true,false" doc:"Only requests that waited for a start, or only those that did not"`
	Initialization faas.Initialization `query:"initialization" enum:"on-demand,provisioned" doc:"How its instance was started"`
	Host           string              `query:"host" maxLength:"512" doc:"Where its instance was"`
	Digest         string              `query:"digest" maxLength:"512" doc:"Of its instance's image"`
	Texts          []string            `query:"q,explode" maxItems:"8" maxLength:"1024" doc:"Text that one of its lines contains; several times for several texts, each in any of its lines"`
	Fold           bool                `query:"ignore_case" doc:"Upper and lower case are the same in q"`
	Span
}

// Resolve reports what of the filter cannot be read.
func (in *RequestFilter) Resolve(ctx huma.Context) []error {
	errs := in.Span.Resolve(ctx)
	for location, text := range map[string]string{"query.min_duration": in.MinDuration, "query.max_duration": in.MaxDuration} {
		if text == "" {
			continue
		}
		if d, err := parseDuration(text); err != nil || d < 0 {
			errs = append(errs, &huma.ErrorDetail{Location: location, Message: "not a duration (250ms, 3s, 5m)", Value: text})
		}
	}
	return errs
}

// filter is the filter as of now; Resolve has checked it.
func (in *RequestFilter) filter(now time.Time) read.InvocationFilter {
	f := read.InvocationFilter{
		Namespace: in.Namespace, Function: in.Function, Version: in.Version, Instance: in.Instance, Prefix: in.Prefix, Trigger: in.Trigger,
		ClosedBy: in.ClosedBy, HTTPStatus: in.HTTPStatus, Error: in.Error, Initialization: in.Initialization, Host: in.Host, Digest: in.Digest,
		Range: in.within(now),
	}
	for _, s := range in.Statuses {
		f.Statuses = append(f.Statuses, faas.Status(s))
	}
	f.MinDuration, _ = parseDuration(in.MinDuration)
	f.MaxDuration, _ = parseDuration(in.MaxDuration)
	if in.Cold != "" {
		cold := in.Cold == "true"
		f.Cold = &cold
	}
	for _, s := range in.Texts {
		if s != "" {
			f.Texts = append(f.Texts, read.Text{Text: s, Fold: in.Fold})
		}
	}
	return f
}

type requestsInput struct {
	Owner
	RequestFilter
	Sort   read.Sort `query:"sort" enum:"time,duration,init" default:"time" doc:"time: of its start at the instance; duration: in the handler; init: how long it waited for its instance's start. Requests without one come last"`
	Order  string    `query:"order" enum:"desc,asc" default:"desc" doc:"desc: the newest or the longest come first"`
	Limit  int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string    `query:"cursor" maxLength:"4096" doc:"Where to read on: next_cursor of the answer before, with the same filters, sort and order"`
}

// Resolve reports what of the input cannot be read.
func (in *requestsInput) Resolve(ctx huma.Context) []error {
	errs := in.RequestFilter.Resolve(ctx)
	q := read.InvocationQuery{Sort: in.Sort, Ascending: in.Order == "asc"}
	if in.Cursor != "" {
		var err error
		if q.After, err = read.ParseCursor(in.Cursor); err == nil {
			err = q.CheckCursor()
		}
		errs = refuse(errs, "query.cursor", in.Cursor, err)
	}
	return errs
}

func (a *API) requests(ctx context.Context, in *requestsInput) (*body[*read.InvocationList], error) {
	q := read.InvocationQuery{InvocationFilter: in.filter(a.now()), Sort: in.Sort, Ascending: in.Order == "asc", Limit: in.Limit}
	if in.Cursor != "" {
		q.After, _ = read.ParseCursor(in.Cursor) // Resolve has checked it
	}
	list, err := a.reader.Invocations(ctx, in.id(ctx), q)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.InvocationList]{list}, nil
}

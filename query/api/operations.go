package api

import (
	"context"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query/diagnose"
	"github.com/coldscope/coldscope/query/read"
)

type body[T any] struct {
	Body T
}

// Owner is the part of every operation's input that says whose data it is
// about. It is exported because huma passes over embedded types that are not.
type Owner struct {
	Tenant string `header:"X-Scope-OrgID" maxLength:"150" doc:"The tenant; default if absent"`
}

// id is whom the request acts for: the port's guard knows better than the header.
func (t Owner) id(ctx context.Context) string { return wire.TenantOf(ctx, t.Tenant) }

// Span is the time range that an operation is about.
type Span struct {
	Since string `query:"since" maxLength:"64" example:"15m" doc:"Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit"`
	Until string `query:"until" maxLength:"64" doc:"End of the time range (exclusive), written as since is. Default: no limit"`
}

// Resolve reports what of the range cannot be read.
func (s *Span) Resolve(huma.Context) []error {
	var errs []error
	since, err := parseTime(s.Since, time.Time{})
	errs = refuse(errs, "query.since", s.Since, err)
	until, err := parseTime(s.Until, time.Time{})
	errs = refuse(errs, "query.until", s.Until, err)
	if len(errs) == 0 && !since.IsZero() && !until.IsZero() && !since.Before(until) {
		errs = append(errs, &huma.ErrorDetail{Location: "query.until", Message: "until must be later than since", Value: s.Until})
	}
	return errs
}

func refuse(errs []error, location, value string, err error) []error {
	if err == nil {
		return errs
	}
	return append(errs, &huma.ErrorDetail{Location: location, Message: err.Error(), Value: value})
}

// within is the range as of now; Resolve has checked it.
func (s *Span) within(now time.Time) read.Range {
	since, _ := parseTime(s.Since, now)
	until, _ := parseTime(s.Until, now)
	return read.Range{Since: since, Until: until}
}

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

// HistoryInput says what history is asked for. It is exported for huma, as Owner is.
type HistoryInput struct {
	Owner
	Namespace string `query:"namespace" maxLength:"512"`
	Function  string `query:"function" maxLength:"512" doc:"The function's name without its namespace"`
	Version   string `query:"version" maxLength:"512"`
	Step      string `query:"step" maxLength:"64" default:"1m" doc:"Length of the steps: a duration of whole minutes"`
	Span
}

// Resolve reports what of the input cannot be read.
func (in *HistoryInput) Resolve(ctx huma.Context) []error {
	errs := in.Span.Resolve(ctx)
	if d, err := parseDuration(in.Step); err != nil || d < time.Minute || d%time.Minute != 0 {
		errs = append(errs, &huma.ErrorDetail{Location: "query.step", Message: "neither 1m nor another duration of whole minutes (5m, 1h, 1d)", Value: in.Step})
	}
	return errs
}

func (in *HistoryInput) filter(now time.Time) read.HistoryFilter {
	step, _ := parseDuration(in.Step) // Resolve has checked it
	return read.HistoryFilter{Namespace: in.Namespace, Function: in.Function, Version: in.Version, Range: in.within(now), Step: step}
}

func (a *API) volume(ctx context.Context, in *HistoryInput) (*body[[]read.Volume], error) {
	volume, err := a.reader.Volume(ctx, in.id(ctx), in.filter(a.now()))
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[[]read.Volume]{volume}, nil
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

// parseTime reads an RFC 3339 time, or a duration that lies before now. An
// empty text is the zero time: no limit.
func parseTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		if !faas.Storable(t) {
			return time.Time{}, fmt.Errorf("a time between 1970 and 2262 is needed")
		}
		return t, nil
	}
	d, err := parseDuration(s)
	if err != nil || d < 0 {
		return time.Time{}, fmt.Errorf("neither an RFC 3339 time (2006-01-02T15:04:05Z) nor a duration (15m, 24h, 7d)")
	}
	return now.Add(-d), nil
}

// parseDuration is time.ParseDuration with days, written as whole numbers.
func parseDuration(s string) (time.Duration, error) {
	var days int
	var rest string
	if n, _ := fmt.Sscanf(s, "%dd%s", &days, &rest); n > 0 && s == fmt.Sprintf("%dd%s", days, rest) {
		if days < 0 || days > 36500 {
			return 0, fmt.Errorf("%q days are out of range", s)
		}
		d := time.Duration(days) * 24 * time.Hour
		if rest == "" {
			return d, nil
		}
		more, err := time.ParseDuration(rest)
		return d + more, err
	}
	return time.ParseDuration(s)
}

package api

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coldscope/coldscope/query/read"
)

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

// Package loki is the part of Grafana Loki's HTTP API that reads, under
// /loki/api/v1: Grafana, its page for logs and logcli ask Coldscope's store by
// it. It was written from Loki's documentation and from what clients expect,
// and contains no code of Loki's.
//
// Errors are a sentence in plain text, as Loki gives them. The tenant is the
// one that the port's guard has found (package access), else that of the
// X-Scope-OrgID header.
package loki

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"time"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/engine"
	"github.com/coldscope/coldscope/query/logql/eval"
	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/pipeline"
)

// Prefix is the path that everything is under.
const Prefix = "/loki/api/v1"

// TailPath is where lines are sent as they come, for as long as the client
// wants: requests of it are no burden that passes by itself.
const TailPath = Prefix + "/tail"

// compatible is the version of Loki whose API this is: clients ask for it.
const compatible = "3.4.0"

// API answers requests. It is an http.Handler and safe for concurrent use.
type API struct {
	http.Handler
	engine *engine.Engine
	logger *slog.Logger
	now    func() time.Time
	turns  *limit.Turns // that a tail's look takes
	follow *limit.Turns // that a tail takes
	tails  tails
}

// New returns the API over e. now gives the time where a request does not.
func New(e *engine.Engine, logger *slog.Logger, now func() time.Time) *API {
	mux := http.NewServeMux()
	a := &API{Handler: mux, engine: e, logger: logger, now: now}
	for path, handle := range map[string]handler{
		"/query":                        a.instant,
		"/query_range":                  a.queryRange,
		"/labels":                       a.labels,
		"/label":                        a.labels,
		"/label/{name}/values":          a.labelValues,
		"/series":                       a.series,
		"/index/stats":                  a.indexStats,
		"/index/volume":                 a.volume,
		"/index/volume_range":           a.volumeRange,
		"/detected_labels":              a.detectedLabels,
		"/detected_fields":              a.detectedFields,
		"/detected_field/{name}/values": a.fieldValues,
		"/patterns":                     a.patterns,
		"/format_query":                 a.formatQuery,
		"/drilldown-limits":             a.drilldownLimits,
		"/status/buildinfo":             a.buildInfo,
		"/rules":                        a.rules,
	} {
		mux.Handle("GET "+Prefix+path, a.answer(handle))
		mux.Handle("POST "+Prefix+path, a.answer(handle))
	}
	mux.HandleFunc("GET "+TailPath, a.tail)
	mux.HandleFunc("GET "+Prefix+"/ready", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ready") })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no such path of Loki's API here: "+r.Method+" "+r.URL.Path, http.StatusNotFound)
	})
	return a
}

// Bound gives tails their bounds: each look of one takes a turn of the first,
// and each tail for as long as it lasts one of the second. Without, there are none.
func (a *API) Bound(looks, tails *limit.Turns) { a.turns, a.follow = looks, tails }

// handler answers one request; what it returns is sent as JSON.
type handler func(r *http.Request) (any, error)

// maxForm bounds the body of a request, in bytes.
const maxForm = 1 << 20

func (a *API) answer(handle handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		var answer any
		err := r.ParseForm()
		if err != nil {
			err = &badRequest{err.Error()}
		} else {
			answer, err = handle(r)
		}
		if err != nil {
			code, text := a.failure(r.Context(), err)
			if code == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", "1")
			}
			http.Error(w, text, code)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.Header().Add("Vary", encodingFlags) // an answer of the other form breaks clients
		w.Header().Set("Cache-Control", "no-store")
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		if err := e.Encode(answer); err != nil {
			a.logger.DebugContext(r.Context(), "answer not sent", "error", err)
		}
	})
}

// badRequest is what is wrong with a request.
type badRequest struct{ text string }

func (e *badRequest) Error() string { return e.text }

func bad(format string, args ...any) error { return &badRequest{fmt.Sprintf(format, args...)} }

// statusClientClosed is what Loki, and nginx, call a client that went away.
const statusClientClosed = 499

// failure is the answer to what went wrong.
func (a *API) failure(ctx context.Context, err error) (code int, text string) {
	for _, its := range []func(error) (string, bool){
		about[*badRequest], about[*logql.ParseError], about[*eval.SeriesError], about[*eval.ValuesError], about[*eval.MatchError], about[*pipeline.PipelineError], about[*engine.LinesError],
	} {
		if text, ok := its(err); ok {
			return http.StatusBadRequest, text
		}
	}
	late, timedOut := about[*engine.TimeError](err)
	if p, ok := a.engine.Limits().Query.Problem(err); ok {
		switch p.Type {
		case limit.TypeTime:
			return http.StatusGatewayTimeout, p.Detail
		case limit.TypeBusy:
			return p.Status, p.Detail
		}
		return http.StatusBadRequest, p.Detail
	}
	switch {
	case timedOut:
		return http.StatusGatewayTimeout, late
	case ctx.Err() != nil || errors.Is(err, context.Canceled):
		return statusClientClosed, "The request was cancelled by the client."
	case clickhouse.Retryable(err):
		a.logger.WarnContext(ctx, "query failed", "error", err)
		return http.StatusServiceUnavailable, "the store is not reachable, is busy, or the query is too large for its limits: try again, or narrow the time range"
	}
	a.logger.ErrorContext(ctx, "query failed", "error", err)
	return http.StatusInternalServerError, "the query failed; the service's log says why"
}

// about is the text of the error of type E that err is, without what wraps it.
func about[E error](err error) (string, bool) {
	e, ok := errors.AsType[E](err)
	if !ok {
		return "", false
	}
	return e.Error(), true
}

func (a *API) query(r *http.Request, e logql.Expr) *engine.Query {
	return a.engine.Query(wire.Tenant(r), e)
}

// parsed is the expression of the request's parameter query.
func parsed(r *http.Request) (logql.Expr, error) {
	if r.Form.Get("query") == "" {
		return nil, bad("parse error : syntax error: unexpected $end")
	}
	e, err := logql.Parse(r.Form.Get("query"))
	if err != nil {
		return nil, err
	}
	return e, compiles(e)
}

// parsedLog is parsed, of a query for lines.
func parsedLog(r *http.Request) (*logql.LogExpr, error) {
	e, err := logql.ParseLog(r.Form.Get("query"))
	if err != nil {
		return nil, err
	}
	return e, compiles(e)
}

// compiles says what is wrong with a stage that can be read, as its template.
func compiles(e logql.Expr) error {
	for log := range logql.Logs(e) {
		if _, err := pipeline.New(log.Pipeline, labels.NewTable()); err != nil {
			return bad("parse error : %s", err)
		}
	}
	return nil
}

func (a *API) formatQuery(r *http.Request) (any, error) {
	e, err := parsed(r)
	if err != nil {
		return nil, err
	}
	return data{"success", e.String()}, nil
}

// data is what most answers are in.
type data struct {
	Status string `json:"status"`
	Data   any    `json:"data"`
}

func (a *API) buildInfo(*http.Request) (any, error) {
	return map[string]string{
		"version": compatible, "revision": "coldscope", "branch": "", "buildUser": "", "buildDate": "", "goVersion": runtime.Version(),
	}, nil
}

func (a *API) drilldownLimits(*http.Request) (any, error) {
	return map[string]any{
		"limits": map[string]any{
			"discover_log_levels": true, "discover_service_name": []string{"service_name"}, "log_level_fields": []string{"level"},
			"max_entries_limit_per_query": maxEntries, "max_query_series": maxSeries, "volume_enabled": true, "volume_max_series": maxVolumes,
			"max_query_length": "0s", "max_query_lookback": "0s", "max_query_range": "0s", "max_query_bytes_read": "0B", "retention_period": "0s",
			"metric_aggregation_enabled": false, "pattern_persistence_enabled": false, "query_timeout": "30s",
		},
		"pattern_ingester_enabled": true,
		"version":                  compatible,
	}, nil
}

// rules: there are none, which Grafana's list of alerts asks for.
func (a *API) rules(*http.Request) (any, error) { return map[string]any{}, nil }

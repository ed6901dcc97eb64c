// Package api is the native HTTP API: requests, functions and cold starts as
// JSON under /api/v1, described by an OpenAPI 3.1 document that is made from
// this code. Errors are RFC 9457 problems. The tenant is the one
// that the port's guard has found (package access), else that of the
// X-Scope-OrgID header.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/read"
)

//go:generate env COLDSCOPE_UPDATE=1 go test -run ^TestOpenAPIDocument$ .

// Prefix is the path that all operations begin with.
const Prefix = "/api/v1"

// version is the API's, not the product's.
const version = "1.0.0"

// API answers the operations. It is an http.Handler and safe for concurrent use.
type API struct {
	http.Handler
	reader *read.Reader
	logger *slog.Logger
	now    func() time.Time
	huma   huma.API

	turns, tails *limit.Turns  // nil: no bound
	ending       chan struct{} // closed when tails have to end
	end          sync.Once
}

// Bound sets the turns that tails take for each look, and those that say how
// many tails a tenant may have. It is called before the first request.
func (a *API) Bound(turns, tails *limit.Turns) { a.turns, a.tails = turns, tails }

// EndTails ends the answers that would go on for ever.
func (a *API) EndTails() { a.end.Do(func() { close(a.ending) }) }

// New returns the API over what reader reads. now gives the time that relative
// times are counted back from.
func New(reader *read.Reader, logger *slog.Logger, now func() time.Time) *API {
	config := huma.DefaultConfig("Coldscope", version)
	config.Info.Description = "Every request of a container-image function: what the platform did, what the container printed, and where a cold start's time went."
	config.OpenAPIPath = Prefix + "/openapi"
	config.DocsPath, config.SchemasPath = "", ""
	config.CreateHooks = nil // no $schema members in answers
	config.RejectUnknownQueryParameters = true

	mux := http.NewServeMux()
	a := &API{reader: reader, logger: logger, now: now, huma: humago.New(mux, config), ending: make(chan struct{})}
	huma.Register(a.huma, operation("get-request", "/requests/{id}", "Request",
		"One request: its newest attempt, the start that it waited for, and its lines. Where nobody has told of the request, what its own lines say of it.", http.StatusNotFound), a.request)
	huma.Register(a.huma, operation("list-requests", "/requests", "Requests",
		"Requests, newest first. Pass next_cursor as cursor to read on; what arrives meanwhile does not shift the pages."), a.requests)
	huma.Register(a.huma, operation("list-functions", "/functions", "Functions",
		"What each function did in a time range."), a.functions)
	huma.Register(a.huma, operation("get-volume", "/volume", "Volume",
		"How many lines there were, by steps of time, severity and stream."), a.volume)
	huma.Register(a.huma, operation("list-function-versions", "/functions/versions", "Versions of a function",
		"What each version of a function did, and which images its starts had."), a.versions)
	a.registerStarts()
	a.registerLines()
	a.registerExport()
	nullableStart(a.huma.OpenAPI())
	mux.HandleFunc("/", notFound)
	handler, err := transfer(mux)
	if err != nil {
		panic(err) // its options are constants
	}
	a.Handler = handler
	return a
}

// OpenAPI is the API's description as an indented JSON document.
func (a *API) OpenAPI() ([]byte, error) {
	b, err := json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode OpenAPI document: %w", err)
	}
	return append(b, '\n'), nil
}

func operation(id, path, summary, description string, codes ...int) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: http.MethodGet, Path: Prefix + path, Summary: summary, Description: description,
		Errors: append(codes, http.StatusUnprocessableEntity, http.StatusServiceUnavailable, http.StatusInternalServerError),
	}
}

// nullableStart says that a page's cold start may be null, which a Go pointer
// to a struct alone does not tell huma.
func nullableStart(doc *huma.OpenAPI) {
	page := doc.Components.Schemas.Map()["Page"]
	start := page.Properties["cold_start"]
	page.Properties["cold_start"] = &huma.Schema{
		OneOf:       []*huma.Schema{{Ref: start.Ref}, {Type: "null"}},
		Description: "The start that the request waited for; null if it waited for none",
	}
}

// notFound answers like the rest of the API where it has nothing.
func notFound(w http.ResponseWriter, r *http.Request) {
	problem := &huma.ErrorModel{
		Title: http.StatusText(http.StatusNotFound), Status: http.StatusNotFound,
		Detail: "the API has no operation " + r.Method + " " + r.URL.Path + "; " + Prefix + "/openapi.json lists them",
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(problem) // the client has gone: nobody to tell
}

// problem makes an answer of what the reader could not do.
func (a *API) problem(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, read.ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, context.Canceled):
		return huma.Error503ServiceUnavailable("the client went away")
	}
	if p, ok := a.reader.Limits().Problem(err); ok {
		a.logger.InfoContext(ctx, "query went beyond a limit", "error", err)
		return &huma.ErrorModel{Type: p.Type, Title: http.StatusText(p.Status), Status: p.Status, Detail: p.Detail}
	}
	if clickhouse.Retryable(err) {
		a.logger.WarnContext(ctx, "query failed", "error", err)
		return huma.ErrorWithHeaders(
			huma.Error503ServiceUnavailable("the store is not reachable, or is short of memory or time for all: try again"),
			http.Header{"Retry-After": {"1"}})
	}
	a.logger.ErrorContext(ctx, "query failed", "error", err)
	return huma.Error500InternalServerError("the query failed; the service's log says why")
}

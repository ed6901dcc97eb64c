// Package scf answers the log calls of Tencent Cloud's SCF API 3.0, version
// 2018-04-16, so that its SDKs and command lines ask Coldscope as they ask
// Tencent: GetFunctionLogs, GetRequestStatus and ListFunctions, on POST / (and
// GET /), signed by TC3-HMAC-SHA256. Fields, error codes and lines are those of
// Tencent's API reference and of its Go SDK's models
// (github.com/TencentCloud/tencentcloud-sdk-go, tencentcloud/scf/v20180416).
// All answers are HTTP 200; errors are in their bodies.
package scf

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/read"
)

// Version is the version of the API.
const Version = "2018-04-16"

// HeaderAction names the action of a request, and by being there says that it
// is one of this API.
const HeaderAction = "X-TC-Action"

// maxRequest is the largest body of a request, in bytes. Those of these actions
// are below a kilobyte.
const maxRequest = 1 << 20

// bodyDeadline is how long a request's body may take. Whoever sends it has named
// a key, but not shown yet that it is theirs.
const bodyDeadline = 10 * time.Second

// Turn waits until a tenant's request may be answered, and gives what has to be
// called after that. The error is a limit.BusyError, or the context's.
type Turn func(ctx context.Context, tenant string) (done func(), err error)

// API answers the actions. It is an http.Handler and safe for concurrent use.
type API struct {
	reader *read.Reader
	turn   Turn
	keys   *Keys
	logger *slog.Logger
	now    func() time.Time
	errors *prometheus.CounterVec
}

// New returns the API over what reader reads, for those who have one of keys and
// get a turn, and registers its metrics. now gives the time that signatures are
// held against, and that relative times are counted back from.
func New(reader *read.Reader, keys *Keys, turn Turn, logger *slog.Logger, now func() time.Time, registerer prometheus.Registerer) (*API, error) {
	a := &API{
		reader: reader, keys: keys, turn: turn, logger: logger, now: now,
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coldscope_scf_errors_total", Help: "Requests to the SCF API that were answered with an error, by action and error code.",
		}, []string{"action", "code"}),
	}
	if err := registerer.Register(a.errors); err != nil {
		return nil, fmt.Errorf("register metrics of the SCF API: %w", err)
	}
	return a, nil
}

// actions are the calls by their names.
var actions = map[string]func(*API, context.Context, *call) (any, error){
	"GetFunctionLogs":  (*API).getFunctionLogs,
	"GetRequestStatus": (*API).getRequestStatus,
	"ListFunctions":    (*API).listFunctions,
}

// Action is the known action that r asks for; empty if there is none of its name.
func Action(r *http.Request) string {
	name := r.Header.Get(HeaderAction)
	if actions[name] == nil {
		return ""
	}
	return name
}

// call is a request whose signature is good.
type call struct {
	tenant     string
	parameters []byte // JSON
}

// ServeHTTP answers one call.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := a.answer(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	write(w, answer)
}

func (a *API) answer(w http.ResponseWriter, r *http.Request) (any, error) {
	name := r.Header.Get(HeaderAction)
	if name == "" {
		return nil, fault(missingParameter, "the header X-TC-Action is missing")
	}
	claimed, err := a.keys.claim(r, a.now())
	if err != nil {
		return nil, err
	}
	body, err := readBody(w, r)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, fault(requestSizeLimitExceeded, "the request has more than %d bytes", maxRequest)
	} else if err != nil {
		return nil, fault(invalidParameter, "the request's body cannot be read")
	}
	if err := claimed.verify(r, body); err != nil {
		return nil, err
	}
	key := claimed.key
	// What follows is told to those who may ask only.
	if v := r.Header.Get("X-TC-Version"); v == "" {
		return nil, fault(missingParameter, "the header X-TC-Version is missing")
	} else if v != Version {
		return nil, fault(noSuchVersion, "there is no version %q of this API: %s is", v, Version)
	}
	action := actions[name]
	if action == nil {
		return nil, fault(invalidAction, "Coldscope does not answer the action %q: it has GetFunctionLogs, GetRequestStatus and ListFunctions", name)
	}
	c := &call{tenant: key.tenant, parameters: body}
	if r.Method == http.MethodGet {
		if c.parameters, err = unflatten(r.URL.RawQuery); err != nil {
			return nil, err
		}
	}
	done, err := a.turn(r.Context(), key.tenant)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx := wire.WithSender(r.Context(), wire.Sender{Name: key.name, Tenant: key.tenant, Proven: true})
	return action(a, ctx, c)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// A writer that has no deadlines is a test's.
	deadline := http.NewResponseController(w)
	_ = deadline.SetReadDeadline(time.Now().Add(bodyDeadline))
	defer func() { _ = deadline.SetReadDeadline(time.Time{}) }()
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
}

// fail answers with an error, and says to the log what its sender cannot mend.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	id := uuid.NewString()
	f, told := errors.AsType[*Error](err)
	if !told {
		f = a.unexpected(r.Context(), err, id)
	}
	action := Action(r)
	if action == "" {
		action = "none" // not the name: anybody could make new series
	}
	a.errors.WithLabelValues(action, f.Code).Inc()
	write(w, &failure{Error: f, RequestID: id})
}

// unexpected is what is told of an error of the store.
func (a *API) unexpected(ctx context.Context, err error, id string) *Error {
	problem, limited := a.reader.Limits().Problem(err)
	switch {
	case limited && problem.Type == limit.TypeBusy:
		return fault(requestLimitExceeded, "%s", problem.Detail)
	case limited:
		return fault(failedOperationQueryError, "%s", problem.Detail)
	case errors.Is(err, read.ErrTooLarge):
		return fault(responseSizeLimitExceeded, "the logs that were asked for are larger than %d MB together: ask for less by Limit", maxAnswer>>20)
	case errors.Is(err, context.Canceled):
		return fault(internalErrorSystem, "the client went away")
	case clickhouse.Retryable(err):
		a.logger.WarnContext(ctx, "query failed", "request_id", id, "error", err)
		return fault(failedOperationQueryError, "the store is not reachable, or is busy: try again")
	}
	a.logger.ErrorContext(ctx, "query failed", "request_id", id, "error", err)
	return fault(internalErrorSystem, "the query failed; the service's log says why")
}

type failure struct {
	Error     *Error `json:"Error"`
	RequestID string `json:"RequestId"`
}

func write(w http.ResponseWriter, answer any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(map[string]any{"Response": answer}) // our own types always encode
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes()) // a client that has gone need not be told
}

package functionhost

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/functionhost/container"
)

// maxAnswer is the largest answer that is passed on, in bytes, as SCF has it.
const maxAnswer = 6 << 20

// exitPatience is how long a broken connection may precede the news that the
// instance's process has ended.
const exitPatience = time.Second

// Request is one invocation.
type Request struct {
	ID      string       // default: a new UUID
	Trigger faas.Trigger // default http for web functions, event for event functions
	Method  string       // default POST with a body, GET without; web functions only
	Path    string       // with the query; default "/"; web functions only
	Header  http.Header
	Body    []byte
}

// Response is how an invocation went. Where there is an error, too, what is
// known of it is filled in.
type Response struct {
	RequestID  string
	Instance   string
	Cold       bool // the request waited for its instance's start, which was not provisioned
	Status     faas.Status
	HTTPStatus int
	Header     http.Header
	Body       []byte
	QueuedAt   time.Time // when Invoke was called
	StartedAt  time.Time // when the request was handed to the instance
	EndedAt    time.Time
}

// Invoke sends a request to a function ("namespace/name") and waits for its
// answer, for an instance if there is none, and for a turn if there may be no
// more. An answer of the function's is no error, whatever its HTTP status.
func (h *Host) Invoke(ctx context.Context, function string, req Request) (Response, error) {
	resp := Response{RequestID: req.ID, QueuedAt: h.clock.now(), Status: faas.StatusError}
	if resp.RequestID == "" {
		resp.RequestID = uuid.NewString()
	}
	fail := func(err error) (Response, error) {
		return resp, fmt.Errorf("invoke %s, request %s: %w", function, resp.RequestID, err)
	}
	h.mu.Lock()
	p, ok := h.functions[function]
	h.mu.Unlock()
	if !ok {
		return fail(ErrUnknownFunction)
	}
	i, err := p.acquire(ctx, resp.RequestID)
	if err != nil {
		return fail(err) // no instance, so there is nothing that events could be about
	}
	defer p.release(i)
	resp.Instance = i.ref.Instance
	v := &invocation{host: h, i: i, resp: &resp, trigger: req.Trigger, bytesIn: int64(len(req.Body))}
	if v.trigger == "" {
		v.trigger = faas.TriggerHTTP
		if p.fn.Kind == KindEvent {
			v.trigger = faas.TriggerEvent
		}
	}
	if err := v.run(ctx, req); err != nil {
		return fail(err)
	}
	return resp, nil
}

// invocation is a request that has a place on an instance.
type invocation struct {
	host    *Host
	i       *instance
	trigger faas.Trigger
	bytesIn int64
	resp    *Response
}

func (v *invocation) run(ctx context.Context, req Request) error {
	select {
	case <-v.i.started:
	case <-ctx.Done():
		v.resp.Cold = v.i.init == faas.OnDemand
		return v.never(faas.StatusCancelled, ctx.Err())
	}
	v.resp.Cold = v.i.init == faas.OnDemand && (v.i.err != nil || v.resp.QueuedAt.Before(v.i.readyAt))
	if v.i.err != nil {
		return v.never(faas.StatusError, v.i.err)
	}
	return v.serve(ctx, req)
}

// never reports an invocation that did not come to be handed over, so that it
// can be looked up nevertheless: it starts and ends now.
func (v *invocation) never(status faas.Status, err error) error {
	v.resp.StartedAt = v.host.clock.now()
	v.started()
	v.ended(v.resp.StartedAt, status, err)
	return err
}

func (v *invocation) started() {
	v.i.report(v.resp.StartedAt, faas.InvocationStarted{RequestID: v.resp.RequestID, Trigger: v.trigger, QueuedAt: v.resp.QueuedAt})
}

func (v *invocation) ended(at time.Time, status faas.Status, err error) {
	v.resp.EndedAt, v.resp.Status = at, status
	d := faas.InvocationEnded{
		RequestID: v.resp.RequestID, StartedAt: v.resp.StartedAt, Status: status, HTTPStatus: v.resp.HTTPStatus,
		Duration: at.Sub(v.resp.StartedAt).Seconds(), BytesIn: v.bytesIn, BytesOut: int64(len(v.resp.Body)),
	}
	if err != nil {
		d.Error = err.Error()
	}
	v.i.report(at, d)
}

func (v *invocation) serve(ctx context.Context, req Request) error {
	r, err := v.request(req)
	if err != nil {
		return v.never(faas.StatusError, err)
	}
	// Lines of the request before must have their stamps before ours.
	if err := v.i.container.Settle(ctx, v.i.pool.lastEnd(v.i)); err != nil {
		return v.never(faas.StatusCancelled, err)
	}
	v.resp.StartedAt = v.host.clock.now()
	v.started()
	limited, cancel := context.WithTimeout(ctx, v.i.pool.fn.Timeout)
	defer cancel()
	err = v.roundTrip(r.WithContext(limited))
	status, err := v.judge(ctx, limited, err)
	// What it wrote before it answered belongs to it.
	v.i.container.Drain()
	v.ended(v.host.clock.now(), status, err)
	if status == faas.StatusOK || v.resp.HTTPStatus != 0 {
		return nil
	}
	return err
}

func (v *invocation) roundTrip(r *http.Request) error {
	answer, err := v.i.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return err
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("the answer is larger than %d bytes", maxAnswer)
	}
	v.resp.HTTPStatus, v.resp.Header, v.resp.Body = answer.StatusCode, answer.Header, body
	return nil
}

// judge says how the invocation went, and recycles the instance if it cannot
// be told what it is doing now.
func (v *invocation) judge(ctx, limited context.Context, err error) (faas.Status, error) {
	if err == nil {
		if v.resp.HTTPStatus >= http.StatusInternalServerError {
			return faas.StatusError, fmt.Errorf("HTTP %d %s", v.resp.HTTPStatus, http.StatusText(v.resp.HTTPStatus))
		}
		return faas.StatusOK, nil
	}
	switch {
	case ctx.Err() != nil:
		// It may still work on the request, and print.
		v.i.pool.recycle(v.i, reasonCancelled)
		return faas.StatusCancelled, ctx.Err()
	case limited.Err() != nil:
		v.i.pool.recycle(v.i, reasonTimeout)
		return faas.StatusTimeout, fmt.Errorf("the function did not answer within %v", v.i.pool.fn.Timeout)
	}
	t := time.NewTimer(exitPatience)
	defer t.Stop()
	select {
	case <-v.i.container.Exited():
		v.i.pool.recycle(v.i, reasonError) // before anybody else gets it
		exit := v.i.container.Exit()
		if exit.OOM {
			return faas.StatusOOM, fmt.Errorf("the function exceeded its memory limit of %d MiB", v.i.pool.fn.MemoryLimit>>20)
		}
		return faas.StatusError, fmt.Errorf("the function's process exited with code %d during the request", exit.Code)
	case <-t.C:
		return faas.StatusError, err
	case <-ctx.Done():
		return faas.StatusCancelled, ctx.Err()
	}
}

// request makes what is sent into the container.
func (v *invocation) request(req Request) (*http.Request, error) {
	fn := &v.i.pool.fn
	method, path := req.Method, req.Path
	if fn.Kind == KindEvent {
		method, path = http.MethodPost, "/event-invoke"
	}
	if method == "" {
		method = http.MethodGet
		if len(req.Body) > 0 {
			method = http.MethodPost
		}
	}
	if path == "" {
		path = "/"
	}
	//nolint:noctx // gets its context when it is sent
	r, err := http.NewRequest(method, "http://localhost:"+strconv.Itoa(container.Port)+path, bytes.NewReader(req.Body))
	if err != nil {
		return nil, fmt.Errorf("bad request: %w", err)
	}
	if req.Header != nil {
		r.Header = req.Header.Clone()
	}
	if fn.Kind == KindEvent && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range map[string]string{
		"X-Scf-Request-Id": v.resp.RequestID, "X-Scf-Name": fn.Name, "X-Scf-Version": fn.Version,
		"X-Scf-Namespace": fn.Namespace, "X-Scf-Memory": strconv.FormatInt(fn.MemoryLimit>>20, 10),
		"X-Scf-Timeout": strconv.FormatInt(fn.Timeout.Milliseconds(), 10), "X-Scf-Region": v.host.cfg.Region,
		"X-Scf-Trigger-Src": string(v.trigger),
	} {
		r.Header.Set(name, value)
	}
	return r, nil
}

func dialInto(c container.Instance) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) { return c.Dial(ctx) }
}

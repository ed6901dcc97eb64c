package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coldscope/coldscope/query/read"
)

// TailPath is where lines are followed: for as long as the client stays, so
// that no turn can be held meanwhile.
const TailPath = Prefix + "/lines/tail"

// How a tail goes.
const (
	tailEvery     = 150 * time.Millisecond // between two looks, at least
	tailLoad      = 8                      // and so many times as long as a look takes
	tailHeartbeat = 10 * time.Second
	tailRetry     = time.Second      // after a look that failed
	tailStall     = 30 * time.Second // for a client that does not read
	tailReach     = 15 * time.Minute // that a lost connection can be made up for
)

// tailSkipped is sent where lines are left out.
type tailSkipped struct {
	Lines *uint64 `json:"lines,omitempty" doc:"How many lines were left out; absent if that is not known"`
}

func (a *API) registerTail() {
	op := operation("tail-lines", "/lines/tail", "Live tail",
		"Lines as they are written, as server-sent events: line (a line as in the answer of search-lines), skipped (lines were left out because the client or the store is too slow), problem (the store cannot be asked; the tail goes on when it can). "+
			"A comment comes every ten seconds. A client that connects again with Last-Event-ID gets what came meanwhile, up to 15 minutes of it; a line may then come twice, file_id and offset tell.", http.StatusTooManyRequests)
	registry := a.huma.OpenAPI().Components.Schemas
	line := registry.Schema(reflect.TypeFor[read.TailedLine](), true, "TailedLine")
	op.Responses = map[string]*huma.Response{"200": {
		Description: "OK", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{
			Type: huma.TypeArray, Items: &huma.Schema{OneOf: []*huma.Schema{
				sseEvent("line", line),
				sseEvent("skipped", registry.Schema(reflect.TypeFor[tailSkipped](), true, "TailSkipped")),
				sseEvent("problem", &huma.Schema{Ref: "#/components/schemas/ErrorModel"}),
			}},
		}}},
	}}
	huma.Register(a.huma, op, a.tail)
}

// sseEvent describes an event of that kind.
func sseEvent(kind string, data *huma.Schema) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"event", "data"},
		Properties: map[string]*huma.Schema{
			"event": {Type: huma.TypeString, Enum: []any{kind}},
			"id":    {Type: huma.TypeString, Description: "For Last-Event-ID"},
			"data":  data,
		},
	}
}

type tailInput struct {
	Owner
	LineFilter
	Lines       int    `query:"lines" minimum:"0" maximum:"1000" default:"0" doc:"How many of the newest lines that are there already come first"`
	LastEventID string `header:"Last-Event-ID" maxLength:"64" doc:"The id of the last event that came, to go on behind it"`
}

// Resolve reports what of the input cannot be read.
func (in *tailInput) Resolve(ctx huma.Context) []error {
	errs := in.LineFilter.Resolve(ctx)
	if in.Until != "" {
		errs = append(errs, &huma.ErrorDetail{Location: "query.until", Message: "a tail has no end", Value: in.Until})
	}
	if _, err := in.resume(); err != nil {
		errs = append(errs, &huma.ErrorDetail{Location: "header.Last-Event-ID", Message: "not an id that a tail gave out", Value: in.LastEventID})
	}
	return errs
}

func (in *tailInput) resume() (uint64, error) {
	if in.LastEventID == "" {
		return 0, nil
	}
	return strconv.ParseUint(in.LastEventID, 36, 64)
}

func (a *API) tail(ctx context.Context, in *tailInput) (*huma.StreamResponse, error) {
	tenant := in.id(ctx)
	leave, err := a.tails.Take(ctx, tenant)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	resume, _ := in.resume() // Resolve has checked it
	f := in.filter(a.now())
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer leave()
		ctx := hctx.Context()
		hctx.SetHeader("Content-Type", "text/event-stream")
		hctx.SetHeader("Cache-Control", "no-store")
		hctx.SetHeader("X-Accel-Buffering", "no") // nginx, do not wait for more
		out := &events{w: hctx.BodyWriter()}
		s := &tailing{api: a, tenant: tenant, tail: a.reader.Tail(tenant, f, resume, a.now()), out: out}
		if err := s.begin(ctx, f, resume, in.Lines); err == nil {
			_ = s.run(ctx) // it ends when the client goes, or the service
		}
	}}, nil
}

// tailing is one client's tail.
type tailing struct {
	api    *API
	tenant string
	tail   *read.Tail
	out    *events
	sick   bool // the client was told that the store cannot be asked
}

// begin sends what comes before the tail proper.
func (s *tailing) begin(ctx context.Context, f read.LineFilter, resume uint64, lines int) error {
	if err := s.out.comment(); err != nil { // the client sees at once that it is served
		return err
	}
	if resume != 0 {
		if s.api.now().Sub(time.Unix(0, int64(min(resume, 1<<63-1)))) > tailReach {
			return s.out.send("skipped", "", tailSkipped{})
		}
		return nil
	}
	if lines == 0 {
		return nil
	}
	done, err := s.api.turns.Take(ctx, s.tenant)
	if err != nil {
		return s.trouble(ctx, err)
	}
	list, err := s.api.reader.Lines(ctx, s.tenant, read.LineQuery{LineFilter: f, Limit: lines})
	done()
	if err != nil {
		return s.trouble(ctx, err)
	}
	for _, l := range slices.Backward(list.Lines) {
		s.tail.Seen(&l)
		if err := s.out.send("line", "", read.TailedLine{FoundLine: l}); err != nil {
			return err
		}
	}
	return s.out.flush()
}

// run looks for lines until the client has gone, or the service ends.
func (s *tailing) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait, err := s.turn(ctx)
		if err != nil {
			return err
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.api.ending:
			return nil
		case <-timer.C:
		}
	}
}

// turn looks once, and says how long to wait before the next look.
func (s *tailing) turn(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	more, err := s.look(ctx)
	wait := max(tailEvery, tailLoad*time.Since(began))
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case errors.Is(err, errGone):
		return 0, err
	case err != nil:
		wait = tailRetry
		if err := s.trouble(ctx, err); err != nil {
			return 0, err
		}
	case more:
		wait = 0
	}
	if time.Since(s.out.last) > tailHeartbeat {
		return wait, s.out.comment()
	}
	return wait, nil
}

// look asks once and sends what came.
func (s *tailing) look(ctx context.Context) (more bool, err error) {
	done, err := s.api.turns.Take(ctx, s.tenant)
	if err != nil {
		return false, err
	}
	lines, left, more, err := s.tail.Next(ctx, s.api.now())
	done()
	if left > 0 {
		if err := s.out.send("skipped", "", tailSkipped{&left}); err != nil {
			return false, err
		}
	}
	if err != nil {
		return false, err
	}
	s.sick = false
	for i := range lines {
		if err := s.out.send("line", strconv.FormatUint(lines[i].Revision, 36), lines[i]); err != nil {
			return false, err
		}
	}
	if len(lines) == 0 && left == 0 {
		return more, nil
	}
	return more, s.out.flush()
}

// trouble tells the client once that the store cannot be asked.
func (s *tailing) trouble(ctx context.Context, err error) error {
	if s.sick {
		return nil
	}
	s.sick = true
	if err := s.out.send("problem", "", model(s.api.problem(ctx, err))); err != nil {
		return err
	}
	return s.out.flush()
}

// errGone means that the client does not take anything any more.
var errGone = errors.New("the client went away")

// events writes server-sent events.
type events struct {
	w    io.Writer
	last time.Time // something was sent
}

func (e *events) send(kind, id string, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	return e.write(fmt.Appendf(nil, "%sevent: %s\ndata: %s\n\n", id, kind, b))
}

func (e *events) comment() error {
	if err := e.write([]byte(":\n\n")); err != nil {
		return err
	}
	return e.flush()
}

func (e *events) write(b []byte) error {
	e.last = time.Now()
	if w, ok := e.w.(http.ResponseWriter); ok {
		_ = http.NewResponseController(w).SetWriteDeadline(e.last.Add(tailStall)) // where there is none, none can be set
	}
	if _, err := e.w.Write(b); err != nil {
		return errGone
	}
	return nil
}

func (e *events) flush() error {
	if w, ok := e.w.(http.ResponseWriter); ok {
		if err := http.NewResponseController(w).Flush(); err != nil {
			return errGone
		}
	}
	return nil
}

package aggregator

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/klauspost/compress/s2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/coldscope/coldscope/aggregator/ingest"
	"github.com/coldscope/coldscope/internal/lambda"
	"github.com/coldscope/coldscope/internal/wire"
)

// The protocols, as metrics name them.
const (
	protocolLoki   = "loki"
	protocolLogs   = "otlp_logs"
	protocolSpans  = "otlp_traces"
	protocolEvents = "events"
	protocolLambda = "lambda"
)

// intake is one protocol over HTTP.
type intake struct {
	endpoint, protocol string // as metrics name them
	// read makes a batch of a body. Its error means that no entry can be taken.
	read func(r *http.Request, tenant string, body []byte) (ingest.Batch, error)
	// answer tells of a batch that is stored, as far as it was not refused.
	answer func(w http.ResponseWriter, r *http.Request, b *ingest.Batch)
	// fail tells why nothing was taken.
	fail func(w http.ResponseWriter, r *http.Request, why *wire.StatusError)
}

// Handler serves the intake alone.
func (a *Aggregator) Handler() http.Handler {
	mux := http.NewServeMux()
	a.Register(mux)
	return mux
}

// Register serves the intake at POST /loki/api/v1/push (protobuf and snappy, or
// JSON), /v1/events (CloudEvents), /v1/logs, /otlp/v1/logs and /v1/traces (OTLP
// in protobuf or JSON), and /v1/lambda/telemetry.
func (a *Aggregator) Register(mux *http.ServeMux) {
	logs := intake{"otlp_logs", protocolLogs, a.readLogs, answerLogs, failOTLP}
	for path, in := range map[string]intake{
		wire.PathPush:   {"push", protocolLoki, a.readPush, answerPlain, failPlain},
		wire.PathEvents: {"events", protocolEvents, readEvents, answerPlain, failPlain},
		lambda.Path:     {"lambda", protocolLambda, a.readLambda, answerPlain, failPlain},
		pathLogs:        logs,
		pathLokiLogs:    logs,
		pathSpans:       {"otlp_traces", protocolSpans, a.readSpans, answerSpans, failOTLP},
	} {
		mux.Handle("POST "+path, a.serve(in))
	}
}

func (a *Aggregator) serve(in intake) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sw := &statusWriter{ResponseWriter: w, code: http.StatusOK}
		tenant := tenantOf(r)
		ctx, span := a.tracer.Start(r.Context(), "aggregator.push", trace.WithSpanKind(trace.SpanKindServer))
		if span.IsRecording() {
			span.SetAttributes(attribute.String("endpoint", in.endpoint), attribute.String("tenant", tenant))
			r = r.WithContext(ctx)
		}
		batch, stay, err := a.receive(sw, r, tenant, in.read)
		if err == nil {
			err = a.take(r.Context(), in.protocol, tenant, &batch, stay)
		}
		stay.leave()
		var why *wire.StatusError
		switch {
		case err == nil:
			in.answer(sw, r, &batch)
		case errors.As(err, &why):
			if why.RetryAfter > 0 {
				seconds := (why.RetryAfter + time.Second - 1) / time.Second
				sw.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
			}
			in.fail(sw, r, why)
		default:
			in.fail(sw, r, &wire.StatusError{Code: http.StatusInternalServerError, Message: err.Error()})
		}
		if span.IsRecording() {
			span.SetAttributes(attribute.Int("http.response.status_code", sw.code))
		}
		endSpan(span, err)
		a.metrics.pushes.WithLabelValues(in.endpoint, strconv.Itoa(sw.code)).Inc()
	})
}

// receive reads a request, which stays until the caller has it leave. Its error
// is a *wire.StatusError.
func (a *Aggregator) receive(w http.ResponseWriter, r *http.Request, tenant string,
	read func(*http.Request, string, []byte) (ingest.Batch, error),
) (ingest.Batch, *stay, error) {
	body, err := a.readBody(w, r)
	defer body.release()
	if err != nil {
		return ingest.Batch{}, nil, refusal(err)
	}
	return a.admitted(r.Context(), body.bytes(), func() (ingest.Batch, error) { return read(r, tenant, body.bytes()) })
}

// admitted reads a body when there is room for what is made of it, which stays until
// the caller has it leave. Its error is a *wire.StatusError.
func (a *Aggregator) admitted(ctx context.Context, body []byte, read func() (ingest.Batch, error)) (batch ingest.Batch, stay *stay, err error) {
	stay, err = a.enter(ctx, body)
	if err == nil {
		batch, err = read()
	}
	if err != nil {
		return ingest.Batch{}, stay, refusal(err)
	}
	return batch, stay, nil
}

// refusal is the answer to a request that was not read.
func refusal(err error) error {
	if errors.Is(err, wire.ErrBusy) {
		return unavailable(err)
	}
	return &wire.StatusError{Code: wire.RefusalCode(err), Message: err.Error()}
}

func (a *Aggregator) readPush(r *http.Request, tenant string, body []byte) (ingest.Batch, error) {
	if mediaType(r) == "application/json" {
		req, err := ingest.ReadJSON(body)
		if err != nil {
			return ingest.Batch{}, err
		}
		return a.decoder.Decode(tenant, req), nil
	}
	if err := a.fits(body); err != nil {
		return ingest.Batch{}, err
	}
	raw, err := wire.InflatePush(body, r.Header.Get("Content-Type"))
	if err != nil {
		return ingest.Batch{}, err
	}
	return a.decoder.DecodeRaw(tenant, raw)
}

// fits refuses a snappy block that inflates to more than is allowed. What is no
// such block is not its business.
func (a *Aggregator) fits(body []byte) error {
	if n, err := s2.DecodedLen(body); err == nil && int64(n) > a.cfg.Ingest.InflatedBytes {
		return fmt.Errorf("%w: %d bytes inflated, at most %d", wire.ErrTooLarge, n, a.cfg.Ingest.InflatedBytes)
	}
	return nil
}

func readEvents(r *http.Request, tenant string, body []byte) (ingest.Batch, error) {
	events, err := wire.ReadEvents(r.Header, body, tenant)
	for i := range events {
		events[i].Tenant = tenant // a sender speaks for the tenant it sends as, and for no other
	}
	return ingest.Events(events), err
}

func (a *Aggregator) readLambda(r *http.Request, tenant string, body []byte) (ingest.Batch, error) {
	ref, err := lambda.RefOf(r)
	if err != nil {
		return ingest.Batch{}, err
	}
	ref.Tenant = tenant // not what the query says: a sender speaks for one tenant
	return a.decoder.Lambda(body, ref)
}

// mediaType is the request's content type without its parameters.
func mediaType(r *http.Request) string {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}

// answerPlain is 204, or as Loki does 400 if some of the entries were refused.
func answerPlain(w http.ResponseWriter, _ *http.Request, b *ingest.Batch) {
	if err := b.Err(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func failPlain(w http.ResponseWriter, _ *http.Request, why *wire.StatusError) {
	http.Error(w, why.Message, why.Code)
}

type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.MaxBytesReader reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

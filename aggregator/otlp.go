package aggregator

import (
	"fmt"
	"net/http"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/coldscope/coldscope/aggregator/ingest"
	"github.com/coldscope/coldscope/internal/wire"
)

// Paths of OTLP over HTTP: its own, and Loki's.
const (
	pathLogs     = "/v1/logs"
	pathLokiLogs = "/otlp/v1/logs"
	pathSpans    = "/v1/traces"
)

const (
	mediaJSON     = "application/json"
	mediaProtobuf = "application/x-protobuf"
)

// inJSON reports whether an OTLP request, and so its answer, is in JSON.
func inJSON(r *http.Request) (bool, error) {
	switch media := mediaType(r); media {
	case mediaJSON:
		return true, nil
	case mediaProtobuf:
		return false, nil
	default:
		return false, fmt.Errorf("%w %q: send %s or %s", wire.ErrMediaType, media, mediaProtobuf, mediaJSON)
	}
}

func (a *Aggregator) readLogs(r *http.Request, tenant string, body []byte) (ingest.Batch, error) {
	json, err := inJSON(r)
	if err != nil {
		return ingest.Batch{}, err
	}
	return a.decodeLogs(tenant, body, json)
}

func (a *Aggregator) decodeLogs(tenant string, body []byte, json bool) (ingest.Batch, error) {
	req, err := ingest.ReadLogs(body, json)
	if err != nil {
		return ingest.Batch{}, err
	}
	return a.decoder.Logs(tenant, req), nil
}

func (a *Aggregator) readSpans(r *http.Request, tenant string, body []byte) (ingest.Batch, error) {
	json, err := inJSON(r)
	if err != nil {
		return ingest.Batch{}, err
	}
	return a.decodeSpans(tenant, body, json)
}

func (a *Aggregator) decodeSpans(tenant string, body []byte, json bool) (ingest.Batch, error) {
	req, err := ingest.ReadSpans(body, json)
	if err != nil {
		return ingest.Batch{}, err
	}
	return a.decoder.Spans(tenant, req), nil
}

// logsResponse says how much of a batch was refused. The sender must not send
// that again.
func logsResponse(b *ingest.Batch) *logspb.ExportLogsServiceResponse {
	resp := new(logspb.ExportLogsServiceResponse)
	if err := b.Err(); err != nil {
		resp.PartialSuccess = &logspb.ExportLogsPartialSuccess{RejectedLogRecords: int64(b.Rejected), ErrorMessage: err.Error()}
	}
	return resp
}

func spansResponse(b *ingest.Batch) *tracepb.ExportTraceServiceResponse {
	resp := new(tracepb.ExportTraceServiceResponse)
	if err := b.Err(); err != nil {
		resp.PartialSuccess = &tracepb.ExportTracePartialSuccess{RejectedSpans: int64(b.Rejected), ErrorMessage: err.Error()}
	}
	return resp
}

func answerLogs(w http.ResponseWriter, r *http.Request, b *ingest.Batch) {
	writeOTLP(w, r, http.StatusOK, logsResponse(b))
}

func answerSpans(w http.ResponseWriter, r *http.Request, b *ingest.Batch) {
	writeOTLP(w, r, http.StatusOK, spansResponse(b))
}

func failOTLP(w http.ResponseWriter, r *http.Request, why *wire.StatusError) {
	writeOTLP(w, r, why.Code, rpcStatus(why).Proto())
}

// writeOTLP answers in the request's encoding.
func writeOTLP(w http.ResponseWriter, r *http.Request, code int, m proto.Message) {
	media, marshal := mediaProtobuf, proto.Marshal
	if json, _ := inJSON(r); json {
		media, marshal = mediaJSON, protojson.Marshal
	}
	out, err := marshal(m)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", media)
	w.WriteHeader(code)
	_, _ = w.Write(out) // the sender went away: it will come back
}

// rpcStatus gives a failure as gRPC has it. RetryInfo is what makes a sender
// come back.
func rpcStatus(why *wire.StatusError) *status.Status {
	code := codes.Internal
	switch why.Code {
	case http.StatusBadRequest, http.StatusUnsupportedMediaType:
		code = codes.InvalidArgument
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		code = codes.ResourceExhausted
	case http.StatusServiceUnavailable:
		code = codes.Unavailable
	}
	s := status.New(code, why.Message)
	if why.RetryAfter == 0 {
		return s
	}
	detailed, err := s.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(max(why.RetryAfter, time.Second))})
	if err != nil {
		return s
	}
	return detailed
}

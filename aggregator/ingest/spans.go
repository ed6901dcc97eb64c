package ingest

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// Spans reads an OTLP request of tenant. Spans that are a function's
// invocations become events; all others say nothing to us.
func (d *Decoder) Spans(tenant string, req *tracepb.ExportTraceServiceRequest) Batch {
	b := d.batch(tenant)
	for _, r := range req.ResourceSpans {
		of := labelsOf(r.GetResource().GetAttributes())
		for _, s := range r.ScopeSpans {
			for _, span := range s.Spans {
				if !d.cfg.FaaSSpans || !serves(span) {
					b.Ignored++
					continue
				}
				facts := spanFacts(append(labelsOf(span.Attributes), of...))
				if facts.get("faas.invocation_id") == "" {
					b.Ignored++
				} else if refused := b.span(facts, span); refused != nil {
					b.reject(1, refused)
				}
			}
		}
	}
	return b.Batch
}

func serves(s *trace.Span) bool {
	return s.Kind == trace.Span_SPAN_KIND_SERVER || s.Kind == trace.Span_SPAN_KIND_CONSUMER
}

// spanFacts are a span's attributes, then those of its resource.
type spanFacts []wire.Label

// get gives the value of the first of the names that there is.
func (f spanFacts) get(names ...string) string {
	for _, name := range names {
		for i := range f {
			if f[i].Name == name && f[i].Value != "" {
				return f[i].Value
			}
		}
	}
	return ""
}

// span makes an invocation's events.
func (b *batch) span(facts spanFacts, s *trace.Span) *refusal {
	from, refused := b.sender(facts)
	if refused != nil {
		return refused
	}
	if from.ref.Instance == "" {
		return refuse(ReasonNoInstance, "span %s: nothing names the instance: set faas.instance", hex.EncodeToString(s.SpanId))
	}
	start, end := time.Unix(0, int64(s.StartTimeUnixNano)).UTC(), time.Unix(0, int64(s.EndTimeUnixNano)).UTC()
	for _, t := range []time.Time{start, end} {
		if refused := b.checkTime(t); refused != nil {
			return refused
		}
	}
	id := facts.get("faas.invocation_id")
	switch {
	case len(s.TraceId) == 0 || len(s.SpanId) == 0:
		return refuse(ReasonMalformed, "a span has no IDs")
	case len(id) > b.limits.LabelValueBytes:
		return refuse(ReasonAttributes, "faas.invocation_id is longer than %d bytes", b.limits.LabelValueBytes)
	case end.Before(start):
		return refuse(ReasonMalformed, "span %s ends before it starts", hex.EncodeToString(s.SpanId))
	}
	event := faas.Event{
		ID:     hex.EncodeToString(s.TraceId) + "-" + hex.EncodeToString(s.SpanId) + "/started",
		Source: "otlp/" + from.ref.Namespace + "/" + from.ref.Function, Time: start, Ref: from.ref,
		Data: faas.InvocationStarted{
			RequestID: id, Trigger: trigger(facts), QueuedAt: queued(facts, start), ColdStart: facts.get("faas.coldstart") == "true",
		},
	}
	ended := event
	ended.ID, ended.Time = strings.TrimSuffix(event.ID, "started")+"ended", end
	ended.Data = invocationEnded(facts, s, id, start)
	b.Accepted++
	b.Bytes += 2 * eventBytes
	b.Events = append(b.Events, event, ended)
	return nil
}

// queued is when the platform took the request in, if the span says so.
func queued(facts spanFacts, start time.Time) time.Time {
	t, err := time.Parse(time.RFC3339Nano, facts.get("faas.time"))
	if err != nil || t.After(start) || !faas.Storable(t) {
		return time.Time{}
	}
	return t.UTC()
}

func trigger(facts spanFacts) faas.Trigger {
	switch facts.get("faas.trigger") {
	case "http":
		return faas.TriggerHTTP
	case "timer":
		return faas.TriggerTimer
	case "pubsub", "datasource":
		return faas.TriggerEvent
	case "":
		if facts.get("http.request.method", "http.method") == "" {
			return ""
		}
		return faas.TriggerHTTP
	}
	return faas.TriggerOther
}

// maxError is the longest error that is taken of a span, in bytes.
const maxError = 1024

func invocationEnded(facts spanFacts, s *trace.Span, id string, start time.Time) faas.InvocationEnded {
	d := faas.InvocationEnded{RequestID: id, StartedAt: start, Status: faas.StatusOK}
	if code, err := strconv.Atoi(facts.get("http.response.status_code", "http.status_code")); err == nil && code >= 100 && code <= 999 {
		d.HTTPStatus = code
	}
	kind := facts.get("error.type")
	if s.GetStatus().GetCode() != trace.Status_STATUS_CODE_ERROR && d.HTTPStatus < 500 {
		return d
	}
	d.Status = faas.StatusError
	if strings.Contains(strings.ToLower(kind), "timeout") {
		d.Status = faas.StatusTimeout
	}
	d.Error = s.GetStatus().GetMessage()
	if d.Error == "" {
		d.Error = kind
	}
	d.Error = valid(d.Error[:min(len(d.Error), maxError)])
	return d
}

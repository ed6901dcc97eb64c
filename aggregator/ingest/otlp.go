package ingest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// ReadLogs reads an OTLP request of logs in protobuf or in JSON.
func ReadLogs(body []byte, json bool) (*logspb.ExportLogsServiceRequest, error) {
	req := new(logspb.ExportLogsServiceRequest)
	if err := readOTLP(body, json, req); err != nil {
		return nil, err
	}
	if !json {
		return req, nil
	}
	for _, r := range req.ResourceLogs {
		for _, s := range r.ScopeLogs {
			for _, l := range s.LogRecords {
				l.TraceId, l.SpanId = hexID(l.TraceId), hexID(l.SpanId)
			}
		}
	}
	return req, nil
}

// ReadSpans reads an OTLP request of spans in protobuf or in JSON.
func ReadSpans(body []byte, json bool) (*tracepb.ExportTraceServiceRequest, error) {
	req := new(tracepb.ExportTraceServiceRequest)
	if err := readOTLP(body, json, req); err != nil {
		return nil, err
	}
	if !json {
		return req, nil
	}
	for _, r := range req.ResourceSpans {
		for _, s := range r.ScopeSpans {
			for _, l := range s.Spans {
				l.TraceId, l.SpanId = hexID(l.TraceId), hexID(l.SpanId)
			}
		}
	}
	return req, nil
}

func readOTLP(body []byte, json bool, into proto.Message) error {
	read := proto.Unmarshal
	if json {
		read = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal
	}
	if err := read(body, into); err != nil {
		return fmt.Errorf("not an OTLP request: %w", err)
	}
	return nil
}

// hexID repairs an ID: OTLP's JSON has it in hexadecimal, where protobuf's JSON
// has base64.
func hexID(id []byte) []byte {
	repaired, err := hex.DecodeString(base64.StdEncoding.EncodeToString(id))
	if err != nil {
		return nil
	}
	return repaired
}

// Logs reads an OTLP request of tenant. The good records count although others
// are refused.
func (d *Decoder) Logs(tenant string, req *logspb.ExportLogsServiceRequest) Batch {
	b := d.batch(tenant)
	for _, r := range req.ResourceLogs {
		for _, s := range r.ScopeLogs {
			from, refused := b.scope(r.Resource, s.Scope)
			if refused != nil {
				b.reject(len(s.LogRecords), refused)
				continue
			}
			for _, l := range s.LogRecords {
				if refused := b.record(from, l); refused != nil {
					b.reject(1, refused)
				}
			}
		}
	}
	return b.Batch
}

// scope reads whose a resource's records are.
func (b *batch) scope(r *resource.Resource, s *common.InstrumentationScope) (*sender, *refusal) {
	labels := labelsOf(r.GetAttributes())
	if len(labels) > b.limits.Attributes {
		return nil, refuse(ReasonAttributes, "the resource has %d attributes, at most %d", len(labels), b.limits.Attributes)
	}
	id := xxhash.New()
	for _, l := range labels {
		_, _ = fmt.Fprintf(id, "%q=%q,", l.Name, l.Value)
	}
	from, refused := b.sender(labels)
	if refused != nil {
		return nil, refused
	}
	if from.stream == faas.Platform {
		return nil, refuse(ReasonLabels, "events of the platform are not logs: send them to %s", wire.PathEvents)
	}
	b.own = b.own[:0]
	for _, l := range labelsOf(s.GetAttributes()) {
		b.own = append(b.own, faas.Attribute{Key: l.Name, Value: l.Value})
	}
	for _, l := range []wire.Label{{Name: "otel.scope.name", Value: s.GetName()}, {Name: "otel.scope.version", Value: s.GetVersion()}} {
		if l.Value != "" {
			b.own = append(b.own, faas.Attribute{Key: l.Name, Value: l.Value})
		}
	}
	from.attributes, refused = b.attributes(from.attributes)
	from.id = id.Sum64()
	return from, refused
}

// labelsOf gives attributes as labels.
func labelsOf(attributes []*common.KeyValue) []wire.Label {
	labels := make([]wire.Label, 0, len(attributes))
	for _, a := range attributes {
		labels = append(labels, wire.Label{Name: a.GetKey(), Value: text(a.GetValue())})
	}
	return labels
}

// record reads one line.
func (b *batch) record(from *sender, r *logs.LogRecord) *refusal {
	at := r.TimeUnixNano
	if at == 0 {
		at = r.ObservedTimeUnixNano
	}
	t := time.Unix(0, int64(at)).UTC()
	if at == 0 {
		return refuse(ReasonTime, "a record has neither time_unix_nano nor observed_time_unix_nano")
	}
	if refused := b.checkTime(t); refused != nil {
		return refused
	}
	l := faas.Line{
		Ref: from.ref, Time: t, Stream: from.stream, Body: text(r.Body), Host: from.host,
		Severity: from.severity, Attributes: from.attributes,
	}
	place, refused := b.recordAttributes(&l, r)
	if refused != nil {
		return refused
	}
	l.FileID, l.Offset = from.derivePosition(&l, place)
	b.add(&l)
	return nil
}

// recordAttributes fills what a record says beside its text. place is where it
// is in its file, if its sender read one.
func (b *batch) recordAttributes(l *faas.Line, r *logs.LogRecord) (place string, refused *refusal) {
	b.own = b.own[:0]
	for _, a := range r.Attributes {
		name, value := a.GetKey(), text(a.GetValue())
		switch name {
		case "log.iostream":
			if l.Stream, refused = parseStreamName(value); refused != nil || l.Stream == faas.Platform {
				return "", refuse(ReasonLabels, "attribute log.iostream is %.40q, want stdout or stderr", value)
			}
			continue
		case "log.file.path", "log.file.record_offset", "log.file.record_number":
			place += "\x00" + value
		}
		if err := b.describe(l, name, value); err != nil {
			return "", refuse(ReasonAttributes, "attribute %s: %w", name, err)
		}
	}
	if r.EventName != "" {
		b.own = append(b.own, faas.Attribute{Key: "event.name", Value: r.EventName})
	}
	if id := traceID(hex.EncodeToString(r.TraceId), 16); id != "" {
		l.TraceID = id
	}
	if id := traceID(hex.EncodeToString(r.SpanId), 8); id != "" {
		l.SpanID = id
	}
	b.severity(l, r)
	if len(b.own) > 0 {
		l.Attributes, refused = b.attributes(l.Attributes)
	}
	return place, refused
}

// severity takes a record's severity: the number, else what its text says. A
// text that says more is kept.
func (b *batch) severity(l *faas.Line, r *logs.LogRecord) {
	const last = faas.SeverityFatal + 3
	if n := r.SeverityNumber; n > 0 && n <= logs.SeverityNumber(last) {
		l.Severity = faas.Severity(n)
	} else if s := severityOf("severity_text", r.SeverityText); s != 0 {
		l.Severity = s
	}
	if r.SeverityText != "" && !strings.EqualFold(r.SeverityText, l.Severity.String()) {
		b.own = append(b.own, faas.Attribute{Key: "severity_text", Value: r.SeverityText})
	}
}

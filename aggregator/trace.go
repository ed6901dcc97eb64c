package aggregator

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// trace adds what was done for several submissions at once, from started until
// now, to the trace of each that has one.
func (m *merger) trace(all []*submission, what string, started time.Time, err error, attributes ...attribute.KeyValue) {
	for _, s := range all {
		if !s.span.IsRecording() {
			continue
		}
		ctx := trace.ContextWithSpan(context.Background(), s.span) //nolint:forbidigo // only the span's parent is in it
		_, span := m.tracer.Start(ctx, what, trace.WithTimestamp(started), trace.WithAttributes(attributes...))
		endSpan(span, err)
	}
}

func endSpan(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

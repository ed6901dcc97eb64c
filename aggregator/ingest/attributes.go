package ingest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// describe takes what a line's metadata, or its OTLP attribute, says: a fact
// that has its place in a line, else one of the line's own attributes.
func (b *batch) describe(l *faas.Line, name, value string) error {
	switch name {
	case wire.MetaRequestID, "faas_invocation_id", "faas.invocation_id":
		if len(value) > b.limits.LabelValueBytes {
			return fmt.Errorf("longer than %d bytes", b.limits.LabelValueBytes)
		}
		if l.RequestID == "" || name != wire.MetaRequestID {
			l.RequestID = value
		}
		return nil
	case "trace_id":
		if id := traceID(value, 16); id != "" {
			l.TraceID = id
			return nil
		}
	case "span_id":
		if id := traceID(value, 8); id != "" {
			l.SpanID = id
			return nil
		}
	default:
		if !isLevel(name) {
			break
		}
		if s := severityOf(name, value); s != 0 {
			if name != "detected_level" || l.Severity == 0 { // what Loki or its senders guessed
				l.Severity = s
			}
			return nil
		}
	}
	if value != "" {
		b.own = append(b.own, faas.Attribute{Key: name, Value: value})
	}
	return nil
}

// attributes joins a line's own attributes, which count, with those of its
// sender, and forgets the own ones.
func (b *batch) attributes(of []faas.Attribute) ([]faas.Attribute, *refusal) {
	all := make([]faas.Attribute, 0, len(b.own)+len(of))
	for _, list := range [][]faas.Attribute{b.own, of} {
		for _, a := range list {
			if len(a.Key) > b.limits.LabelNameBytes {
				return nil, refuse(ReasonAttributes, "attribute %.40s…: its name is longer than %d bytes", a.Key, b.limits.LabelNameBytes)
			}
			if len(all) == b.limits.Attributes {
				return nil, refuse(ReasonAttributes, "more than %d attributes (structured metadata)", b.limits.Attributes)
			}
			if !slices.ContainsFunc(all, func(o faas.Attribute) bool { return o.Key == a.Key }) {
				all = append(all, faas.Attribute{Key: valid(a.Key), Value: valid(a.Value)})
			}
		}
	}
	if n := attributeBytes(all); n > b.limits.AttributeBytes {
		return nil, refuse(ReasonAttributes, "%d bytes of attributes (structured metadata), at most %d", n, b.limits.AttributeBytes)
	}
	return all, nil
}

func attributeBytes(attributes []faas.Attribute) (n int) {
	for i := range attributes {
		n += len(attributes[i].Key) + len(attributes[i].Value)
	}
	return n
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// traceID gives an ID of so many bytes in lower case, empty if it is none.
func traceID(s string, size int) string {
	if len(s) != 2*size || strings.Trim(s, "0123456789abcdefABCDEF") != "" || strings.Trim(s, "0") == "" {
		return ""
	}
	return strings.ToLower(s)
}

// isLevel reports whether a label or an attribute of that name is a severity.
func isLevel(name string) bool {
	switch name {
	case "level", "severity", "severity_text", "severity_number", "detected_level":
		return true
	}
	return false
}

// severityOf reads the levels that senders write under the given name; 0 if it
// is none.
func severityOf(name, text string) faas.Severity {
	if name == "severity_number" {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil || n > uint64(faas.SeverityFatal+3) {
			return faas.SeverityUnknown
		}
		return faas.Severity(n)
	}
	return faas.ParseSeverity(text)
}

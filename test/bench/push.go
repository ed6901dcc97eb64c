package main

import (
	"fmt"
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/wire"
)

// pushBuilder puts a push together, each stream once.
type pushBuilder struct {
	req     push.PushRequest
	streams map[string]int
}

// line adds a line with structured metadata, given as names and values.
func (b *pushBuilder) line(labels string, at time.Time, text []byte, metadata ...string) {
	entry := push.Entry{Timestamp: at, Line: string(text)}
	for i := 0; i < len(metadata); i += 2 {
		entry.StructuredMetadata = append(entry.StructuredMetadata, push.LabelAdapter{Name: metadata[i], Value: metadata[i+1]})
	}
	b.add(labels, entry)
}

func (b *pushBuilder) event(text string, at time.Time) {
	b.add(`{stream="platform"}`, push.Entry{Timestamp: at, Line: text})
}

func (b *pushBuilder) add(labels string, entry push.Entry) {
	if b.streams == nil {
		b.streams = map[string]int{}
	}
	n, there := b.streams[labels]
	if !there {
		n = len(b.req.Streams)
		b.streams[labels] = n
		b.req.Streams = append(b.req.Streams, push.Stream{Labels: labels})
	}
	b.req.Streams[n].Entries = append(b.req.Streams[n].Entries, entry)
}

func (b *pushBuilder) encode() ([]byte, error) { return wire.EncodePush(&b.req) }

// Whose lines probes are: each has an instance of its own.
const probeFunction = "probe"

func probeInstance(id string) string { return "probe-instance-" + id }

// probe is a push of one line that names its request, and that request's start.
func probe(n int) (body []byte, id string, err error) {
	now := time.Now()
	s := newSender(1, true)
	s.events = 1<<40 + n // other IDs than those of the load
	id = fmt.Sprintf("probe-%d-%d", now.UnixNano(), n)
	r := &sentRequest{id: id, function: probeFunction, started: now}
	var b pushBuilder
	s.event(&b, now, r, probeInstance(id), "dev.coldscope.invocation.started", `"trigger":"http"`)
	b.line(`{function="`+probeFunction+`", host="bench-host", instance="`+probeInstance(id)+`", namespace="`+benchNamespace+`", stream="stdout", version="1"}`,
		now.Add(time.Millisecond), []byte("probe RequestId: "+id), wire.MetaFileID, wire.FormatFileID(1), wire.MetaOffset, "0")
	body, err = b.encode()
	return body, id, err
}

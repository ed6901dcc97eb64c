// Package ingest turns what senders push into lines and events of the domain,
// and refuses what can never be stored.
package ingest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/lambda"
	"github.com/coldscope/coldscope/internal/wire"
)

// Reason is why an entry was refused: a label of metrics.
type Reason string

// The reasons.
const (
	ReasonMalformed  Reason = "malformed"   // cannot be read
	ReasonNoFunction Reason = "no_function" // nothing says whose it is
	ReasonNoInstance Reason = "no_instance" // an invocation of nobody
	ReasonTime       Reason = "time"        // outside 1970 to 2262
	ReasonTooOld     Reason = "too_old"
	ReasonTooNew     Reason = "too_new"
	ReasonLabels     Reason = "labels"     // over a limit
	ReasonAttributes Reason = "attributes" // over a limit
)

// Reasons are all of them.
var Reasons = []Reason{
	ReasonMalformed, ReasonNoFunction, ReasonNoInstance, ReasonTime, ReasonTooOld, ReasonTooNew, ReasonLabels, ReasonAttributes,
}

// Batch is what one push holds.
type Batch struct {
	Lines    []faas.Line
	Events   []faas.Event
	Accepted int            // entries of which Lines and Events are made
	Bytes    int            // of bodies, attributes and events
	Ignored  int            // entries that say nothing to us
	Rejected int            // entries that can never be stored
	Reasons  map[Reason]int // of the rejected ones
	Reason   error          // why the first of them was refused
}

// Err says how many entries were refused and why, nil if none was.
func (b *Batch) Err() error {
	if b.Rejected == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d entries refused; the first: %w", b.Rejected, b.Rejected+b.Accepted, b.Reason)
}

// refusal is an error and its class.
type refusal struct {
	reason Reason
	error
}

func refuse(reason Reason, format string, args ...any) *refusal {
	return &refusal{reason, fmt.Errorf(format, args...)}
}

func (b *Batch) reject(n int, why *refusal) {
	if n == 0 {
		return
	}
	b.Rejected += n
	if b.Reasons == nil {
		b.Reasons, b.Reason = map[Reason]int{}, why.error
	}
	b.Reasons[why.reason] += n
}

// Decoder makes batches of what senders push. It is safe for concurrent use.
type Decoder struct {
	cfg    Config
	uses   map[string][]use // by label
	known  senders
	lambda *lambda.Decoder
}

// NewDecoder makes a Decoder of a valid configuration.
func NewDecoder(cfg Config) *Decoder {
	return &Decoder{cfg: cfg, uses: cfg.Labels.uses(), lambda: lambda.NewDecoder()}
}

// batch is one that is being filled.
type batch struct {
	Batch
	*Decoder
	tenant         string
	limits         Limits
	oldest, newest time.Time        // zero: no limit
	own            []faas.Attribute // of the line that is being read
	from           sender           // of the stream that is being read
}

func (d *Decoder) batch(tenant string) *batch {
	b := &batch{Decoder: d, tenant: tenant, limits: d.cfg.limits(tenant)}
	now := time.Now()
	if b.limits.RejectOlder > 0 {
		b.oldest = now.Add(-b.limits.RejectOlder)
	}
	if b.limits.RejectNewer > 0 {
		b.newest = now.Add(b.limits.RejectNewer)
	}
	return b
}

// Decode reads a Loki push of tenant. As in Loki, the good entries of a push
// count although others are refused.
func (d *Decoder) Decode(tenant string, req *push.PushRequest) Batch {
	b := d.batch(tenant)
	entries := 0
	for n := range req.Streams {
		entries += len(req.Streams[n].Entries)
	}
	b.Lines = make([]faas.Line, 0, entries)
	for n := range req.Streams {
		s := &req.Streams[n]
		from, err := b.stream(s.Labels)
		if err != nil {
			b.reject(len(s.Entries), err)
			continue
		}
		for k := range s.Entries {
			if from.stream == faas.Platform {
				b.event(&s.Entries[k])
			} else {
				b.line(from, &s.Entries[k])
			}
		}
	}
	return b.Batch
}

func (b *batch) event(entry *push.Entry) {
	e, err := wire.DecodeEvent([]byte(entry.Line), b.tenant)
	if err != nil {
		b.reject(1, &refusal{ReasonMalformed, err})
		return
	}
	e.Tenant = b.tenant // a sender speaks for the tenant it pushes as, and for no other
	b.Accepted++
	b.Bytes += len(entry.Line)
	b.Events = append(b.Events, e)
}

func (b *batch) line(from *sender, entry *push.Entry) {
	if err := b.checkTime(entry.Timestamp); err != nil {
		b.reject(1, err)
		return
	}
	l := b.next()
	l.Ref, l.Host, l.Stream, l.Severity, l.Attributes = from.ref, from.host, from.stream, from.severity, from.attributes
	l.Time, l.Body = entry.Timestamp.UTC(), entry.Line
	positioned, err := b.readMetadata(l, entry.StructuredMetadata)
	if err != nil {
		*l = faas.Line{}
		b.Lines = b.Lines[:len(b.Lines)-1]
		b.reject(1, err)
		return
	}
	if !positioned {
		l.FileID, l.Offset = from.derivePosition(l, "")
	}
	b.take(l)
}

// next makes a place for a line, an empty one, at the end of the others. A line
// is large: it is filled where it stays.
func (b *batch) next() *faas.Line {
	if len(b.Lines) < cap(b.Lines) {
		b.Lines = b.Lines[:len(b.Lines)+1]
	} else {
		b.Lines = append(b.Lines, faas.Line{})
	}
	return &b.Lines[len(b.Lines)-1]
}

// checkTime refuses a line of time t if that is needed.
func (b *batch) checkTime(t time.Time) *refusal {
	switch {
	case !faas.Storable(t):
		return refuse(ReasonTime, "timestamp %s is outside 1970 to 2262", t.UTC())
	case t.Before(b.oldest):
		return refuse(ReasonTooOld, "timestamp %s is too old, at most %s are accepted", t.UTC(), b.limits.RejectOlder)
	case !b.newest.IsZero() && t.After(b.newest):
		return refuse(ReasonTooNew, "timestamp %s is more than %s in the future: compare the clocks", t.UTC(), b.limits.RejectNewer)
	}
	return nil
}

// add takes a line whose body may still be too long or no UTF-8.
func (b *batch) add(l *faas.Line) {
	mine := b.next()
	*mine = *l
	b.take(mine)
}

// take is add for the line that is the last one already.
func (b *batch) take(l *faas.Line) {
	if over := len(l.Body) - b.limits.LineBytes; over > 0 {
		l.Body, l.Truncated = l.Body[:b.limits.LineBytes], l.Truncated+uint64(over)
	}
	if !utf8.ValidString(l.Body) {
		l.Body = strings.ToValidUTF8(l.Body, "\uFFFD")
	}
	b.Accepted++
	b.Bytes += len(l.Body) + attributeBytes(l.Attributes)
}

// readMetadata fills what an entry's structured metadata says. positioned
// tells whether the sender named the line's place in its file.
func (b *batch) readMetadata(l *faas.Line, meta []push.LabelAdapter) (positioned bool, refused *refusal) {
	var file, offset bool
	var err error
	b.own = b.own[:0]
	for _, m := range meta {
		switch m.Name {
		case wire.MetaFileID:
			l.FileID, err = strconv.ParseUint(m.Value, 16, 64)
			file = true
		case wire.MetaOffset:
			l.Offset, err = strconv.ParseUint(m.Value, 10, 64)
			offset = true
		case wire.MetaTruncated:
			l.Truncated, err = strconv.ParseUint(m.Value, 10, 64)
		default:
			err = b.describe(l, m.Name, m.Value)
		}
		if err != nil {
			return false, refuse(ReasonMalformed, "structured metadata %s: %w", m.Name, err)
		}
	}
	if len(b.own) > 0 {
		l.Attributes, refused = b.attributes(l.Attributes)
	}
	return file && offset, refused
}

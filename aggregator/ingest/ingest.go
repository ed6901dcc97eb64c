// Package ingest turns what senders push into lines and events of the domain,
// and refuses what can never be stored.
package ingest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// Limits of one line and of one label's value, in bytes. Longer lines are cut
// and marked, longer values are refused.
const (
	MaxLineBytes  = 1 << 20
	MaxLabelBytes = 2048
)

// Batch is what one push holds.
type Batch struct {
	Lines    []faas.Line
	Events   []faas.Event
	Bytes    int   // of bodies and events
	Rejected int   // entries that can never be stored
	Reason   error // why the first of them was refused
}

// Err says how many entries were refused and why, nil if none was.
func (b *Batch) Err() error {
	if b.Rejected == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d entries refused; the first: %w", b.Rejected, b.Rejected+len(b.Lines)+len(b.Events), b.Reason)
}

func (b *Batch) reject(n int, err error) {
	b.Rejected += n
	if b.Reason == nil {
		b.Reason = err
	}
}

// Decode reads a Loki push of tenant. As in Loki, the good entries of a push
// count although others are refused.
func Decode(tenant string, req *push.PushRequest) Batch {
	var b Batch
	entries := 0
	for n := range req.Streams {
		entries += len(req.Streams[n].Entries)
	}
	b.Lines = make([]faas.Line, 0, entries)
	for n := range req.Streams {
		s := &req.Streams[n]
		from, err := parseStream(tenant, s.Labels)
		if err != nil {
			b.reject(len(s.Entries), err)
			continue
		}
		for k := range s.Entries {
			if from.stream == faas.Platform {
				b.event(tenant, &s.Entries[k])
			} else {
				b.line(from, &s.Entries[k])
			}
		}
	}
	return b
}

func (b *Batch) event(tenant string, entry *push.Entry) {
	e, err := wire.DecodeEvent([]byte(entry.Line), tenant)
	if err != nil {
		b.reject(1, err)
		return
	}
	e.Tenant = tenant // a sender speaks for the tenant it pushes as, and for no other
	b.Bytes += len(entry.Line)
	b.Events = append(b.Events, e)
}

func (b *Batch) line(from *sender, entry *push.Entry) {
	if !faas.Storable(entry.Timestamp) {
		b.reject(1, fmt.Errorf("timestamp %s is outside 1970 to 2262", entry.Timestamp.UTC()))
		return
	}
	l := faas.Line{Ref: from.ref, Time: entry.Timestamp.UTC(), Stream: from.stream, Body: entry.Line, Host: from.host}
	positioned, err := readMetadata(&l, entry.StructuredMetadata)
	if err != nil {
		b.reject(1, err)
		return
	}
	if !positioned {
		l.FileID, l.Offset = from.derivePosition(&l)
	}
	if over := len(l.Body) - MaxLineBytes; over > 0 {
		l.Body, l.Truncated = l.Body[:MaxLineBytes], l.Truncated+uint64(over)
	}
	if !utf8.ValidString(l.Body) {
		l.Body = strings.ToValidUTF8(l.Body, "\uFFFD")
	}
	b.Bytes += len(l.Body)
	b.Lines = append(b.Lines, l)
}

// readMetadata fills what an entry's structured metadata says. positioned
// tells whether the sender named the line's place in its file.
func readMetadata(l *faas.Line, meta []push.LabelAdapter) (positioned bool, err error) {
	var file, offset bool
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
		case wire.MetaRequestID:
			if len(m.Value) > MaxLabelBytes {
				err = fmt.Errorf("longer than %d bytes", MaxLabelBytes)
			}
			l.RequestID = m.Value
		}
		if err != nil {
			return false, fmt.Errorf("structured metadata %s: %w", m.Name, err)
		}
	}
	return file && offset, nil
}

// sender is whose lines a stream holds.
type sender struct {
	ref      faas.Ref
	stream   faas.Stream
	host     string
	id       uint64            // hash of all its labels
	ordinals map[uint64]uint64 // lines seen by hash, for those without a position
}

// functionLabels are the labels that name a function for senders that don't
// know ours, in the order of Loki's own discovery of a service's name.
var functionLabels = []string{
	wire.LabelFunction, "service_name", "service", "app", "application", "name", "app_kubernetes_io_name",
	"container", "container_name", "component", "workload", "job",
}

var errNoFunction = errors.New("no label names the function: set " + wire.LabelFunction)

func parseStream(tenant, text string) (*sender, error) {
	labels, err := wire.ParseLabels(text)
	if err != nil {
		return nil, err
	}
	s := &sender{ref: faas.Ref{Tenant: tenant}, stream: faas.Stdout, id: xxhash.Sum64String(text)}
	named := len(functionLabels)
	for _, l := range labels {
		if len(l.Value) > MaxLabelBytes || !utf8.ValidString(l.Value) {
			return nil, fmt.Errorf("label %s: longer than %d bytes or not UTF-8", l.Name, MaxLabelBytes)
		}
		switch l.Name {
		case wire.LabelNamespace:
			s.ref.Namespace = strings.Clone(l.Value) // else it would keep the whole push
		case wire.LabelVersion:
			s.ref.Version = strings.Clone(l.Value)
		case wire.LabelInstance:
			s.ref.Instance = strings.Clone(l.Value)
		case wire.LabelHost:
			s.host = strings.Clone(l.Value)
		case wire.LabelStream:
			s.stream = faas.Stream(l.Value)
		}
		for rank := range named {
			if l.Name == functionLabels[rank] && l.Value != "" {
				s.ref.Function, named = strings.Clone(l.Value), rank
				break
			}
		}
	}
	switch s.stream {
	case faas.Stdout, faas.Stderr:
	case faas.Platform:
		return s, nil // an event says itself whose it is
	default:
		return nil, fmt.Errorf("label %s is %q, want stdout, stderr or platform", wire.LabelStream, s.stream)
	}
	if s.ref.Function == "" {
		return nil, errNoFunction
	}
	return s, nil
}

// derivePosition names a line whose sender gave no position: by the stream's
// labels, the line's time and text, and its ordinal among equal ones of the
// push. The same push sent again gives the same names.
func (s *sender) derivePosition(l *faas.Line) (fileID, offset uint64) {
	h := xxhash.New()
	_, _ = h.WriteString(l.Body) // never fails
	_, _ = h.WriteString(strconv.FormatInt(l.Time.UnixNano(), 10))
	sum := h.Sum64()
	if s.ordinals == nil {
		s.ordinals = map[uint64]uint64{}
	}
	n := s.ordinals[sum]
	s.ordinals[sum]++
	return s.id, sum + n
}

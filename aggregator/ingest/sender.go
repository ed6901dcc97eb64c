package ingest

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// sender is whose lines a stream, or an OTLP scope, holds.
type sender struct {
	ref        faas.Ref
	stream     faas.Stream
	host       string
	severity   faas.Severity
	attributes []faas.Attribute // what its labels say beside that; of all its lines
	id         uint64           // hash of all its labels
	seen       ordinals         // lines without a position
}

// fact is what a label may name.
type fact int

const (
	factFunction fact = iota
	factNamespace
	factVersion
	factInstance
	factHost
	factStream
	facts // how many there are
)

// use is a label's: it names a fact unless another one of a lower rank does.
type use struct {
	fact fact
	rank int
}

// uses gives the labels of each fact: Coldscope's own one, which collectors
// send, then those of l.
func (l *Labels) uses() map[string][]use {
	uses := map[string][]use{}
	for f, of := range [facts]struct {
		own    string
		others []string
	}{
		factFunction: {wire.LabelFunction, l.Function}, factNamespace: {wire.LabelNamespace, l.Namespace},
		factVersion: {wire.LabelVersion, l.Version}, factInstance: {wire.LabelInstance, l.Instance},
		factHost: {wire.LabelHost, l.Host}, factStream: {wire.LabelStream, l.Stream},
	} {
		uses[of.own] = append(uses[of.own], use{fact(f), -1})
		for rank, name := range of.others {
			uses[name] = append(uses[name], use{fact(f), rank})
		}
	}
	return uses
}

// named says which label names each fact.
type named [facts]struct {
	rank  int
	label int // its index plus one; 0: none
}

// find gives, for each fact, the label that names it.
func (d *Decoder) find(labels []wire.Label) (n named) {
	for i := range labels {
		if labels[i].Value == "" {
			continue
		}
		for _, u := range d.uses[underscored(labels[i].Name)] {
			if f := &n[u.fact]; f.label == 0 || u.rank < f.rank {
				f.rank, f.label = u.rank, i+1
			}
		}
	}
	return n
}

func (n *named) value(labels []wire.Label, f fact) string {
	if i := n[f].label; i > 0 {
		return strings.Clone(labels[i-1].Value) // an instance's name is kept longer than its push
	}
	return ""
}

func (n *named) used(label int) bool {
	for f := range n {
		if n[f].label == label+1 {
			return true
		}
	}
	return false
}

// underscored is an attribute's name as Loki's senders write it.
func underscored(name string) string { return strings.ReplaceAll(name, ".", "_") }

// senders remembers what labels say, since senders send the same ones in each
// push: those of the latest thousands of streams. It is safe for concurrent use.
type senders struct {
	mu          sync.RWMutex
	young, aged map[streamKey]*sender // not to be changed
}

type streamKey struct{ tenant, labels string }

// Bounds of each half of what is remembered, and of the labels in it.
const (
	maxYoung  = 8192
	maxLabels = 1 << 10
)

func (s *senders) get(k streamKey) *sender {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if found := s.young[k]; found != nil {
		return found
	}
	return s.aged[k]
}

func (s *senders) put(k streamKey, of *sender) {
	k.labels = strings.Clone(k.labels) // they are part of a push
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= maxYoung {
		s.young, s.aged = map[streamKey]*sender{}, s.young
	}
	s.young[k] = of
}

// stream gives whose a stream of Loki's is, until the next one is asked for.
func (b *batch) stream(labels string) (*sender, *refusal) {
	k := streamKey{b.tenant, labels}
	from := b.known.get(k)
	if from == nil {
		var refused *refusal
		if from, refused = b.parseStream(labels); refused != nil {
			return nil, refused
		}
		if len(labels) <= maxLabels {
			b.known.put(k, from)
		}
	}
	few := b.from.seen.few[:0]
	b.from = *from // it counts the lines of this push
	b.from.seen.few = few
	return &b.from, nil
}

func (b *batch) parseStream(text string) (*sender, *refusal) {
	labels, err := wire.ParseLabels(text)
	if err != nil {
		return nil, &refusal{ReasonMalformed, err}
	}
	if len(labels) > b.limits.LabelNames {
		return nil, refuse(ReasonLabels, "%d labels, at most %d", len(labels), b.limits.LabelNames)
	}
	for i := range labels {
		l := &labels[i]
		if len(l.Name) > b.limits.LabelNameBytes {
			return nil, refuse(ReasonLabels, "label %.40s…: its name is longer than %d bytes", l.Name, b.limits.LabelNameBytes)
		}
		if len(l.Value) > b.limits.LabelValueBytes || !utf8.ValidString(l.Value) {
			return nil, refuse(ReasonLabels, "label %s: longer than %d bytes or not UTF-8", l.Name, b.limits.LabelValueBytes)
		}
	}
	s, refused := b.sender(labels)
	if refused == nil {
		s.id = xxhash.Sum64String(text)
	}
	return s, refused
}

// sender reads whose lines have the given labels.
func (b *batch) sender(labels []wire.Label) (*sender, *refusal) {
	found := b.find(labels)
	s := &sender{
		ref: faas.Ref{
			Tenant: b.tenant, Namespace: found.value(labels, factNamespace), Function: found.value(labels, factFunction),
			Version: found.value(labels, factVersion), Instance: found.value(labels, factInstance),
		},
		host: found.value(labels, factHost),
	}
	stream, err := parseStreamName(found.value(labels, factStream))
	switch {
	case err != nil:
		return nil, err
	case stream == faas.Platform:
		return &sender{stream: stream}, nil // an event says itself whose it is
	case s.ref.Function == "":
		return nil, refuse(ReasonNoFunction, "no label names the function: set %s, or one of %s",
			wire.LabelFunction, strings.Join(b.cfg.Labels.Function, ", "))
	}
	for _, v := range []string{s.ref.Namespace, s.ref.Function, s.ref.Version, s.ref.Instance, s.host} {
		if len(v) > b.limits.LabelValueBytes { // labels are no longer, attributes may be
			return nil, refuse(ReasonLabels, "%.40s… names the sender: longer than %d bytes", v, b.limits.LabelValueBytes)
		}
	}
	s.stream = stream
	for i, l := range labels {
		switch {
		case l.Value == "" || found.used(i):
		case isLevel(l.Name) && severityOf(l.Name, l.Value) != 0:
			s.severity = severityOf(l.Name, l.Value)
		default:
			s.attributes = append(s.attributes, faas.Attribute{Key: strings.Clone(l.Name), Value: strings.Clone(l.Value)})
		}
	}
	s.attributes = slices.Clip(s.attributes)
	return s, nil
}

// parseStreamName reads the stream of lines that a sender gives.
func parseStreamName(name string) (faas.Stream, *refusal) {
	switch s := faas.Stream(name); s {
	case "":
		return faas.Stdout, nil
	case faas.Stdout, faas.Stderr, faas.Platform:
		return s, nil
	}
	return "", refuse(ReasonLabels, "label %s is %q, want stdout, stderr or platform", wire.LabelStream, name)
}

// derivePosition names a line whose sender gave no position: by the stream's
// labels, the line's time and text, what the sender says of its place, and its
// ordinal among equal ones of the push. The same push sent again gives the same
// names.
func (s *sender) derivePosition(l *faas.Line, place string) (fileID, offset uint64) {
	var h xxhash.Digest
	var digits [20]byte
	h.Reset()
	_, _ = h.WriteString(l.Body) // never fails
	_, _ = h.Write(strconv.AppendInt(digits[:0], l.Time.UnixNano(), 10))
	_, _ = h.WriteString(place)
	sum := h.Sum64()
	return s.id, sum + s.seen.next(sum)
}

// ordinals count lines by their hash.
type ordinals struct {
	few  []uint64          // the hashes; most streams of a push have few lines
	many map[uint64]uint64 // how many lines of each, once there are more
}

const fewLines = 32

// next is how many lines of that hash there were before.
func (o *ordinals) next(sum uint64) (n uint64) {
	if o.many == nil && len(o.few) == fewLines {
		o.many = make(map[uint64]uint64, 4*fewLines)
		for _, s := range o.few {
			o.many[s]++
		}
	}
	if o.many != nil {
		n = o.many[sum]
		o.many[sum]++
		return n
	}
	for _, s := range o.few {
		if s == sum {
			n++
		}
	}
	o.few = append(o.few, sum)
	return n
}

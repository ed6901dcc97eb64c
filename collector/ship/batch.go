package ship

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

const (
	// entryBytes is what an entry takes in memory beside its body.
	entryBytes = 192
	textChunk  = 64 << 10
	metaChunk  = 512
)

// batch is lines of one tenant that travel together.
type batch struct {
	tenant  string
	req     *push.PushRequest // the sink may keep it
	streams map[*Stream]int   // index in req.Streams
	kinds   []faas.Stream     // of req.Streams
	bytes   int64
	born    time.Time
	files   []*File // whose lines it has, each once in a row
	done    bool    // everything is acknowledged or given up

	text strings.Builder     // the current chunk of bodies and offsets; substrings of full ones live on
	meta []push.LabelAdapter // what is left of the current chunk
}

func newBatch(tenant string, now time.Time) *batch {
	return &batch{tenant: tenant, req: new(push.PushRequest), streams: map[*Stream]int{}, born: now}
}

func (b *batch) add(f *File, s *Stream, l *Line) {
	i, ok := b.streams[s]
	if !ok {
		i = len(b.req.Streams)
		b.streams[s] = i
		b.req.Streams = append(b.req.Streams, push.Stream{Labels: s.labels})
		b.kinds = append(b.kinds, s.kind)
	}
	stream := &b.req.Streams[i]
	stream.Entries = append(stream.Entries, push.Entry{
		Timestamp: l.Time, Line: b.string(l.Body), StructuredMetadata: b.metadata(f, l),
	})
	b.bytes += size(l)
	if n := len(b.files); n == 0 || b.files[n-1] != f {
		b.files = append(b.files, f)
	}
}

func size(l *Line) int64 { return int64(len(l.Body)) + entryBytes }

// string copies p. Many strings share one piece of memory, which never moves.
func (b *batch) string(p []byte) string {
	if len(p) > textChunk/4 {
		return string(p)
	}
	if b.text.Cap()-b.text.Len() < len(p) {
		b.text = strings.Builder{}
		b.text.Grow(textChunk)
	}
	from := b.text.Len()
	b.text.Write(p)
	return b.text.String()[from:]
}

func (b *batch) metadata(f *File, l *Line) []push.LabelAdapter {
	n := 2
	if l.Truncated > 0 {
		n = 3
	}
	if len(b.meta) < n {
		b.meta = make([]push.LabelAdapter, metaChunk)
	}
	m := b.meta[:n:n]
	b.meta = b.meta[n:]
	var digits [20]byte
	m[0] = push.LabelAdapter{Name: wire.MetaFileID, Value: f.id}
	m[1] = push.LabelAdapter{Name: wire.MetaOffset, Value: b.string(strconv.AppendInt(digits[:0], l.Offset, 10))}
	if n == 3 {
		m[2] = push.LabelAdapter{Name: wire.MetaTruncated, Value: b.string(strconv.AppendInt(digits[:0], l.Truncated, 10))}
	}
	return m
}

// seal puts events before lines, since they say whose the lines are.
func (b *batch) seal() {
	order := make([]int, len(b.kinds))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int {
		return cmp.Compare(rank(b.kinds[x]), rank(b.kinds[y]))
	})
	streams, kinds := make([]push.Stream, len(order)), make([]faas.Stream, len(order))
	for i, from := range order {
		streams[i], kinds[i] = b.req.Streams[from], b.kinds[from]
	}
	b.req.Streams, b.kinds, b.streams = streams, kinds, nil
}

func rank(s faas.Stream) int {
	if s == faas.Platform {
		return 0
	}
	return 1
}

// entries counts the entries of req.
func entries(req *push.PushRequest) int {
	n := 0
	for i := range req.Streams {
		n += len(req.Streams[i].Entries)
	}
	return n
}

// halves splits req, which has at least two entries, in the middle.
func halves(req *push.PushRequest) (a, b *push.PushRequest) {
	a, b = &push.PushRequest{Format: req.Format}, &push.PushRequest{Format: req.Format}
	left := entries(req) / 2
	for _, s := range req.Streams {
		n := min(left, len(s.Entries))
		left -= n
		if n > 0 {
			a.Streams = append(a.Streams, push.Stream{Labels: s.Labels, Entries: s.Entries[:n]})
		}
		if n < len(s.Entries) {
			b.Streams = append(b.Streams, push.Stream{Labels: s.Labels, Entries: s.Entries[n:]})
		}
	}
	return a, b
}

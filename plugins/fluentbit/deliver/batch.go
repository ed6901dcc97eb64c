package deliver

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

const (
	// maxLine is how much of a line is sent, in bytes, so that one monstrous
	// line cannot make the aggregator refuse its whole chunk.
	maxLine = 1 << 20
	// maxRequest is the size, in bytes of lines, at which a chunk is sent in
	// several requests. It stays far below the aggregator's limits.
	maxRequest = 4 << 20
)

// batch gathers the lines of one chunk by their labels.
type batch struct {
	cfg     *Config
	tag     string
	chunk   uint64 // hash of the chunk's bytes
	streams []*stream
	byLabel map[string]*stream
	lines   int
	orphans int // records of which nothing says whose they are
}

// stream is the lines of one set of labels, in the chunk's order.
type stream struct {
	labels  string
	entries []push.Entry
}

func newBatch(cfg *Config, tag string, chunk []byte) *batch {
	return &batch{cfg: cfg, tag: tag, chunk: xxhash.Sum64(chunk), byLabel: map[string]*stream{}}
}

// add files a record under its labels.
func (b *batch) add(rec record) {
	function, _ := b.cfg.Function.of(rec.body)
	function = strings.TrimPrefix(function, "/") // as Docker names containers
	if function == "" {
		b.orphans++
		return
	}
	ref := faas.Ref{Function: function}
	ref.Namespace, _ = b.cfg.Namespace.of(rec.body)
	ref.Instance, _ = b.cfg.Instance.of(rec.body)
	version, fromKey := b.cfg.Version.of(rec.body)
	if fromKey {
		// A pod is named for its function: FUNCTION-VERSION.
		version = strings.TrimPrefix(version, function+"-")
	}
	ref.Version = version
	host, _ := b.cfg.Host.of(rec.body)
	labels := wire.StreamLabels(ref, b.cfg.streamOf(rec.body), host)
	s := b.byLabel[labels]
	if s == nil {
		s = &stream{labels: labels}
		b.byLabel[labels] = s
		b.streams = append(b.streams, s)
	}
	line, cut := b.cfg.line(rec.body)
	e := push.Entry{Timestamp: rec.time, Line: line}
	if cut > 0 {
		e.StructuredMetadata = append(e.StructuredMetadata, push.LabelAdapter{Name: wire.MetaTruncated, Value: strconv.Itoa(cut)})
	}
	if id, _ := b.cfg.RequestID.of(rec.body); id != "" {
		e.StructuredMetadata = append(e.StructuredMetadata, push.LabelAdapter{Name: wire.MetaRequestID, Value: id})
	}
	s.entries = append(s.entries, e)
	b.lines++
}

// streamOf never gives platform: what a container writes must not pass for an event.
func (c *Config) streamOf(body mapping) faas.Stream {
	s, _ := c.Stream.of(body)
	if strings.EqualFold(s, string(faas.Stderr)) {
		return faas.Stderr
	}
	return faas.Stdout
}

// line gives the record's text in valid UTF-8 and how many bytes were cut off.
func (c *Config) line(body mapping) (text string, cut int) {
	var v any = body
	for _, k := range c.LogKeys {
		if found, ok := body.lookup(k); ok && found != nil {
			v = found
			break
		}
	}
	text, ok := scalarText(v)
	if !ok {
		text = string(appendJSON(nil, v))
	}
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= maxLine {
		return text, 0
	}
	end := maxLine
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end], len(text) - end
}

// appendJSON writes a value as JSON, maps in their own order.
func appendJSON(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case string:
		return appendQuoted(dst, v)
	case mapping:
		dst = append(dst, '{')
		for i, p := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendQuoted(dst, p.key), ':')
			dst = appendJSON(dst, p.value)
		}
		return append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case extension:
		if t, marker, err := asTime(v); err == nil && !marker {
			return appendQuoted(dst, t.Format(time.RFC3339Nano))
		}
		return appendQuoted(dst, string(v.data))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return append(dst, "null"...)
		}
	}
	s, _ := scalarText(v)
	return append(dst, s...)
}

func appendQuoted(dst []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return append(dst, `""`...) // cannot happen: a string always has a JSON form
	}
	return append(dst, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}

// requests gives the lines, each with its position, in requests of bounded size.
func (b *batch) requests() []*push.PushRequest {
	var all []*push.PushRequest
	req, size := &push.PushRequest{}, 0
	for _, s := range b.streams {
		b.position(s)
		start := 0
		for i := range s.entries {
			n := len(s.entries[i].Line)
			if size > 0 && size+n > maxRequest {
				if i > start {
					req.Streams = append(req.Streams, push.Stream{Labels: s.labels, Entries: s.entries[start:i]})
				}
				all = append(all, req)
				req, size, start = &push.PushRequest{}, 0, i
			}
			size += n
		}
		req.Streams = append(req.Streams, push.Stream{Labels: s.labels, Entries: s.entries[start:]})
	}
	if len(req.Streams) > 0 {
		all = append(all, req)
	}
	return all
}

// position gives every line of s the identity by which the store folds what is
// sent again. See the package comment for why there are two kinds.
func (b *batch) position(s *stream) {
	fileID := xxhash.Sum64String(b.tag + "\x00" + s.labels)
	atTime := make(map[int64]int, len(s.entries))
	for i := range s.entries {
		atTime[s.entries[i].Timestamp.UnixNano()]++
	}
	for i := range s.entries {
		e := &s.entries[i]
		ns := e.Timestamp.UnixNano()
		offset := b.chunk&^math.MaxUint32 | uint64(uint32(i))
		if atTime[ns] == 1 && ns%int64(time.Microsecond) != 0 {
			offset = hashLine(ns, e.Line)
		}
		e.StructuredMetadata = append(e.StructuredMetadata, wire.Position(fileID, offset)...)
	}
}

func hashLine(ns int64, line string) uint64 {
	return xxhash.Sum64(append(binary.LittleEndian.AppendUint64(make([]byte, 0, 8+len(line)), uint64(ns)), line...))
}

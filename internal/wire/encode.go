package wire

import (
	"bytes"
	"fmt"
	"math/bits"
	"strconv"
	"time"

	"github.com/grafana/loki/pkg/push"
)

// Tags of logproto's fields (github.com/grafana/loki/pkg/push, push.proto):
// field number << 3 | wire type, 2 for what has a length and 0 for a varint.
const (
	tagStreams   = 1<<3 | 2 // PushRequest.streams
	tagLabels    = 1<<3 | 2 // StreamAdapter.labels
	tagEntries   = 2<<3 | 2 // StreamAdapter.entries
	tagTimestamp = 1<<3 | 2 // EntryAdapter.timestamp
	tagLine      = 2<<3 | 2 // EntryAdapter.line
	tagMetadata  = 3<<3 | 2 // EntryAdapter.structuredMetadata
	tagName      = 1<<3 | 2 // LabelPairAdapter.name
	tagValue     = 2<<3 | 2 // LabelPairAdapter.value
	tagSeconds   = 1 << 3   // Timestamp.seconds
	tagNanos     = 2 << 3   // Timestamp.nanos
)

// The times that a protobuf Timestamp may have: years 1 to 9999.
const (
	minSeconds = -62135596800
	maxSeconds = 253402300799
)

// EntryOverhead is more than what AppendEntry adds to a line's length.
const EntryOverhead = 160

// AppendStream appends to a PushRequest a stream, made of StreamHead and of
// what AppendEntry appended.
func AppendStream(dst, head, entries []byte) []byte {
	return append(AppendStreamHead(dst, head, len(entries)), entries...)
}

// AppendStreamHead is AppendStream without the entries, of which so many bytes
// have to follow.
func AppendStreamHead(dst, head []byte, entries int) []byte {
	dst = append(dst, tagStreams)
	dst = appendVarint(dst, uint64(len(head)+entries))
	return append(dst, head...)
}

// StreamSize is how much AppendStream appends.
func StreamSize(head []byte, entries int) int {
	n := len(head) + entries
	return 1 + varintSize(uint64(n)) + n
}

// StreamHead gives the part of a stream before its entries.
func StreamHead(labels string) []byte {
	if labels == "" {
		return nil
	}
	return appendString([]byte{tagLabels}, labels)
}

// FileMetadata gives the structured metadata of an entry that names its file.
func FileMetadata(fileID uint64) []byte {
	return appendMetadata(nil, MetaFileID, []byte(FormatFileID(fileID)))
}

// AppendEntry appends to a stream an entry with the metadata that Position
// gives, of which file is what FileMetadata gave, and with truncated unless it
// is 0. A time that protobuf cannot say becomes the nearest that it can.
// The bytes are those that push.Entry's Marshal gives.
func AppendEntry(dst []byte, t time.Time, line, file []byte, offset, truncated int64) []byte {
	sec, nsec := t.Unix(), t.Nanosecond()
	if sec < minSeconds {
		sec, nsec = minSeconds, 0
	} else if sec > maxSeconds {
		sec, nsec = maxSeconds, 999_999_999
	}
	stamp := 0
	if sec != 0 {
		stamp += 1 + varintSize(uint64(sec))
	}
	if nsec != 0 {
		stamp += 1 + varintSize(uint64(nsec))
	}
	var digits, cut [20]byte
	at := strconv.AppendInt(digits[:0], offset, 10)
	n := 2 + stamp + len(file) + metadataSize(MetaOffset, at)
	if len(line) > 0 {
		n += 1 + varintSize(uint64(len(line))) + len(line)
	}
	var over []byte
	if truncated > 0 {
		over = strconv.AppendInt(cut[:0], truncated, 10)
		n += metadataSize(MetaTruncated, over)
	}
	dst = append(dst, tagEntries)
	dst = appendVarint(dst, uint64(n))
	dst = append(dst, tagTimestamp, byte(stamp))
	if sec != 0 {
		dst = appendVarint(append(dst, tagSeconds), uint64(sec))
	}
	if nsec != 0 {
		dst = appendVarint(append(dst, tagNanos), uint64(nsec))
	}
	if len(line) > 0 {
		dst = appendVarint(append(dst, tagLine), uint64(len(line)))
		dst = append(dst, line...)
	}
	dst = append(dst, file...)
	dst = appendMetadata(dst, MetaOffset, at)
	if truncated > 0 {
		dst = appendMetadata(dst, MetaTruncated, over)
	}
	return dst
}

// metadataSize is how much appendMetadata appends. Names and values are short:
// their lengths take one byte each.
func metadataSize(name string, value []byte) int { return 6 + len(name) + len(value) }

func appendMetadata(dst []byte, name string, value []byte) []byte {
	dst = append(dst, tagMetadata, byte(4+len(name)+len(value)), tagName, byte(len(name)))
	dst = append(dst, name...)
	dst = append(dst, tagValue, byte(len(value)))
	return append(dst, value...)
}

func appendString(dst []byte, s string) []byte {
	return append(appendVarint(dst, uint64(len(s))), s...)
}

func appendVarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

func varintSize(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// DecodeRaw reads a push request that is not compressed. It keeps nothing of raw.
func DecodeRaw(raw []byte) (*push.PushRequest, error) {
	req := new(push.PushRequest)
	// The strings of what Loki's types unmarshal are parts of what they read.
	if err := req.Unmarshal(bytes.Clone(raw)); err != nil {
		return nil, fmt.Errorf("not a Loki push request: %w", err)
	}
	return req, nil
}

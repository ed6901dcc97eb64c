package wire

import (
	"errors"
	"fmt"
	"mime"
	"strconv"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"

	"github.com/coldscope/coldscope/internal/faas"
)

// Paths and headers of Coldscope's HTTP interfaces.
const (
	PathPush     = "/loki/api/v1/push"
	PathEvents   = "/v1/events"
	HeaderTenant = "X-Scope-OrgID"
	MediaPush    = "application/x-protobuf"
)

// Names of a stream's labels and of an entry's structured metadata.
const (
	LabelNamespace = "namespace"
	LabelFunction  = "function"
	LabelVersion   = "version"
	LabelInstance  = "instance"
	LabelStream    = "stream"
	LabelHost      = "host"

	MetaFileID    = "file_id"   // 16 hexadecimal digits
	MetaOffset    = "offset"    // decimal
	MetaTruncated = "truncated" // decimal, bytes cut from the line's end
	MetaRequestID = "request_id"
)

// Limits of one request, in bytes. What is larger is answered 413.
const (
	MaxPushBytes    = 16 << 20 // compressed
	MaxPushInflated = 64 << 20
	MaxEventsBytes  = 4 << 20
)

// StreamLabels gives the labels under which lines of ref travel.
func StreamLabels(ref faas.Ref, stream faas.Stream, host string) string {
	return FormatLabels(
		Label{LabelNamespace, ref.Namespace}, Label{LabelFunction, ref.Function},
		Label{LabelVersion, ref.Version}, Label{LabelInstance, ref.Instance},
		Label{LabelStream, string(stream)}, Label{LabelHost, host},
	)
}

// Position gives the structured metadata that names a line for ever.
func Position(fileID, offset uint64) []push.LabelAdapter {
	return []push.LabelAdapter{
		{Name: MetaFileID, Value: FormatFileID(fileID)},
		{Name: MetaOffset, Value: strconv.FormatUint(offset, 10)},
	}
}

// FormatFileID writes a file's ID as 16 hexadecimal digits.
func FormatFileID(id uint64) string { return fmt.Sprintf("%016x", id) }

// EncodePush gives req as Loki's senders put it on the wire: protobuf in a snappy block.
func EncodePush(req *push.PushRequest) ([]byte, error) {
	raw, err := req.Marshal()
	if err != nil {
		return nil, fmt.Errorf("encode push request: %w", err)
	}
	return s2.EncodeSnappy(nil, raw), nil
}

// ErrTooLarge is wrapped by DecodePush for a body over the limits.
var ErrTooLarge = errors.New("body is too large")

// InflatePush gives the protobuf of a Loki push's body. (Loki's rule: whatever
// is not JSON is taken for protobuf and snappy.)
func InflatePush(body []byte, contentType string) ([]byte, error) {
	if media, _, err := mime.ParseMediaType(contentType); err == nil && media == "application/json" {
		return nil, fmt.Errorf("%w %q: send %s with snappy", ErrMediaType, media, MediaPush)
	}
	n, err := s2.DecodedLen(body)
	if err != nil {
		return nil, fmt.Errorf("not a snappy block: %w", err)
	}
	if n > MaxPushInflated {
		return nil, fmt.Errorf("%w: %d bytes inflated, at most %d", ErrTooLarge, n, MaxPushInflated)
	}
	raw, err := s2.Decode(nil, body)
	if err != nil {
		return nil, fmt.Errorf("not a snappy block: %w", err)
	}
	return raw, nil
}

// DecodePush reads the body of a Loki push in protobuf and snappy.
func DecodePush(body []byte, contentType string) (*push.PushRequest, error) {
	raw, err := InflatePush(body, contentType)
	if err != nil {
		return nil, err
	}
	return DecodeRaw(raw)
}

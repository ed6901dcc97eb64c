package runtimelog

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of Docker's LogEntry (api/types/plugins/logdriver/entry.proto),
// which the local driver and log-driver plugins write. Raw bytes are kept.
const (
	entrySource   = 1 // stdout or stderr
	entryTimeNano = 2
	entryLine     = 3 // without its newline
	entryPartial  = 4
	entryMetadata = 5 // of a piece

	metadataLast    = 1
	metadataID      = 2
	metadataOrdinal = 3
)

// local decodes one LogEntry without the length words around it. All pieces of
// a long line are partial, the last one too: that says so itself.
func local(data []byte, rec *Record) error {
	var partial, last bool
	var source []byte
	for rest := data; len(rest) > 0; {
		num, typ, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return badEntry(n)
		}
		rest = rest[n:]
		switch num {
		case entrySource, entryLine, entryMetadata:
			if typ != protowire.BytesType {
				return badField(num, typ)
			}
			var v []byte
			if v, n = protowire.ConsumeBytes(rest); n < 0 {
				return badEntry(n)
			}
			switch num {
			case entrySource:
				source = v
			case entryLine:
				rec.Body = v
			default:
				var err error
				if last, err = lastPiece(v); err != nil {
					return err
				}
			}
		case entryTimeNano, entryPartial:
			if typ != protowire.VarintType {
				return badField(num, typ)
			}
			var v uint64
			if v, n = protowire.ConsumeVarint(rest); n < 0 {
				return badEntry(n)
			}
			if num == entryPartial {
				partial = protowire.DecodeBool(v)
			} else {
				rec.Time = time.Unix(0, int64(v)).UTC()
			}
		default:
			if n = protowire.ConsumeFieldValue(num, typ, rest); n < 0 {
				return badEntry(n)
			}
		}
		rest = rest[n:]
	}
	if rec.Stream = streamOf(source); rec.Stream == "" {
		return badStream(source)
	}
	if rec.Time.IsZero() {
		return fmt.Errorf("%w: no time", ErrRecord)
	}
	rec.Partial = partial && !last
	return nil
}

// lastPiece reads a piece's metadata. Its ID and ordinal say nothing that the
// order of the file does not: the driver writes a stream's pieces in order.
func lastPiece(b []byte) (last bool, err error) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false, badEntry(n)
		}
		b = b[n:]
		if want, known := metadataTypes[num]; known && typ != want {
			return false, badField(num, typ)
		}
		if num == metadataLast {
			var v uint64
			if v, n = protowire.ConsumeVarint(b); n < 0 {
				return false, badEntry(n)
			}
			last = protowire.DecodeBool(v)
		} else if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
			return false, badEntry(n)
		}
		b = b[n:]
	}
	return last, nil
}

var metadataTypes = map[protowire.Number]protowire.Type{
	metadataLast: protowire.VarintType, metadataID: protowire.BytesType, metadataOrdinal: protowire.VarintType,
}

func badEntry(n int) error { return fmt.Errorf("%w: %w", ErrRecord, protowire.ParseError(n)) }

func badField(num protowire.Number, typ protowire.Type) error {
	return fmt.Errorf("%w: field %d has wire type %d", ErrRecord, num, typ)
}

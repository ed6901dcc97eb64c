package rig

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/coldscope/coldscope/internal/wire"
)

// entry is one entry of a push. Its slices are the body's memory.
type entry struct {
	seconds, nanos int64
	line           []byte
	file, offset   []byte // structured metadata
	truncated      []byte
}

func (e *entry) time() time.Time { return time.Unix(e.seconds, e.nanos) }

// place is the line's name: file ID and offset.
func (e *entry) place() (place, error) {
	file, err := strconv.ParseUint(string(e.file), 16, 64)
	if err != nil {
		return place{}, fmt.Errorf("%s %q: %w", wire.MetaFileID, e.file, err)
	}
	offset, err := strconv.ParseInt(string(e.offset), 10, 64)
	if err != nil {
		return place{}, fmt.Errorf("%s %q: %w", wire.MetaOffset, e.offset, err)
	}
	return place{file, offset}, nil
}

type place struct {
	file   uint64
	offset int64
}

var errWire = errors.New("not a Loki push")

// fields calls f for each field of a protobuf message: number is its number;
// v its value, or b its bytes.
func fields(msg []byte, f func(number int, v uint64, b []byte) error) error {
	for len(msg) > 0 {
		tag, n := binary.Uvarint(msg)
		if n <= 0 {
			return errWire
		}
		msg = msg[n:]
		var v uint64
		var b []byte
		switch tag & 7 {
		case 0, 2:
			if v, n = binary.Uvarint(msg); n <= 0 {
				return errWire
			}
			msg = msg[n:]
			if tag&7 == 2 {
				if v > uint64(len(msg)) {
					return errWire
				}
				b, msg = msg[:v], msg[v:]
			}
		case 1:
			if len(msg) < 8 {
				return errWire
			}
			msg = msg[8:]
		case 5:
			if len(msg) < 4 {
				return errWire
			}
			msg = msg[4:]
		default:
			return errWire
		}
		if err := f(int(tag>>3), v, b); err != nil {
			return err
		}
	}
	return nil
}

// walker reads pushes. It is a reading of the format on its own, not the
// collector's, and does as little as it can. It keeps its memory.
type walker struct{ raw []byte }

// push calls yield for each entry of a body: protobuf in a snappy block.
func (w *walker) push(body []byte, yield func(labels []byte, e *entry)) error {
	raw, err := s2.Decode(w.raw[:cap(w.raw)], body)
	if err != nil {
		return fmt.Errorf("%w: %w", errWire, err)
	}
	w.raw = raw
	var e entry
	return fields(raw, func(number int, _ uint64, stream []byte) error {
		if number != 1 {
			return nil
		}
		var labels []byte
		return fields(stream, func(number int, _ uint64, b []byte) error {
			switch number {
			case 1:
				labels = b
			case 2:
				e = entry{}
				if err := e.parse(b); err != nil {
					return err
				}
				yield(labels, &e)
			}
			return nil
		})
	})
}

func (e *entry) parse(msg []byte) error {
	return fields(msg, func(number int, _ uint64, b []byte) error {
		switch number {
		case 1:
			return fields(b, func(number int, v uint64, _ []byte) error {
				switch number {
				case 1:
					e.seconds = int64(v)
				case 2:
					e.nanos = int64(v)
				}
				return nil
			})
		case 2:
			e.line = b
		case 3:
			var name, value []byte
			err := fields(b, func(number int, _ uint64, b []byte) error {
				if number == 1 {
					name = b
				} else {
					value = b
				}
				return nil
			})
			switch string(name) {
			case wire.MetaFileID:
				e.file = value
			case wire.MetaOffset:
				e.offset = value
			case wire.MetaTruncated:
				e.truncated = value
			}
			return err
		}
		return nil
	})
}

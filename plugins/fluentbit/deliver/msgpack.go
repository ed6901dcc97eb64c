package deliver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// maxDepth bounds how deep arrays and maps may nest, so that a hostile chunk
// cannot exhaust the stack of the process that loaded the plugin.
const maxDepth = 64

var (
	errTruncated = errors.New("it ends in the middle of a value")
	errTooDeep   = fmt.Errorf("values nest deeper than %d", maxDepth)
)

// pair is one key of a map and its value.
type pair struct {
	key   string
	value any
}

// mapping is a map in the order in which it was written.
type mapping []pair

// extension is a MessagePack value of an application's own type.
type extension struct {
	kind int8
	data []byte
}

// reader reads MessagePack values. A value is nil, bool, int64, uint64 (only
// above the range of int64), float64, string (text and binary alike), []any,
// mapping or extension; it shares no memory with buf, extensions excepted.
type reader struct {
	buf []byte
	pos int
}

func (r *reader) done() bool { return r.pos >= len(r.buf) }

// take returns the next n bytes.
func (r *reader) take(n uint64) ([]byte, error) {
	if n > uint64(len(r.buf)-r.pos) {
		return nil, errTruncated
	}
	b := r.buf[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return b, nil
}

// number returns the next n bytes (1, 2, 4 or 8) as an unsigned number.
func (r *reader) number(n uint64) (uint64, error) {
	b, err := r.take(n)
	if err != nil {
		return 0, err
	}
	switch n {
	case 1:
		return uint64(b[0]), nil
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), nil
	case 4:
		return uint64(binary.BigEndian.Uint32(b)), nil
	}
	return binary.BigEndian.Uint64(b), nil
}

// value reads the next value; depth counts the arrays and maps around it.
func (r *reader) value(depth int) (any, error) {
	b, err := r.take(1)
	if err != nil {
		return nil, err
	}
	switch c := b[0]; {
	case c <= 0x7f:
		return int64(c), nil
	case c <= 0x8f:
		return r.mapping(uint64(c&0x0f), depth)
	case c <= 0x9f:
		return r.array(uint64(c&0x0f), depth)
	case c <= 0xbf:
		return r.text(uint64(c & 0x1f))
	case c >= 0xe0:
		return int64(int8(c)), nil
	case c == 0xc0:
		return nil, nil
	case c == 0xc2, c == 0xc3:
		return c == 0xc3, nil
	case c >= 0xcc && c <= 0xcf:
		return r.unsigned(1 << (c - 0xcc))
	case c >= 0xd0 && c <= 0xd3:
		return r.signed(1 << (c - 0xd0))
	case c >= 0xd4 && c <= 0xd8:
		return r.extension(1 << (c - 0xd4))
	default:
		return r.sized(c, depth)
	}
}

// sized reads a value whose type byte is followed by its size, and the floats.
func (r *reader) sized(c byte, depth int) (any, error) {
	var width uint64
	switch c {
	case 0xc4, 0xc7, 0xd9:
		width = 1
	case 0xc5, 0xc8, 0xda, 0xdc, 0xde:
		width = 2
	case 0xc6, 0xc9, 0xdb, 0xdd, 0xdf, 0xca:
		width = 4
	case 0xcb:
		width = 8
	default:
		return nil, fmt.Errorf("byte %#x begins no value", c)
	}
	n, err := r.number(width)
	if err != nil {
		return nil, err
	}
	switch c {
	case 0xca:
		return float64(math.Float32frombits(uint32(n))), nil
	case 0xcb:
		return math.Float64frombits(n), nil
	case 0xc7, 0xc8, 0xc9:
		return r.extension(n)
	case 0xdc, 0xdd:
		return r.array(n, depth)
	case 0xde, 0xdf:
		return r.mapping(n, depth)
	}
	return r.text(n)
}

func (r *reader) unsigned(width uint64) (any, error) {
	n, err := r.number(width)
	if err != nil || n > math.MaxInt64 {
		return n, err
	}
	return int64(n), nil
}

func (r *reader) signed(width uint64) (any, error) {
	n, err := r.number(width)
	shift := 64 - 8*width
	return int64(n<<shift) >> shift, err
}

func (r *reader) text(n uint64) (any, error) {
	b, err := r.take(n)
	return string(b), err
}

func (r *reader) extension(n uint64) (any, error) {
	kind, err := r.number(1)
	if err != nil {
		return nil, err
	}
	data, err := r.take(n)
	return extension{int8(kind), data}, err
}

func (r *reader) array(n uint64, depth int) (any, error) {
	if depth >= maxDepth {
		return nil, errTooDeep
	}
	// Not make([]any, n): n is only a claim until its values have been read.
	var values []any
	for range n {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

func (r *reader) mapping(n uint64, depth int) (any, error) {
	if depth >= maxDepth {
		return nil, errTooDeep
	}
	m := mapping{}
	for range n {
		k, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		key, ok := scalarText(k)
		if !ok {
			return nil, fmt.Errorf("a map's key is of type %T", k)
		}
		m = append(m, pair{key, v})
	}
	return m, nil
}

// scalarText writes a value that is neither nil nor made of others.
func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case uint64:
		return strconv.FormatUint(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	}
	return "", false
}

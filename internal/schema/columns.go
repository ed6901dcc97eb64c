package schema

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// column is a column of a table's rows.
type column[T any] struct {
	name   string
	kind   string // its type
	encode func(*scratch, []T) error
}

// holds reports whether the column's values are those of a type. One that is only
// folded in some way when rows are merged is written as what it is made of.
func (c *column[T]) holds(kind string) bool {
	if folded, ok := strings.CutPrefix(kind, "SimpleAggregateFunction("); ok {
		_, kind, _ = strings.Cut(strings.TrimSuffix(folded, ")"), ", ")
	}
	return kind == c.kind
}

// scratch is what columns are put together in.
type scratch struct {
	native []byte // what is encoded so far
	index  map[string]uint32
	keys   []uint32
	words  []string
}

var scratches = sync.Pool{New: func() any { return &scratch{index: map[string]uint32{}} }}

// release gives s back; it holds no line's text any more.
func (s *scratch) release() {
	clear(s.words)
	clear(s.index)
	scratches.Put(s)
}

// The types' Native format, of one value each.

func putString(b []byte, v string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

func putTime(b []byte, v time.Time) []byte {
	if v.IsZero() {
		return putInt64(b, 0)
	}
	return putInt64(b, v.UnixNano())
}

func putMinute(b []byte, v time.Time) []byte { return putUint32(b, uint32(v.Unix())) }

func putUint8(b []byte, v uint8) []byte   { return append(b, v) }
func putUint16(b []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(b, v) }
func putUint32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }
func putUint64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }
func putInt32(b []byte, v int32) []byte   { return putUint32(b, uint32(v)) }
func putInt64(b []byte, v int64) []byte   { return putUint64(b, uint64(v)) }

func putBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// codec is a type and how its values are written.
type codec[V any] struct {
	kind string
	put  func([]byte, V) []byte
}

var (
	stringType = codec[string]{"String", putString}
	timeType   = codec[time.Time]{"DateTime64(9, 'UTC')", putTime}
	minuteType = codec[time.Time]{"DateTime('UTC')", putMinute}
	uint8Type  = codec[uint8]{"UInt8", putUint8}
	uint16Type = codec[uint16]{"UInt16", putUint16}
	uint32Type = codec[uint32]{"UInt32", putUint32}
	uint64Type = codec[uint64]{"UInt64", putUint64}
	int32Type  = codec[int32]{"Int32", putInt32}
	int64Type  = codec[int64]{"Int64", putInt64}
	boolType   = codec[bool]{"Bool", putBool}
)

// col is a column of such values.
func col[T, V any](name string, of codec[V], get func(*T) V) column[T] {
	return column[T]{name, of.kind, func(s *scratch, rows []T) error {
		for i := range rows {
			s.native = of.put(s.native, get(&rows[i]))
		}
		return nil
	}}
}

// maybe is a column of such values that may be NULL, which nil is: first which
// are, then the values, or zero.
func maybe[T, V any](name string, of codec[V], get func(*T) *V) column[T] {
	return column[T]{name, "Nullable(" + of.kind + ")", func(s *scratch, rows []T) error {
		for i := range rows {
			s.native = putBool(s.native, get(&rows[i]) == nil)
		}
		var zero V
		for i := range rows {
			if v := get(&rows[i]); v != nil {
				s.native = of.put(s.native, *v)
			} else {
				s.native = of.put(s.native, zero)
			}
		}
		return nil
	}}
}

// enum is a column of one of some words, which the store numbers from 1 on.
func enum[T any, V ~string](name string, words []V, get func(*T) V) column[T] {
	var kind []string
	for i, w := range words {
		kind = append(kind, fmt.Sprintf("'%s' = %d", w, i+1))
	}
	return column[T]{name, "Enum8(" + strings.Join(kind, ", ") + ")", func(s *scratch, rows []T) error {
		last := 0 // mostly it is the same as before
		for i := range rows {
			if v := get(&rows[i]); v != words[last] {
				if last = slices.Index(words, v); last < 0 {
					return fmt.Errorf("%s is none of %q", strconv.Quote(string(v)), words)
				}
			}
			s.native = append(s.native, byte(last+1))
		}
		return nil
	}}
}

// lists is a column of lists of such values: first the end of each list, then all
// that is in them.
func lists[T, V any](name string, of codec[V], get func(*T) []V) column[T] {
	return column[T]{name, "Array(" + of.kind + ")", func(s *scratch, rows []T) error {
		end := uint64(0)
		for i := range rows {
			end += uint64(len(get(&rows[i])))
			s.native = putUint64(s.native, end)
		}
		for i := range rows {
			for _, v := range get(&rows[i]) {
				s.native = of.put(s.native, v)
			}
		}
		return nil
	}}
}

// names is a column LowCardinality(String).
func names[T any](name string, get func(*T) string) column[T] {
	return column[T]{name, "LowCardinality(String)", func(s *scratch, rows []T) error {
		s.begin()
		for i := range rows {
			s.word(get(&rows[i]), 1)
		}
		s.putWords()
		return nil
	}}
}

// attributes is a column Map(LowCardinality(String), String).
func attributes[T any](name string, get func(*T) []faas.Attribute) column[T] {
	return column[T]{name, "Map(LowCardinality(String), String)", func(s *scratch, rows []T) error {
		s.begin()
		end, before := uint64(0), 0
		for i := range rows {
			list := get(&rows[i])
			end += uint64(len(list))
			s.native = putUint64(s.native, end)
			for k := range list {
				s.word(list[k].Key, before)
			}
			before = len(list)
		}
		if end > 0 {
			s.putWords()
		}
		for i := range rows {
			for _, a := range get(&rows[i]) {
				s.native = putString(s.native, a.Value)
			}
		}
		return nil
	}}
}

// attributesOf gives a map in the order of its keys.
func attributesOf(m map[string]string) []faas.Attribute {
	list := make([]faas.Attribute, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, faas.Attribute{Key: k, Value: m[k]})
	}
	return list
}

// begin empties the dictionary of a LowCardinality column. Its first word is
// the type's default value.
func (s *scratch) begin() {
	clear(s.index)
	s.keys = s.keys[:0]
	s.words = append(s.words[:0], "")
	s.index[""] = 0
}

// word appends a value. Mostly it is the same as so many values before: that of
// the row before, at the same place.
func (s *scratch) word(v string, before int) {
	if n := len(s.keys); 0 < before && before <= n {
		if key := s.keys[n-before]; s.words[key] == v {
			s.keys = append(s.keys, key)
			return
		}
	}
	key, there := s.index[v]
	if !there {
		key = uint32(len(s.words))
		s.words = append(s.words, v)
		s.index[v] = key
	}
	s.keys = append(s.keys, key)
}

// putWords writes the LowCardinality column as in ClickHouse's Native format
// (SerializationLowCardinality): which integers the keys are, the dictionary,
// the keys.
func (s *scratch) putWords() {
	const additionalKeys, updateDictionary = 1 << 9, 1 << 10
	width := uint64(2) // of the keys: 0 for UInt8, 1 for UInt16, 2 for UInt32
	switch {
	case len(s.words) <= 1<<8:
		width = 0
	case len(s.words) <= 1<<16:
		width = 1
	}
	b := putUint64(s.native, additionalKeys|updateDictionary|width)
	b = putUint64(b, uint64(len(s.words)))
	for _, w := range s.words {
		b = putString(b, w)
	}
	b = putUint64(b, uint64(len(s.keys)))
	for _, k := range s.keys {
		switch width {
		case 0:
			b = append(b, byte(k))
		case 1:
			b = putUint16(b, uint16(k))
		default:
			b = putUint32(b, k)
		}
	}
	s.native = b
}

package schema

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"unsafe"

	"github.com/ClickHouse/ch-go/proto"
	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/faas"
)

// Table declares how rows of type T become a block of one of the store's
// tables. The table itself is made by the migrations; a test holds the two
// against each other.
type Table[T any] struct {
	Name    string
	columns []column[T]
}

type column[T any] struct {
	name   string
	append func(chcolumn.Interface, *scratch, []T) error
}

// Columns lists the columns in the order of an insert.
func (t *Table[T]) Columns() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

// blockRows are sent at once. The columns of a block of some MB stay in the
// processor's cache, and are used again for the next; the server puts the
// blocks of an insert together.
const blockRows = 4096

// Insert writes rows, all of them or none, with the settings that ctx carries.
func (t *Table[T]) Insert(ctx context.Context, conn driver.Conn, rows []T) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+t.Name+" (`"+strings.Join(t.Columns(), "`, `")+"`)")
	if err != nil {
		return err
	}
	defer batch.Close()
	s := scratches.Get().(*scratch) // the pool holds nothing else
	defer s.release()
	s.first = true
	if n := len(batch.Columns()); n != len(t.columns) {
		return fmt.Errorf("fill %s: the table has %d columns, want %d", t.Name, n, len(t.columns))
	}
	for len(rows) > blockRows {
		if err := t.append(batch, s, rows[:blockRows]); err != nil {
			return err
		}
		if err := batch.Flush(); err != nil {
			return err
		}
		rows, s.first = rows[blockRows:], false
	}
	if err := t.append(batch, s, rows); err != nil {
		return err
	}
	return batch.Send()
}

func (t *Table[T]) append(batch driver.Batch, s *scratch, rows []T) error {
	columns := batch.Columns()
	for i, c := range t.columns {
		if err := c.append(columns[i], s, rows); err != nil {
			return fmt.Errorf("fill column %s.%s: %w", t.Name, c.name, err)
		}
	}
	return nil
}

// scratch is what columns are put together in.
type scratch struct {
	first   bool // no block of the insert came before: its columns are empty
	strings []string
	room    []string
	zeros   []byte // what room is made with
	native  []byte // a column in ClickHouse's Native format
	source  bytes.Reader
	reader  *proto.Reader
	index   map[string]uint32
	keys    []uint32
	words   []string
}

var scratches = sync.Pool{New: func() any {
	s := &scratch{index: map[string]uint32{}}
	s.reader = proto.NewReader(&s.source)
	return s
}}

// release gives s back; it holds no line's text any more.
func (s *scratch) release() {
	clear(s.strings)
	clear(s.words)
	clear(s.index)
	scratches.Put(s)
}

// col is a column of values that the driver takes as a slice.
func col[T, V any](name string, get func(*T) V) column[T] {
	pool := sync.Pool{New: func() any { return new([]V) }}
	return column[T]{name, func(c chcolumn.Interface, _ *scratch, rows []T) error {
		values := pool.Get().(*[]V) // it holds nothing else
		*values = (*values)[:0]
		for i := range rows {
			*values = append(*values, get(&rows[i]))
		}
		_, err := c.Append(*values)
		clear(*values)
		pool.Put(values)
		return err
	}}
}

// text is a column of strings or of an enum.
func text[T any](name string, get func(*T) string) column[T] {
	return column[T]{name, func(c chcolumn.Interface, s *scratch, rows []T) error {
		s.strings = s.strings[:0]
		size := 0
		for i := range rows {
			v := get(&rows[i])
			size += len(v)
			s.strings = append(s.strings, v)
		}
		if s.first && size > 0 {
			if err := s.makeRoom(c, size); err != nil {
				return err
			}
		}
		_, err := c.Append(s.strings)
		return err
	}}
}

// makeRoom makes room for s.strings, of so many bytes in all, in a column that
// is new. It would grow by doubling, and each insert has new columns: that is
// most of what an insert allocates.
func (s *scratch) makeRoom(c chcolumn.Interface, size int) error {
	if _, text := c.(*chcolumn.String); !text {
		return nil
	}
	size += size / 16 // the next blocks are about as large
	if len(s.zeros) < size {
		s.zeros = make([]byte, size)
	}
	room := append(s.room[:0], unsafe.String(unsafe.SliceData(s.zeros), size))
	for len(room) < len(s.strings) {
		room = append(room, "")
	}
	_, err := c.Append(room)
	c.Reset()
	clear(room[:1])
	s.room = room
	return err
}

// The driver takes LowCardinality, Array and Map value by value, each in an
// interface and through a map of interfaces: several times the cost of all the
// other columns together. The following ones are written as the server would
// send them, and the driver reads them.

// load makes what s.native holds the content of c.
func (s *scratch) load(c chcolumn.Interface, rows int) error {
	if rows == 0 {
		return nil
	}
	s.source.Reset(s.native)
	return c.Decode(s.reader, rows)
}

// names is a column LowCardinality(String).
func names[T any](name string, get func(*T) string) column[T] {
	return column[T]{name, func(c chcolumn.Interface, s *scratch, rows []T) error {
		s.begin()
		for i := range rows {
			s.word(get(&rows[i]), 1)
		}
		s.native = s.appendWords(s.native[:0])
		return s.load(c, len(rows))
	}}
}

// lists is a column Array(String).
func lists[T any](name string, get func(*T) []string) column[T] {
	return column[T]{name, func(c chcolumn.Interface, s *scratch, rows []T) error {
		s.native = s.native[:0]
		end := uint64(0)
		for i := range rows {
			end += uint64(len(get(&rows[i])))
			s.native = binary.LittleEndian.AppendUint64(s.native, end)
		}
		for i := range rows {
			for _, v := range get(&rows[i]) {
				s.native = appendString(s.native, v)
			}
		}
		return s.load(c, len(rows))
	}}
}

// attributes is a column Map(LowCardinality(String), String).
func attributes[T any](name string, get func(*T) []faas.Attribute) column[T] {
	return column[T]{name, func(c chcolumn.Interface, s *scratch, rows []T) error {
		s.begin()
		s.native = s.native[:0]
		end, before := uint64(0), 0
		for i := range rows {
			list := get(&rows[i])
			end += uint64(len(list))
			s.native = binary.LittleEndian.AppendUint64(s.native, end)
			for k := range list {
				s.word(list[k].Key, before)
			}
			before = len(list)
		}
		if end > 0 {
			s.native = s.appendWords(s.native)
		}
		for i := range rows {
			for _, a := range get(&rows[i]) {
				s.native = appendString(s.native, a.Value)
			}
		}
		return s.load(c, len(rows))
	}}
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

// appendWords gives the LowCardinality column as in ClickHouse's Native format
// (SerializationLowCardinality): which integers the keys are, the dictionary,
// the keys.
func (s *scratch) appendWords(b []byte) []byte {
	const additionalKeys, updateDictionary = 1 << 9, 1 << 10
	width := uint64(2) // of the keys: 0 for UInt8, 1 for UInt16, 2 for UInt32
	switch {
	case len(s.words) <= 1<<8:
		width = 0
	case len(s.words) <= 1<<16:
		width = 1
	}
	b = binary.LittleEndian.AppendUint64(b, additionalKeys|updateDictionary|width)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.words)))
	for _, w := range s.words {
		b = appendString(b, w)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.keys)))
	for _, k := range s.keys {
		switch width {
		case 0:
			b = append(b, byte(k))
		case 1:
			b = binary.LittleEndian.AppendUint16(b, uint16(k))
		default:
			b = binary.LittleEndian.AppendUint32(b, k)
		}
	}
	return b
}

func appendString(b []byte, v string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(v))), v...)
}

package schema

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/ClickHouse/ch-go/proto"
	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Table declares how rows of type T become blocks of one of the store's
// tables. The table itself is made by the migrations; a test holds the two
// against each other.
type Table[T any] struct {
	Name    string
	columns []column[T]
}

// Columns lists the columns in the order of an insert.
func (t *Table[T]) Columns() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

// BlockRows are the rows of a block at most. The columns of a block of some MB stay
// in the processor's cache, and are used again for the next; the server puts the
// blocks of an insert together.
const BlockRows = 4096

// Block is rows of a table as they are sent: its columns in ClickHouse's Native
// format, one behind the other. It keeps nothing of the rows.
type Block struct {
	rows   int
	native []byte
	ends   []int // of the columns in native
}

// Rows counts a block's rows.
func (b *Block) Rows() int { return b.rows }

// Encode makes blocks of rows. Its error is a value that the table cannot hold.
func (t *Table[T]) Encode(rows []T) ([]Block, error) {
	s := scratches.Get().(*scratch) // the pool holds nothing else
	defer s.release()
	var blocks []Block
	for part := range slices.Chunk(rows, BlockRows) {
		s.native = s.native[:0]
		ends := make([]int, len(t.columns))
		for i, c := range t.columns {
			if err := c.encode(s, part); err != nil {
				return nil, fmt.Errorf("fill column %s.%s: %w", t.Name, c.name, err)
			}
			ends[i] = len(s.native)
		}
		blocks = append(blocks, Block{len(part), bytes.Clone(s.native), ends})
	}
	return blocks, nil
}

// Insert writes rows, all of them or none, with the settings that ctx carries.
func (t *Table[T]) Insert(ctx context.Context, conn driver.Conn, rows []T) error {
	blocks, err := t.Encode(rows)
	if err != nil {
		return err
	}
	return t.InsertBlocks(ctx, conn, blocks)
}

// InsertBlocks writes the blocks of a table, all of them or none, with the settings
// that ctx carries.
func (t *Table[T]) InsertBlocks(ctx context.Context, conn driver.Conn, blocks []Block) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+t.Name+" (`"+strings.Join(t.Columns(), "`, `")+"`)")
	if err != nil {
		return err
	}
	defer batch.Close()
	if err := t.check(batch); err != nil {
		return err
	}
	l := loaders.Get().(*loader) // the pool holds nothing else
	defer l.release()
	for i := range blocks {
		if err := l.load(batch, &blocks[i]); err != nil {
			return fmt.Errorf("fill %s: %w", t.Name, err)
		}
		if err := batch.Flush(); err != nil {
			return err
		}
	}
	return batch.Send()
}

// check reports a column that is of another type than it is declared to be: its
// bytes would be taken for something else.
func (t *Table[T]) check(batch driver.Batch) error {
	columns := batch.Columns()
	if len(columns) != len(t.columns) {
		return fmt.Errorf("fill %s: the table has %d columns, want %d", t.Name, len(columns), len(t.columns))
	}
	for i, c := range t.columns {
		if kind := string(columns[i].Type()); !c.holds(kind) {
			return fmt.Errorf("fill %s.%s: the column is of type %s, want %s", t.Name, c.name, kind, c.kind)
		}
	}
	return nil
}

// loader gives blocks to the driver, which takes LowCardinality, Array, Map and Nullable
// value by value, each in an interface: several times the cost of all other columns
// together. It reads the Native format as the server would send it; but strings it
// is given as they stand in the block, or it reads their lengths byte by byte.
type loader struct {
	source  bytes.Reader
	reader  *proto.Reader
	strings []string
}

var loaders = sync.Pool{New: func() any {
	l := &loader{}
	l.reader = proto.NewReader(&l.source)
	return l
}}

func (l *loader) release() {
	l.source.Reset(nil)
	clear(l.strings)
	loaders.Put(l)
}

func (l *loader) load(batch driver.Batch, b *Block) error {
	from := 0
	for i, c := range batch.Columns() {
		if err := l.fill(c, b.native[from:b.ends[i]], b.rows); err != nil {
			return fmt.Errorf("column %s: %w", c.Name(), err)
		}
		from = b.ends[i]
	}
	return nil
}

func (l *loader) fill(c chcolumn.Interface, native []byte, rows int) error {
	if _, text := c.(*chcolumn.String); !text {
		l.source.Reset(native)
		return c.Decode(l.reader, rows)
	}
	l.strings = l.strings[:0]
	for len(native) > 0 {
		n, width := binary.Uvarint(native)
		end := width + int(n)
		l.strings = append(l.strings, unsafe.String(unsafe.SliceData(native[width:end]), n))
		native = native[end:]
	}
	_, err := c.Append(l.strings) // which copies them
	return err
}

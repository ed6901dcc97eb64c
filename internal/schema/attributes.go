package schema

import (
	"fmt"

	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"

	"github.com/coldscope/coldscope/internal/faas"
)

// AttributeMap is a column Map(String, String) for the driver, to write and to
// scan, that keeps its order.
type AttributeMap []faas.Attribute

// Put is called when the driver reads one.
func (m *AttributeMap) Put(key, value any) {
	*m = append(*m, faas.Attribute{Key: fmt.Sprint(key), Value: fmt.Sprint(value)})
}

// Iterator is called when the driver writes one.
func (m *AttributeMap) Iterator() chcolumn.MapIterator { return &attributeIterator{rest: *m} }

type attributeIterator struct {
	rest []faas.Attribute
	at   int
}

func (i *attributeIterator) Next() bool { i.at++; return i.at <= len(i.rest) }
func (i *attributeIterator) Key() any   { return i.rest[i.at-1].Key }
func (i *attributeIterator) Value() any { return i.rest[i.at-1].Value }

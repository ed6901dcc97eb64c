package engine

import (
	"context"
	"fmt"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/plan"
)

// maxValues bounds what is listed of labels and streams.
const maxValues = 10_000

// Catalog says what labels and streams there are of a selection of lines.
type Catalog struct {
	q *Query
	plan.Selection
}

// Catalog is about the selection's lines.
func (e *Engine) Catalog(s plan.Selection) *Catalog {
	return &Catalog{e.Query(s.Tenant, &logql.LogExpr{Matchers: s.Matchers}), s}
}

// Values lists the values of a label in order, 10,000 at most.
func (c *Catalog) Values(ctx context.Context, name string) ([]string, error) {
	list := []string{}
	err := c.each(ctx, c.Selection.Values(name, maxValues), func(rows *rows) error {
		var v string
		err := rows.Scan(&v)
		list = append(list, v)
		return err
	})
	return list, err
}

// LabelCount is a label and how many values it has, nearly.
type LabelCount struct {
	Name   string
	Values uint64
}

// Labels counts the values of each of the labels named that lines have.
func (c *Catalog) Labels(ctx context.Context, names []string) ([]LabelCount, error) {
	var counts []uint64
	err := c.each(ctx, c.Cardinality(names), func(rows *rows) error { return rows.Scan(&counts) })
	list := []LabelCount{}
	for i, n := range counts {
		if n > 0 {
			list = append(list, LabelCount{names[i], n})
		}
	}
	return list, err
}

// Streams lists the streams, 10,000 at most.
func (c *Catalog) Streams(ctx context.Context) ([]*labels.Set, error) {
	table := labels.NewTable()
	values := make([]string, len(plan.StreamLabels))
	dest := make([]any, len(values))
	for i := range values {
		dest[i] = &values[i]
	}
	list := []*labels.Set{}
	err := c.each(ctx, c.Selection.Streams(maxValues), func(rows *rows) error {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		var set []labels.Label
		for i, v := range values {
			if v != "" {
				set = append(set, labels.Label{Name: plan.StreamLabels[i], Value: v})
			}
		}
		list = append(list, table.Sorted(set))
		return nil
	})
	return list, err
}

// Size is how many streams and lines there are, and the bytes of their texts.
type Size struct{ Streams, Lines, Bytes uint64 }

// Size counts.
func (c *Catalog) Size(ctx context.Context) (s Size, err error) {
	err = c.each(ctx, c.Selection.Size(), func(rows *rows) error { return rows.Scan(&s.Streams, &s.Lines, &s.Bytes) })
	return s, err
}

func (c *Catalog) each(ctx context.Context, sql plan.Query, scan func(*rows) error) error {
	return c.q.bounded(ctx, func(ctx context.Context) error {
		rows, err := c.q.ask(ctx, sql)
		if err != nil {
			return fmt.Errorf("list labels: %w", err)
		}
		defer rows.end()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return fmt.Errorf("list labels: %w", err)
			}
		}
		if err := rows.Err(); err != nil {
			return fmt.Errorf("list labels: %w", err)
		}
		return nil
	})
}

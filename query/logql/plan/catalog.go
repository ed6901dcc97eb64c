package plan

import (
	"strings"

	"github.com/coldscope/coldscope/query/logql"
)

// Selection is the lines of a tenant that a selector means, which may be empty,
// in a range of time: nanoseconds since 1970, Until not in it.
type Selection struct {
	Tenant       string
	Matchers     []*logql.Matcher
	Since, Until int64
}

// begin is a query about s. Where only labels of streams and levels are looked
// at, which are never corrected, rows need not be merged first.
func (s *Selection) begin(labels ...string) (*builder, conditions) {
	b := newBuilder(s.Tenant)
	b.raw = true
	var c conditions
	for _, m := range s.Matchers {
		c.add(b, func() string { return b.matcher(m) })
		labels = append(labels, m.Name)
	}
	for _, name := range labels {
		if l := byName[name]; l == nil || l.Kind != Stream && name != "level" && name != "detected_level" {
			b.raw = false
		}
	}
	return b, c
}

func (s *Selection) from(b *builder, c *conditions) string {
	return b.from(c, &logql.LogExpr{Matchers: s.Matchers}, clamp(s.Since), clamp(s.Until))
}

// Values is the SQL that lists the values of a label, in order.
func (s *Selection) Values(name string, limit int) Query {
	b, c := s.begin(name)
	value := b.label(name)
	c.add(b, func() string { return b.label(name) + " != ''" })
	return Query{"SELECT DISTINCT " + value + " AS v\n" + s.from(b, &c) + "\nORDER BY v\nLIMIT " + b.param(uint64(limit), "UInt64"), b.args}
}

// Cardinality is the SQL that counts the values of each of the labels named,
// those of lines without one left out.
func (s *Selection) Cardinality(names []string) Query {
	b, c := s.begin(names...)
	counts := make([]string, len(names))
	for i, name := range names {
		v := b.label(name)
		counts[i] = "uniqIf(" + v + ", " + v + " != '')"
	}
	return Query{"SELECT [" + strings.Join(counts, ", ") + "]\n" + s.from(b, &c), b.args}
}

// StreamLabels are the names of the labels that a stream has, in order.
var StreamLabels = func() []string {
	var list []string
	for _, l := range known {
		if l.Kind == Stream {
			list = append(list, l.Name)
		}
	}
	return list
}()

// Streams is the SQL that lists streams: a text for each of StreamLabels.
func (s *Selection) Streams(limit int) Query {
	b, c := s.begin()
	list := make([]string, len(StreamLabels))
	for i, name := range StreamLabels {
		list[i] = b.label(name)
	}
	return Query{"SELECT DISTINCT " + strings.Join(list, ", ") + "\n" + s.from(b, &c) + "\nLIMIT " + b.param(uint64(limit), "UInt64"), b.args}
}

// Size is the SQL that counts streams, lines and bytes.
func (s *Selection) Size() Query {
	b, c := s.begin()
	b.raw = false
	list := make([]string, len(StreamLabels))
	for i, name := range StreamLabels {
		list[i] = b.label(name)
	}
	return Query{"SELECT uniq(" + strings.Join(list, ", ") + "), count(), sum(length(body))\n" + s.from(b, &c), b.args}
}

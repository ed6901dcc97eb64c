// Package labels holds sets of labels, each kept once: within a [Table] equal
// sets are one pointer, so that grouping and matching of series compare and
// hash pointers and not texts.
package labels

import (
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Label is a name with its value.
type Label struct{ Name, Value string }

// Set is a set of labels in the order of their names, each name once. Sets are
// made by a Table, are never changed and may be read by any number of goroutines.
type Set struct {
	labels []Label
	hash   uint64
	next   *Set // of the same hash, in the table
}

// Empty is the set without labels. It is that of every table.
var Empty = &Set{}

// Len is how many labels s has.
func (s *Set) Len() int { return len(s.labels) }

// Labels are the labels of s in the order of their names. They are not to be changed.
func (s *Set) Labels() []Label { return s.labels }

// Get is the value of the label name, empty if s does not have it.
func (s *Set) Get(name string) string {
	v, _ := s.Lookup(name)
	return v
}

// Lookup is the value of the label name, and whether s has it.
func (s *Set) Lookup(name string) (string, bool) {
	for i := range s.labels {
		if s.labels[i].Name == name {
			return s.labels[i].Value, true
		}
	}
	return "", false
}

// Map is s as a map, which is the caller's.
func (s *Set) Map() map[string]string {
	m := make(map[string]string, len(s.labels))
	for _, l := range s.labels {
		m[l.Name] = l.Value
	}
	return m
}

// String is s in the form of a selector: {app="web", level="error"}.
func (s *Set) String() string {
	var b strings.Builder
	b.WriteByte('{')
	for i, l := range s.labels {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(l.Name)
		b.WriteByte('=')
		b.WriteString(strconv.Quote(l.Value))
	}
	b.WriteByte('}')
	return b.String()
}

// Compare orders sets by their labels: -1 if a is before b, 0 if they are equal, else 1.
func Compare(a, b *Set) int {
	if a == b {
		return 0
	}
	return slices.CompareFunc(a.labels, b.labels, func(x, y Label) int {
		if c := strings.Compare(x.Name, y.Name); c != 0 {
			return c
		}
		return strings.Compare(x.Value, y.Value)
	})
}

// Table keeps each set once. It may be used by several goroutines at once.
type Table struct {
	mu sync.Mutex
	// guarded by mu
	sets map[uint64]*Set
	n    int
}

// NewTable returns a table that holds nothing yet.
func NewTable() *Table { return &Table{sets: map[uint64]*Set{}} }

var seed = maphash.MakeSeed()

// Len is how many sets t holds, the empty one not counted.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// Forget empties t. Sets that it gave stay valid, but an equal one asked for
// later is another pointer.
func (t *Table) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.sets)
	t.n = 0
}

// Sorted is the set of ls, which are in the order of their names, each name
// once. ls stays the caller's, and texts in it that belong to something larger
// (a line) are copied, so that the set does not hold that.
func (t *Table) Sorted(ls []Label) *Set {
	if len(ls) == 0 {
		return Empty
	}
	h := hash(ls)
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := t.sets[h]; s != nil; s = s.next {
		if slices.Equal(s.labels, ls) {
			return s
		}
	}
	s := &Set{labels: clone(ls), hash: h, next: t.sets[h]}
	t.sets[h] = s
	t.n++
	return s
}

// Of is the set of ls in any order, of a name that is there twice with its last
// value. Labels of an empty value are kept. ls is put in order.
func (t *Table) Of(ls ...Label) *Set {
	slices.SortStableFunc(ls, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	keep := ls[:0]
	for i, l := range ls {
		if i+1 == len(ls) || ls[i+1].Name != l.Name {
			keep = append(keep, l)
		}
	}
	return t.Sorted(keep)
}

// FromMap is the set of m's labels.
func (t *Table) FromMap(m map[string]string) *Set {
	ls := make([]Label, 0, len(m))
	for k, v := range m {
		ls = append(ls, Label{k, v})
	}
	return t.Of(ls...)
}

// Intern is the set of t that equals s, which may be another table's.
func (t *Table) Intern(s *Set) *Set {
	if len(s.labels) == 0 {
		return Empty
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := t.sets[s.hash]; c != nil; c = c.next {
		if c == s || slices.Equal(c.labels, s.labels) {
			return c
		}
	}
	c := &Set{labels: s.labels, hash: s.hash, next: t.sets[s.hash]}
	t.sets[s.hash] = c
	t.n++
	return c
}

func hash(ls []Label) uint64 {
	const prime = 0x9E3779B97F4A7C15
	h := uint64(len(ls))
	for i := range ls {
		h = (h ^ maphash.String(seed, ls[i].Name)) * prime
		h = (h ^ maphash.String(seed, ls[i].Value)) * prime
	}
	return h
}

// clone copies the texts of ls into one allocation.
func clone(ls []Label) []Label {
	n := 0
	for _, l := range ls {
		n += len(l.Name) + len(l.Value)
	}
	buf := make([]byte, 0, n)
	for _, l := range ls {
		buf = append(append(buf, l.Name...), l.Value...)
	}
	text := string(buf)
	out := make([]Label, len(ls))
	for i, l := range ls {
		a, b := len(l.Name), len(l.Name)+len(l.Value)
		out[i] = Label{text[:a], text[a:b]}
		text = text[b:]
	}
	return out
}

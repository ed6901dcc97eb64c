package labels

import (
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestEqualSetsAreOnePointer(t *testing.T) {
	tab := NewTable()
	a := tab.Of(Label{"b", "2"}, Label{"a", "1"})
	if b := tab.FromMap(map[string]string{"a": "1", "b": "2"}); a != b {
		t.Errorf("%p and %p are both %s", a, b, a)
	}
	if b := tab.Of(Label{"a", "1"}); a == b {
		t.Errorf("%s is %s", a, b)
	}
	if got, want := a.String(), `{a="1", b="2"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if tab.Of() != Empty {
		t.Error("the empty set is not Empty")
	}
	other := NewTable().Of(Label{"a", "1"}, Label{"b", "2"})
	if other == a || tab.Intern(other) != a {
		t.Error("a set of another table is not found")
	}
	if n := tab.Len(); n != 2 {
		t.Errorf("the table holds %d sets, want 2", n)
	}
	tab.Forget()
	if b := tab.Of(Label{"a", "1"}, Label{"b", "2"}); a == b || Compare(a, b) != 0 {
		t.Errorf("after Forget: %p %p", a, b)
	}
}

func TestLastOfAName(t *testing.T) {
	s := NewTable().Of(Label{"a", "1"}, Label{"b", ""}, Label{"a", "2"})
	if got, want := s.Labels(), []Label{{"a", "2"}, {"b", ""}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if v, ok := s.Lookup("b"); v != "" || !ok {
		t.Errorf("b: %q %t", v, ok)
	}
	if v, ok := s.Lookup("c"); v != "" || ok {
		t.Errorf("c: %q %t", v, ok)
	}
}

// TestSetsHoldNoLine: a label's value may be a part of a line, which must not
// live as long as the set.
func TestSetsHoldNoLine(t *testing.T) {
	line := string(append(make([]byte, 0, 64), "level=error and much more"...))
	s := NewTable().Of(Label{"level", line[6:11]})
	if unsafe.StringData(s.Get("level")) == unsafe.StringData(line[6:11]) {
		t.Error("the set's text is the line's")
	}
}

// TestTableIsASet: whatever is asked for comes back with the same labels, and
// as the same pointer if and only if it is equal.
func TestTableIsASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := NewTable()
		word := rapid.SampledFrom([]string{"", "a", "b", "ab", "c"})
		maps := rapid.SliceOf(rapid.MapOf(word, word)).Draw(t, "maps")
		seen := map[*Set]map[string]string{}
		for _, m := range maps {
			s := tab.FromMap(m)
			if was, ok := seen[s]; ok && len(was) != len(m) {
				t.Fatalf("%v and %v are one set", was, m)
			}
			seen[s] = m
			got := s.Map()
			if len(got) != len(m) {
				t.Fatalf("%v became %v", m, got)
			}
			for k, v := range m {
				if got[k] != v {
					t.Fatalf("%v became %v", m, got)
				}
			}
			for o := range seen {
				if o != s && Compare(o, s) == 0 {
					t.Fatalf("%s is kept twice", s)
				}
			}
		}
	})
}

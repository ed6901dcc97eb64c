package workload

import (
	"slices"
	"strings"
)

// selector is a label selector, compiled: all of its terms must hold.
type selector []term

// term holds if the fact has one of values, or any value if there are none;
// the other way round if it is negated.
type term struct {
	fact   fact
	values []string // nil: that there is a value
	not    bool
}

func (s selector) matches(f *facts) bool {
	for _, t := range s {
		v := t.fact.of(f)
		holds := v != "" && (t.values == nil || slices.Contains(t.values, v))
		if holds == t.not {
			return false
		}
	}
	return true
}

// selectorParser walks over a selector's text.
type selectorParser struct {
	text string
	i    int
}

// parseSelector compiles text, in Kubernetes' syntax of label selectors
// (k8s.io/apimachinery/pkg/labels). An empty one selects everything.
func parseSelector(text string) (selector, error) {
	p := &selectorParser{text: text}
	var s selector
	if p.space(); p.i == len(text) {
		return nil, nil
	}
	for {
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		s = append(s, t)
		p.space()
		if p.i == len(text) {
			return s, nil
		}
		if !p.take(",") {
			return nil, at(text, p.i, "a comma is missing")
		}
	}
}

func (p *selectorParser) space() {
	for p.i < len(p.text) && strings.IndexByte(" \t\n", p.text[p.i]) >= 0 {
		p.i++
	}
}

func (p *selectorParser) take(s string) bool {
	if !strings.HasPrefix(p.text[p.i:], s) {
		return false
	}
	p.i += len(s)
	return true
}

// word reads a key or a value; it may be empty.
func (p *selectorParser) word() string {
	p.space()
	start := p.i
	for p.i < len(p.text) && strings.IndexByte(" \t\n,=!()", p.text[p.i]) < 0 {
		p.i++
	}
	return p.text[start:p.i]
}

func (p *selectorParser) term() (term, error) {
	var t term
	if p.space(); p.take("!") {
		t.not = true
	}
	start := p.i
	key := p.word()
	if key == "" {
		return t, at(p.text, p.i, "a key is missing")
	}
	var known bool
	if t.fact, known = named(key); !known {
		for _, family := range []string{"pod.", "container.", "image.", "label.", "annotation."} {
			if strings.HasPrefix(key, family) {
				return t, at(p.text, start, "unknown key "+key+" (a label of this name is label."+key+")")
			}
		}
		t.fact = fact{label, key}
	}
	p.space()
	if t.not || p.i == len(p.text) || p.text[p.i] == ',' {
		return t, nil
	}
	switch {
	case p.take("!="):
		t.not = true
	case p.take("=="), p.take("="):
	default:
		return p.set(t)
	}
	value := p.word()
	if value == "" {
		return t, at(p.text, p.i, "a value is missing")
	}
	t.values = []string{value}
	return t, nil
}

// set reads what follows a key: in (a, b) or notin (a, b).
func (p *selectorParser) set(t term) (term, error) {
	start := p.i
	switch p.word() {
	case "in":
	case "notin":
		t.not = true
	default:
		return t, at(p.text, start, "expected =, !=, in or notin")
	}
	if p.space(); !p.take("(") {
		return t, at(p.text, p.i, "( is missing")
	}
	t.values = []string{}
	for {
		v := p.word()
		if v == "" {
			return t, at(p.text, p.i, "a value is missing")
		}
		t.values = append(t.values, v)
		p.space()
		if p.take(")") {
			return t, nil
		}
		if !p.take(",") {
			return t, at(p.text, p.i, ", or ) is missing")
		}
	}
}

package workload

import (
	"fmt"
	"strings"
)

// pattern is text with placeholders, compiled.
type pattern []part

// part is literal text, or the first alternative that has a value.
type part struct {
	text         string
	alternatives []alternative
}

// alternative is a fact or a constant.
type alternative struct {
	fact     fact
	constant string
	isConst  bool
}

// value is the pattern's value for f; empty if a placeholder has none.
func (p pattern) value(f *facts) string {
	var b strings.Builder
	for _, part := range p {
		if part.alternatives == nil {
			b.WriteString(part.text)
			continue
		}
		v, ok := part.first(f)
		if !ok {
			return ""
		}
		b.WriteString(v)
	}
	return strings.TrimSpace(b.String())
}

func (p part) first(f *facts) (string, bool) {
	for _, a := range p.alternatives {
		if a.isConst {
			return a.constant, true
		}
		if v := a.fact.of(f); v != "" {
			return v, true
		}
	}
	return "", false
}

// parsePattern compiles text. Errors name the position, from 1 on, in bytes.
func parsePattern(text string) (pattern, error) {
	var p pattern
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			p = append(p, part{text: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case (c == '{' || c == '}') && strings.HasPrefix(text[i+1:], string(c)):
			literal.WriteByte(c)
			i++
		case c == '}':
			return nil, at(text, i, "} without its {; a plain brace is written twice")
		case c == '{':
			flush()
			alternatives, n, err := parsePlaceholder(text, i+1)
			if err != nil {
				return nil, err
			}
			p = append(p, part{alternatives: alternatives})
			i = n
		default:
			literal.WriteByte(c)
		}
	}
	flush()
	return p, nil
}

// parsePlaceholder reads alternatives from i, behind the {, and returns the
// index of the }.
func parsePlaceholder(text string, i int) ([]alternative, int, error) {
	var all []alternative
	for {
		start := i
		if strings.HasPrefix(text[i:], "'") {
			n := strings.IndexByte(text[i+1:], '\'')
			if n < 0 {
				return nil, 0, at(text, i, "the quote is not closed")
			}
			all = append(all, alternative{constant: text[i+1 : i+1+n], isConst: true})
			i += n + 2
		} else {
			n := strings.IndexAny(text[i:], "|}")
			if n < 0 {
				return nil, 0, at(text, start, "} is missing")
			}
			name := strings.TrimSpace(text[i : i+n])
			f, ok := named(name)
			if !ok {
				return nil, 0, at(text, start, fmt.Sprintf("unknown placeholder %q", name))
			}
			all = append(all, alternative{fact: f})
			i += n
		}
		switch {
		case i < len(text) && text[i] == '}':
			return all, i, nil
		case i < len(text) && text[i] == '|':
			i++
		default:
			return nil, 0, at(text, i, "| or } is missing")
		}
	}
}

func at(text string, i int, what string) error {
	return fmt.Errorf("%q: position %d: %s", text, i+1, what)
}

package logql

import (
	"errors"
	"fmt"
	"regexp"
)

// Pattern is a pattern of texts with captures between them, as
// `<ip> - <_> "<method>"`. Two captures are never side by side.
type Pattern []PatternPart

// PatternPart is a capture or a text.
type PatternPart struct {
	// Literal is the text, empty for a capture.
	Literal string
	// Name is the capture's, empty for one that is thrown away (<_>).
	Name string
}

// Capture says that p is no text.
func (p PatternPart) Capture() bool { return p.Literal == "" }

var patternCapture = regexp.MustCompile(`<[a-zA-Z_][a-zA-Z0-9_]*>`)

// ParsePattern takes a pattern apart.
func ParsePattern(s string) (Pattern, error) {
	var p Pattern
	seen := map[string]bool{}
	end := 0
	for _, at := range patternCapture.FindAllStringIndex(s, -1) {
		if at[0] > end {
			p = append(p, PatternPart{Literal: s[end:at[0]]})
		} else if len(p) > 0 {
			return nil, fmt.Errorf("found consecutive capture '<%s>%s': a text has to be between two captures", orUnnamed(p[len(p)-1].Name), s[at[0]:at[1]])
		}
		name := s[at[0]+1 : at[1]-1]
		if name == "_" {
			name = ""
		}
		if name != "" && seen[name] {
			return nil, fmt.Errorf("duplicate capture name <%s>", name)
		}
		seen[name] = true
		p = append(p, PatternPart{Name: name})
		end = at[1]
	}
	if end < len(s) {
		p = append(p, PatternPart{Literal: s[end:]})
	}
	if len(p) == 0 {
		return nil, errors.New("empty pattern")
	}
	return p, nil
}

func orUnnamed(name string) string {
	if name == "" {
		return "_"
	}
	return name
}

// Named says whether p names a capture.
func (p Pattern) Named() bool {
	for _, part := range p {
		if part.Name != "" {
			return true
		}
	}
	return false
}

package pipeline

import (
	"regexp"
	"strings"

	"github.com/coldscope/coldscope/query/logql"
)

// regexpStage makes labels of an expression's named groups. A line that does
// not match is left as it is.
type regexpStage struct {
	re    *regexp.Regexp
	need  string // is in every line that matches
	names []string
	want  names
}

func newRegexp(re *regexp.Regexp, want names) *regexpStage {
	s := &regexpStage{re: re, need: required(re.String()), names: re.SubexpNames(), want: want}
	for i, n := range s.names {
		s.names[i] = string(appendKey(nil, n))
	}
	return s
}

func (r *regexpStage) apply(w *work) bool {
	if !strings.Contains(w.body, r.need) {
		return true
	}
	line := w.body
	at := r.re.FindStringSubmatchIndex(line)
	if at == nil {
		return true
	}
	for i, name := range r.names {
		if name == "" {
			continue
		}
		value := ""
		if at[2*i] >= 0 {
			value = line[at[2*i]:at[2*i+1]]
		}
		w.extract(name, value, r.want, false)
	}
	return true
}

// patternStage makes labels of a pattern's captures. Each goes to the next
// text of the pattern; where that is not in the line the capture goes to the
// line's end and the rest of the pattern finds nothing.
type patternStage struct {
	pattern logql.Pattern
	want    names
}

func (p *patternStage) apply(w *work) bool {
	rest := w.body
	parts := p.pattern
	if rest == "" {
		return true
	}
	if !parts[0].Capture() {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, parts[0].Literal); !ok {
			return true
		}
		parts = parts[1:]
	}
	for i := 0; i < len(parts); i += 2 {
		value, missed := rest, false
		if i+1 < len(parts) {
			at := strings.Index(rest, parts[i+1].Literal)
			if missed = at < 0; !missed {
				value, rest = rest[:at], rest[at+len(parts[i+1].Literal):]
			}
		}
		if parts[i].Name != "" {
			w.extract(parts[i].Name, value, p.want, false)
		}
		if missed {
			return true
		}
	}
	return true
}

// matchPattern says whether the whole of line is like p, whose captures may be
// empty.
func matchPattern(p logql.Pattern, line string) bool {
	if len(p) == 0 {
		return false
	}
	if !p[0].Capture() {
		var ok bool
		if line, ok = strings.CutPrefix(line, p[0].Literal); !ok {
			return false
		}
		p = p[1:]
	}
	if len(p) == 0 {
		return line == ""
	}
	if last := p[len(p)-1]; !last.Capture() {
		var ok bool
		if line, ok = strings.CutSuffix(line, last.Literal); !ok {
			return false
		}
		p = p[:len(p)-1]
	}
	// What is left begins and ends with a capture: each text's first place is
	// as good as any.
	for _, part := range p {
		if part.Capture() {
			continue
		}
		at := strings.Index(line, part.Literal)
		if at < 0 {
			return false
		}
		line = line[at+len(part.Literal):]
	}
	return true
}

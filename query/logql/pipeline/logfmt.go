package pipeline

import (
	"strconv"
	"strings"

	"github.com/coldscope/coldscope/query/logql"
)

// pairs reads key=value pairs of a line: a key is of any bytes above the space
// but = and ", a value the same or a JSON text.
type pairs struct {
	s   string
	i   int
	buf []byte
	// of the last pair:
	key, value string
}

// next reads a pair. more is false at the end of the line; wrong says that what
// was read is no pair, and what it is.
func (p *pairs) next() (more bool, wrong string) {
	for p.i < len(p.s) && p.s[p.i] <= ' ' {
		p.i++
	}
	if p.i >= len(p.s) {
		return false, ""
	}
	from := p.i
	for p.i < len(p.s) && p.s[p.i] > ' ' && p.s[p.i] != '=' && p.s[p.i] != '"' {
		p.i++
	}
	p.key, p.value = p.s[from:p.i], ""
	switch {
	case p.i == len(p.s) || p.s[p.i] <= ' ':
		return true, ""
	case p.s[p.i] == '"':
		return true, p.pass("quote in a key")
	case p.key == "":
		return true, p.pass("no key before =")
	}
	p.i++
	if p.i < len(p.s) && p.s[p.i] == '"' {
		return true, p.quoted()
	}
	from = p.i
	for p.i < len(p.s) && p.s[p.i] > ' ' {
		if c := p.s[p.i]; c == '=' || c == '"' {
			return true, p.pass("unexpected " + string(c) + " in a value")
		}
		p.i++
	}
	p.value = p.s[from:p.i]
	return true, ""
}

// quoted reads a value in quotes. An escape that JSON does not have spoils the
// value, not what follows it; only \' is one that JSON does not have and others do.
func (p *pairs) quoted() (wrong string) {
	from := p.i + 1
	escaped, bad := false, -1
	for p.i = from; p.i < len(p.s) && p.s[p.i] != '"'; p.i++ {
		if p.s[p.i] != '\\' {
			continue
		}
		escaped = true
		c := scanner{s: p.s, i: p.i}
		switch {
		case strings.HasPrefix(p.s[p.i:], `\'`):
			p.i++
		case c.escape():
			p.i = c.i - 1
		default:
			bad = p.i
			p.i++
		}
	}
	if p.i >= len(p.s) {
		p.i = len(p.s)
		return p.pass("quoted value without an end")
	}
	p.value = p.s[from:p.i]
	p.i++
	if bad >= 0 {
		return "unknown escape at byte " + strconv.Itoa(bad)
	}
	if escaped {
		p.buf = unescape(p.buf[:0], p.value)
		p.value = string(p.buf)
	}
	return ""
}

// pass goes to the end of what is no pair.
func (p *pairs) pass(wrong string) string {
	wrong += " at byte " + strconv.Itoa(p.i)
	for p.i < len(p.s) && p.s[p.i] > ' ' {
		p.i++
	}
	return wrong
}

// logfmtStage makes labels of a line of pairs: all of them, or those of fields.
type logfmtStage struct {
	strict, keepEmpty bool
	fields            map[string][]string // by key: its labels' names
	order             []*logql.Extraction
	want              names
	keys              keys
	name              []byte
	p                 pairs
}

func newLogfmt(s *logql.LogfmtParser, want names) *logfmtStage {
	l := &logfmtStage{strict: s.Strict, keepEmpty: s.KeepEmpty, order: s.Fields, want: want}
	if len(s.Fields) > 0 {
		l.fields = map[string][]string{}
	}
	for _, f := range s.Fields {
		key := f.Name
		if len(f.Path) > 0 {
			key = f.Path[0].Key
		}
		l.fields[key] = append(l.fields[key], f.Name)
	}
	return l
}

func (l *logfmtStage) apply(w *work) bool {
	l.p.s, l.p.i = w.body, 0
	for {
		more, wrong := l.p.next()
		if !more {
			break
		}
		if wrong != "" {
			if l.strict {
				w.fail(ErrLogfmt, wrong)
				break
			}
			continue
		}
		if l.fields != nil {
			for _, name := range l.fields[l.p.key] {
				w.extract(name, l.p.value, l.want, false)
			}
			continue
		}
		if l.p.value == "" && !l.keepEmpty {
			continue
		}
		if l.name = appendKey(l.name[:0], l.p.key); len(l.name) > 0 && len(l.name) <= maxName {
			w.extract(l.keys.label(l.name), l.p.value, l.want, true)
		}
	}
	for _, f := range l.order {
		if _, ok := w.lookup(f.Name); !ok {
			w.extract(f.Name, "", l.want, false)
		}
	}
	return true
}

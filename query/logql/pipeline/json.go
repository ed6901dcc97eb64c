package pipeline

import (
	"github.com/coldscope/coldscope/query/logql"
)

// jsonStage makes labels of all of a JSON object, nested names joined by _.
// Arrays and nulls are passed over.
type jsonStage struct {
	want names
	keys keys
	name []byte // of the value being read, as a label
	buf  []byte // for texts with escapes
	c    scanner
	w    *work
}

func (j *jsonStage) apply(w *work) bool {
	j.c = scanner{s: w.body}
	j.w = w
	j.name = j.name[:0]
	if j.c.peek() != '{' {
		w.fail(ErrJSON, "the line is no JSON object")
		return true
	}
	if !j.object(1) || !j.c.end() {
		w.fail(ErrJSON, j.c.wrong)
	}
	return true
}

// object is scanner.object without its function for each member: most lines'
// time is spent here.
func (j *jsonStage) object(depth int) bool {
	c := &j.c
	if depth > maxDepth {
		return c.fail("too deep")
	}
	c.i++
	if c.peek() == '}' {
		c.i++
		return true
	}
	for {
		if c.peek() != '"' {
			return c.fail("no key")
		}
		key, escaped, ok := c.text()
		if !ok {
			return false
		}
		if c.peek() != ':' {
			return c.fail("no colon after a key")
		}
		c.i++
		if !j.member(key, escaped, depth) {
			return false
		}
		switch c.peek() {
		case ',':
			c.i++
		case '}':
			c.i++
			return true
		default:
			return c.fail("object without an end")
		}
	}
}

func (j *jsonStage) member(key string, escaped bool, depth int) bool {
	if escaped {
		j.buf = unescape(j.buf[:0], key)
		key = string(j.buf)
	}
	was := len(j.name)
	if was > 0 {
		j.name = append(j.name, '_')
	}
	j.name = appendKey(j.name, key)
	ok := j.value(depth)
	j.name = j.name[:was]
	return ok
}

func (j *jsonStage) value(depth int) bool {
	switch j.c.peek() {
	case '{':
		return j.object(depth + 1)
	case '[':
		return j.c.skip(depth + 1)
	case '"':
		raw, escaped, ok := j.c.text()
		if ok {
			j.set(raw, escaped)
		}
		return ok
	}
	text, ok := j.c.scalar()
	if ok && text != "null" {
		j.set(text, false)
	}
	return ok
}

func (j *jsonStage) set(raw string, escaped bool) {
	if len(j.name) == 0 || len(j.name) > maxName {
		return
	}
	name := j.w.extractedName(j.keys.label(j.name))
	if !j.want.has(name) || reserved(name) {
		return
	}
	if i := j.w.find(name); i >= 0 && j.w.entries[i].category == parsed {
		return
	}
	if escaped {
		j.buf = unescape(j.buf[:0], raw)
		raw = string(j.buf)
	}
	j.w.set(name, raw)
}

// jsonPaths makes labels of the values that its paths point at. Objects and
// arrays become their JSON text.
type jsonPaths struct {
	want  names
	paths []*logql.Extraction
	found []bool
	buf   []byte
	c     scanner
	w     *work
	open  [][]int // per depth: the paths that lead to the value there
}

func newJSONPaths(paths []*logql.Extraction, want names) *jsonPaths {
	j := &jsonPaths{want: want, found: make([]bool, len(paths))}
	for _, p := range paths {
		if len(p.Path) == 0 {
			own := *p
			own.Path = []logql.PathElem{{Key: p.Name, IsKey: true}}
			p = &own
		}
		j.paths = append(j.paths, p)
	}
	return j
}

func (j *jsonPaths) apply(w *work) bool {
	j.c = scanner{s: w.body}
	j.w = w
	clear(j.found)
	start := j.at(0)
	for i := range j.paths {
		start = append(start, i)
	}
	j.open[0] = start
	if b := j.c.peek(); b != '{' && b != '[' {
		w.fail(ErrJSON, "the line is no JSON object")
	} else if !j.value(0) || !j.c.end() {
		w.fail(ErrJSON, j.c.wrong)
	}
	for i, p := range j.paths {
		if _, ok := w.lookup(p.Name); !j.found[i] && !ok {
			w.extract(p.Name, "", j.want, false)
		}
	}
	return true
}

// at is the empty list of the paths that lead to the value being read at depth.
func (j *jsonPaths) at(depth int) []int {
	for len(j.open) <= depth {
		j.open = append(j.open, nil)
	}
	return j.open[depth][:0]
}

// value reads the value at depth, to which the paths of j.open[depth] lead.
func (j *jsonPaths) value(depth int) bool {
	if len(j.open[depth]) == 0 {
		return j.c.skip(depth)
	}
	c := &j.c
	first := c.peek()
	from := c.i
	var raw string
	var escaped, ok bool
	switch first {
	case '{':
		ok = c.object(depth, func(key string, escaped bool) bool {
			if escaped {
				j.buf = unescape(j.buf[:0], key)
				key = string(j.buf)
			}
			j.step(depth, func(e logql.PathElem) bool { return e.IsKey && e.Key == key })
			return j.value(depth + 1)
		})
		raw = c.s[from:c.i]
	case '[':
		ok = c.array(depth, func(index int) bool {
			j.step(depth, func(e logql.PathElem) bool { return !e.IsKey && e.Index == index })
			return j.value(depth + 1)
		})
		raw = c.s[from:c.i]
	case '"':
		raw, escaped, ok = c.text()
	default:
		if raw, ok = c.scalar(); raw == "null" {
			raw = ""
		}
	}
	if ok {
		j.take(depth, raw, escaped)
	}
	return ok
}

// step finds the paths that go on from the value at depth by an element like e.
func (j *jsonPaths) step(depth int, like func(e logql.PathElem) bool) {
	next := j.at(depth + 1)
	for _, i := range j.open[depth] {
		if p := j.paths[i].Path; len(p) > depth && like(p[depth]) && !j.found[i] {
			next = append(next, i)
		}
	}
	j.open[depth+1] = next
}

// take sets the labels whose paths end at depth. The first value counts.
func (j *jsonPaths) take(depth int, raw string, escaped bool) {
	for _, i := range j.open[depth] {
		if len(j.paths[i].Path) != depth || j.found[i] {
			continue
		}
		j.found[i] = true
		if escaped {
			j.buf = unescape(j.buf[:0], raw)
			raw, escaped = string(j.buf), false
		}
		j.w.extract(j.paths[i].Name, raw, j.want, false)
	}
}

// unpackStage takes apart what an agent's pack stage made: its labels, and
// _entry, which becomes the line. What has no _entry was not packed and is left
// as it is.
type unpackStage struct {
	want names
	keys keys
	buf  []byte
	c    scanner
}

func (u *unpackStage) apply(w *work) bool {
	u.c = scanner{s: w.body}
	if u.c.peek() != '{' {
		w.fail(ErrJSON, "the line is no JSON object")
		return true
	}
	type member struct{ name, value string }
	var members []member
	var line string
	packed := false
	ok := u.c.object(1, func(key string, escaped bool) bool {
		if escaped {
			u.buf = unescape(u.buf[:0], key)
			key = string(u.buf)
		}
		if u.c.peek() != '"' {
			return u.c.skip(2)
		}
		value, escaped, ok := u.c.text()
		if escaped {
			u.buf = unescape(u.buf[:0], value)
			value = string(u.buf)
		}
		if key == "_entry" {
			line, packed = value, true
		} else if u.buf = appendKey(u.buf[:0], key); len(u.buf) > 0 && len(u.buf) <= maxName {
			members = append(members, member{u.keys.label(u.buf), value})
		}
		return ok
	})
	if !ok || !u.c.end() {
		w.fail(ErrJSON, u.c.wrong)
		return true
	}
	if packed {
		for _, m := range members {
			w.extract(m.name, m.value, u.want, true)
		}
		w.body = line
	}
	return true
}

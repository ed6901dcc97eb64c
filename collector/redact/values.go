package redact

import "bytes"

// opened is where a name's value begins, and what ends it.
type opened struct {
	from  int
	quote byte // it ends with this; 0: it stands bare
	list  bool // there is a bracket before it
}

// open looks for the value behind a name that ends at end: `name: value`,
// `name=value`, `"name":"value"`, `'name': b'value'`, `("name", "value")`,
// `"name"=>"value"`, `name:[value]`, `"name":[]string{"value"}`, `"name","value":"value"`, with any number
// of backslashes before the quotes.
func (f *finder) open(end int) (opened, bool) {
	b := f.line
	i, quoted := f.quote(end)
	if quoted == 0 && i < len(b) && word(b[i]) {
		return opened{}, false // a longer name
	}
	if quoted != 0 && i < len(b) && b[i] == ']' { // header["name"] = …
		i++
	}
	i = f.spaces(i)
	if i >= len(b) {
		return opened{}, false
	}
	switch c := b[i]; {
	case c == ':':
		i++
	case c == '=':
		if i++; i < len(b) && b[i] == '>' {
			i++
		}
	case c == ',' && quoted != 0:
		i = f.spaces(i + 1)
		if at, q := f.quote(i); q != 0 && bytes.HasPrefix(b[at:], []byte("value")) {
			if at, q := f.quote(at + len("value")); q != 0 && at < len(b) && b[at] == ':' {
				i = at + 1
			}
		}
	default:
		return opened{}, false
	}
	return f.opening(f.spaces(i))
}

// opening takes what stands before a value.
func (f *finder) opening(i int) (o opened, ok bool) {
	if goList := []byte("[]string{"); bytes.HasPrefix(f.line[i:], goList) { // %#v
		o.list = true
		i += len(goList)
	} else if i < len(f.line) && f.line[i] == '[' {
		o.list = true
		i = f.spaces(i + 1)
	}
	if i+1 < len(f.line) && f.line[i] == 'b' {
		if at, q := f.quote(i + 1); q != 0 {
			i, o.quote = at, q
		}
	}
	if o.quote == 0 {
		i, o.quote = f.quote(i)
	}
	o.from = i
	return o, i < len(f.line)
}

// quote takes a quote at i, with the backslashes before it; 0 if there is none.
func (f *finder) quote(i int) (next int, q byte) {
	at := f.run(i, func(c byte) bool { return c == '\\' })
	if at < len(f.line) {
		if c := f.line[at]; c == '"' || c == '\'' || c == '`' {
			return at + 1, c
		}
	}
	return i, 0
}

func (f *finder) spaces(i int) int {
	return f.run(i, func(c byte) bool { return c == ' ' || c == '\t' })
}

// near is how far the end of a value is looked for. Headers are no longer.
const near = 8 << 10

// content gives the end of a value that stands in quotes or brackets; false for
// a bare one.
func (f *finder) content(o opened) (end int, ok bool) {
	rest := f.line[o.from:]
	close := o.quote
	if close == 0 && o.list {
		close = ']'
	}
	if close == 0 {
		return 0, false
	}
	head := rest[:min(near, len(rest))]
	if n := bytes.IndexByte(head, close); n >= 0 {
		head = head[:n]
	}
	n := lineEnd(head)
	if n == near { // it has no end
		n = len(rest)
	}
	for n > 0 && rest[n-1] == '\\' {
		n--
	}
	return o.from + n, true
}

// lineEnd gives the place of the first newline or carriage return in b, or its length.
func lineEnd(b []byte) int {
	for _, c := range [...]byte{'\n', '\r'} {
		if i := bytes.IndexByte(b, c); i >= 0 {
			b = b[:i]
		}
	}
	return len(b)
}

// next gives the next value of a list of quoted ones.
func (f *finder) next(o opened, end int) (opened, bool) {
	i, q := f.quote(end)
	if i = f.spaces(i); !o.list || q == 0 || i >= len(f.line) || f.line[i] != ',' {
		return opened{}, false
	}
	next, ok := f.opening(f.spaces(i + 1))
	next.list = true
	return next, ok && next.quote != 0
}

// bare is what a value without quotes is of.
func bare(c byte) bool {
	switch c {
	case ',', ';', '"', '\'', '`', ']', '}', ')', '&', '\\', '<', '>', '|':
		return false
	}
	return c > ' ' && c != 0x7f
}

// values calls take for each value of the name that begins at at. end is 0 for
// one without quotes or brackets.
func (f *finder) values(a *anchor, at int, take func(from, end int)) {
	if alphanumeric(f.before(at)) {
		return
	}
	o, ok := f.open(at + len(a.text))
	for ok {
		end, closed := f.content(o)
		if !closed {
			take(o.from, 0)
			return
		}
		if o.from < end {
			take(o.from, end)
		}
		o, ok = f.next(o, end)
	}
}

// token redacts the whole value of a name that holds nothing but a secret.
func (f *finder) token(a *anchor, at int) {
	const least = 8 // "missing", "null", "****"
	f.values(a, at, func(from, end int) {
		if end == 0 {
			end = f.run(from, bare)
		}
		if end-from >= least && string(f.line[from:end]) != "undefined" {
			f.add(from, end, a.kind)
		}
	})
}

// value is token for a name that may be the end of a longer one.
func (f *finder) value(a *anchor, at int) {
	const least = 4
	o, ok := f.open(at + len(a.text))
	if !ok {
		return
	}
	end, closed := f.content(o)
	if !closed {
		end = f.run(o.from, bare)
	}
	if end-o.from >= least {
		f.add(o.from, end, a.kind)
	}
}

// authorization redacts the credentials of the header and leaves the scheme.
func (f *finder) authorization(a *anchor, at int) {
	f.values(a, at, func(from, end int) { f.credentials(a, from, end) })
}

func (f *finder) credentials(a *anchor, from, end int) {
	closed := end > 0
	if !closed {
		value := f.line[from:min(len(f.line), from+near)]
		end = from + lineEnd(value)
		if i := bytes.IndexByte(f.line[from:end], '\\'); i >= 0 { // the end of a string, or of a line in one
			end = from + i
		}
	}
	scheme, rest, more := bytes.Cut(f.line[from:end], []byte(" "))
	start := end - len(bytes.TrimLeft(rest, " "))
	known := string(bytes.ToLower(scheme[:min(len(scheme), len("negotiate "))]))
	switch {
	case !more || start == end:
		if known != "bearer" && known != "basic" {
			f.schemeless(a, from, end, closed)
		}
	case known == "bearer" || known == "basic" || known == "token" || known == "negotiate" || known == "ntlm" || known == "apikey" || known == "bot":
		if !closed {
			end = f.run(start, bare)
		}
		if start < end {
			f.add(start, end, a.kind)
		}
	case bytes.Contains(scheme, []byte("HMAC-SHA256")): // of Tencent Cloud and AWS
		f.parameter("Credential=", start, end, "secret-id")
		f.parameter("Signature=", start, end, "signature")
	case known == "digest" || known == "oauth" || known == "hawk" || known == "signature":
		f.add(start, end, a.kind)
	default:
		f.schemeless(a, from, end, closed)
	}
}

// schemeless redacts the value of an Authorization header that is nothing but a
// key. Where no quote ends it, it may be the word of a sentence.
func (f *finder) schemeless(a *anchor, from, end int, closed bool) {
	const least, head = 8, 64
	if closed {
		if end-from >= least {
			f.add(from, end, a.kind)
		}
		return
	}
	value := f.line[from:min(len(f.line), from+head)]
	n := bytes.IndexFunc(value, func(r rune) bool { return r < 0x80 && !bare(byte(r)) })
	if n < 0 {
		n = len(value)
	}
	if n >= 2*least && bytes.ContainsAny(value[:n], "0123456789") {
		f.add(from, f.run(from, bare), a.kind)
	}
}

// parameter redacts the value of a signature's parameter.
func (f *finder) parameter(name string, from, to int, kind string) {
	i := bytes.Index(f.line[from:to], []byte(name))
	if i < 0 {
		return
	}
	from += i + len(name)
	if end := min(to, f.run(from, word)); end > from {
		f.add(from, end, kind)
	}
}

// cookie redacts all cookies of a Cookie or Set-Cookie header, in one.
func (f *finder) cookie(a *anchor, at int) {
	const longest = 256 // name
	f.values(a, at, func(from, end int) {
		head := f.line[from:min(len(f.line), from+longest)]
		if end > 0 {
			head = head[:min(len(head), end-from)]
		}
		eq := bytes.IndexByte(head, '=')
		if eq <= 0 {
			return
		}
		if end == 0 {
			if f.run(from, bare) < from+eq {
				return
			}
			end = f.cookies(from)
		}
		f.add(from, end, a.kind)
	})
}

// cookies gives the end of `name=value; name=value; Attribute`.
func (f *finder) cookies(from int) int {
	end := from
	for {
		next := f.run(end, bare)
		if next == end {
			return end
		}
		end = next
		if end+1 >= len(f.line) || f.line[end] != ';' {
			return end
		}
		if next = f.spaces(end + 1); next >= len(f.line) || !bare(f.line[next]) {
			return end
		}
		end = next
	}
}

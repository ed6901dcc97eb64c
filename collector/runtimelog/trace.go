package runtimelog

import "bytes"

// Nearly all lines belong to no stack trace, and nearly all of those are told
// by their first byte.
func (r *Rules) prepare() {
	letters, capitals := "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for k, first := range map[kind]string{
		goTrace:     "pfgurhS0123456789",
		javaTrace:   letters + capitals + "\t ",
		pythonTrace: "T ",
		nodeTrace:   capitals + "\t /fn",
		dotnetTrace: letters + capitals + " ",
		rubyTrace:   letters + capitals + "/.",
		glogEntry:   "IWEF",
	} {
		if r.kinds&k != 0 {
			for i := range len(first) {
				r.first[first[i]] |= k
			}
		}
	}
	if r.kinds&customEntry != 0 {
		for i := range r.first {
			r.first[i] |= customEntry
		}
	}
}

// starts tells what may begin with a line, 0 if nothing; and in which state.
func (r *Rules) starts(b []byte) (kind, state) {
	if len(b) == 0 {
		return 0, frames
	}
	may := r.first[b[0]]
	if may == 0 {
		return 0, frames
	}
	if b = bytes.TrimSuffix(b, carriageReturn); len(b) == 0 {
		return 0, frames
	}
	return r.begins(may, b)
}

// state is where in a trace we are. Most traces need none.
type state uint8

const (
	frames  state = iota
	stacks        // Go: a goroutine was there; another panic is another trace
	message       // Python: the exception's line was there
	chained       // Python: the line that says why another trace follows was there
	source        // Node: a place in a file was there, its line follows
	caret         // Node: the mark under that line follows
	thrown        // Node: what was thrown follows
)

func (r *Rules) begins(may kind, b []byte) (kind, state) {
	if may&customEntry != 0 && (r.start == nil || r.start.Match(b)) {
		return customEntry, frames
	}
	if may&glogEntry != 0 && glogHeader(b) {
		return glogEntry, frames
	}
	if may&goTrace != 0 && goStart(b) {
		if b[0] == 'g' {
			return goTrace, stacks
		}
		return goTrace, frames
	}
	if may&pythonTrace != 0 && (hasPrefix(b, pythonHead) || hasPrefix(b, "  + Exception Group Traceback")) {
		return pythonTrace, frames
	}
	if may&nodeTrace != 0 {
		if nodeError(b) {
			return nodeTrace, frames
		}
		if nodePlace(b) {
			return nodeTrace, source
		}
	}
	if k := may & (javaTrace | nodeTrace | dotnetTrace); k != 0 && (b[0] == ' ' || b[0] == '\t') {
		if rest := bytes.TrimLeft(b, " \t"); hasPrefix(rest, "at ") { // its head was not recognised
			return k, frames
		}
		return 0, frames
	}
	if k := may & (javaTrace | dotnetTrace); k != 0 && exceptionHead(b) {
		return k, frames
	}
	if may&rubyTrace != 0 && rubyStart(b) {
		return rubyTrace, frames
	}
	return 0, frames
}

// continues tells whether a line belongs to the group, and changes its state.
func (r *Rules) continues(g *group, b []byte) bool {
	b = bytes.TrimSuffix(b, carriageReturn)
	switch g.kind {
	case customEntry:
		if r.start != nil && r.start.Match(b) {
			return false
		}
		return r.more == nil || r.more.Match(b)
	case glogEntry:
		return !glogHeader(b) && !looksLikeJSON(b)
	default: // traces
	}
	if len(b) == 0 { // belongs to the trace if the next line does
		return false
	}
	return g.kind&goTrace != 0 && goMore(g, b) ||
		g.kind&pythonTrace != 0 && pythonMore(g, b) ||
		g.kind&(javaTrace|dotnetTrace) != 0 && javaMore(b) ||
		g.kind&nodeTrace != 0 && nodeMore(g, b) ||
		g.kind&rubyTrace != 0 && rubyMore(b)
}

var carriageReturn = []byte{'\r'}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

func looksLikeJSON(b []byte) bool {
	return len(b) > 1 && b[0] == '{' && b[len(b)-1] == '}'
}

// goStart: a panic, a runtime's fatal error, a dump of goroutines, also that of
// net/http behind the time of package log.
func goStart(b []byte) bool {
	switch b[0] {
	case 'p':
		return hasPrefix(b, "panic: ")
	case 'f':
		return hasPrefix(b, "fatal error: ")
	case 'g':
		return goroutine(b)
	case 'u':
		return hasPrefix(b, "unexpected fault address ")
	case 'r':
		return hasPrefix(b, "runtime: ")
	case 'S':
		return hasPrefix(b, "SIGQUIT: ") || hasPrefix(b, "SIGABRT: ") || hasPrefix(b, "SIGSEGV: ") ||
			hasPrefix(b, "SIGBUS: ") || hasPrefix(b, "SIGILL: ") || hasPrefix(b, "SIGTRAP: ")
	case 'h':
		return hasPrefix(b, "http: panic serving ")
	}
	const stamp = "2006/01/02 15:04:05 "
	return len(b) > len(stamp) && b[4] == '/' && hasPrefix(b[len(stamp):], "http: panic serving ")
}

// goroutine: `goroutine 1 [running]:`.
func goroutine(b []byte) bool {
	return hasPrefix(b, "goroutine ") && bytes.Contains(b, []byte(" [")) && b[len(b)-1] == ':'
}

func goMore(g *group, b []byte) bool {
	switch b[0] {
	case '\t':
		return true
	case '[':
		return hasPrefix(b, "[signal ") || hasPrefix(b, "[originating ") || hasPrefix(b, "[recovered")
	case '.':
		return hasPrefix(b, "...")
	}
	if goroutine(b) || hasPrefix(b, "runtime stack:") {
		g.state = stacks
		return true
	}
	if hasPrefix(b, "created by ") || hasPrefix(b, "exit status ") || hasPrefix(b, "goroutine running on other thread") {
		return true
	}
	if hasPrefix(b, "panic: ") || hasPrefix(b, "fatal error: ") || hasPrefix(b, "runtime: ") {
		return g.state == frames
	}
	if b[len(b)-1] == ')' { // net/http.(*conn).serve(0xc000…, {0x…, 0x…})
		call := b[:max(0, bytes.LastIndexByte(b, '('))]
		name, _, _ := bytes.Cut(call, space)
		return string(name) == "panic" || bytes.IndexByte(name, '.') > 0 && (len(name) == len(call) || bytes.IndexByte(name, '(') > 0)
	}
	// A register: `rax    0x0`.
	name, value, ok := bytes.Cut(b, space)
	return ok && len(name) <= len("rflags") && hasPrefix(bytes.TrimLeft(value, " "), "0x")
}

// exceptionHead: the first line of a trace of Java or .NET.
func exceptionHead(b []byte) bool {
	if b[0] == 'E' && hasPrefix(b, `Exception in thread "`) || b[0] == 'C' && hasPrefix(b, "Caused by: ") ||
		b[0] == 'U' && (hasPrefix(b, "Unhandled exception. ") || hasPrefix(b, "Unhandled Exception: ")) {
		return true
	}
	n, dots := name(b)
	if dots == 0 || n < len(b) && b[n] != ':' {
		return false
	}
	return bytes.HasSuffix(b[:n], []byte("Exception")) || bytes.HasSuffix(b[:n], []byte("Error")) ||
		bytes.HasSuffix(b[:n], []byte("Throwable"))
}

// name gives the length of the qualified name at the beginning of b, and how
// many dots are in it.
func name(b []byte) (n, dots int) {
	for ; n < len(b); n++ {
		switch c := b[n]; {
		case c == '.':
			dots++
		case !alphanumeric(c) && c != '_' && c != '$':
			return n, dots
		}
	}
	return n, dots
}

func javaMore(b []byte) bool {
	rest := bytes.TrimLeft(b, " \t")
	if hasPrefix(rest, "Caused by: ") || hasPrefix(rest, "Suppressed: ") || hasPrefix(rest, "Wrapped by: ") {
		return true
	}
	return len(rest) < len(b) && (hasPrefix(rest, "at ") || hasPrefix(rest, "... ") ||
		hasPrefix(rest, "---> ") || hasPrefix(rest, "--- End of "))
}

const pythonHead = "Traceback (most recent call last):"

func pythonMore(g *group, b []byte) bool {
	switch {
	case g.state == frames && (b[0] == ' ' || b[0] == '\t'):
		return true
	case g.state == frames && !g.blank.held:
		if n, _ := name(b); n == 0 || n < len(b) && b[n] != ':' {
			return false
		}
		g.state = message
		return true
	case g.state == message && g.blank.held && (hasPrefix(b, "During handling of the above exception") ||
		hasPrefix(b, "The above exception was the direct cause")):
		g.state = chained
		return true
	case g.state == chained && hasPrefix(b, pythonHead):
		g.state = frames
		return true
	}
	return false
}

// nodeError: `TypeError: …`, `Error [ERR_X]: …`, `Uncaught Error: …`.
func nodeError(b []byte) bool {
	if hasPrefix(b, "Uncaught ") {
		b = b[len("Uncaught "):]
	}
	n, dots := name(b)
	if dots > 0 || !bytes.HasSuffix(b[:n], []byte("Error")) {
		return false
	}
	return n == len(b) || b[n] == ':' || hasPrefix(b[n:], " [")
}

// nodePlace: `/app/index.js:3`, `node:internal/modules/cjs/loader:1080`.
func nodePlace(b []byte) bool {
	switch b[0] {
	case '/':
	case 'f':
		if !hasPrefix(b, "file:///") {
			return false
		}
	case 'n':
		if !hasPrefix(b, "node:") {
			return false
		}
	default:
		return false
	}
	i := len(b)
	for i > 0 && b[i-1]-'0' <= 9 {
		i--
	}
	return i > 1 && i < len(b) && b[i-1] == ':' && bytes.IndexByte(b, ' ') < 0
}

func nodeMore(g *group, b []byte) bool {
	switch g.state {
	case source:
		g.state = caret
		return !looksLikeJSON(b)
	case caret:
		g.state = thrown
		return len(bytes.Trim(b, " \t^")) == 0
	case thrown:
		if !nodeError(b) {
			return hasPrefix(b, "Node.js v")
		}
		g.state = frames
		return true
	default:
	}
	if g.blank.held {
		return hasPrefix(b, "Node.js v")
	}
	return hasPrefix(b, "  ") || b[0] == '\t' || len(b) == 1 && b[0] == '}'
}

// rubyStart: `app.rb:3:in 'foo': message (RuntimeError)`.
func rubyStart(b []byte) bool {
	place, _, ok := bytes.Cut(b, space)
	return ok && bytes.HasSuffix(place, []byte(":in")) && bytes.Contains(place, []byte(".rb:"))
}

func rubyMore(b []byte) bool {
	rest := bytes.TrimLeft(b, " \t")
	if len(rest) == len(b) {
		return false
	}
	rest = bytes.TrimLeft(rest, "0123456789: ")
	return hasPrefix(rest, "from ")
}

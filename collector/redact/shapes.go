package redact

import "bytes"

// Whatever a line holds, looking through it takes time in proportion to its
// length: what a rule has looked at in vain is short, or is not looked at again.

// tencentKey: a SecretId is AKID and 32 letters and digits; temporary ones are longer.
func (f *finder) tencentKey(a *anchor, at int) {
	if alphanumeric(f.before(at)) {
		return
	}
	if end := f.run(at, word); end-at >= 32 {
		f.add(at, end, a.kind)
	}
}

// awsKey: AKIA or ASIA and 16 capitals and digits.
func (f *finder) awsKey(a *anchor, at int) {
	const size = 20
	if alphanumeric(f.before(at)) || len(f.line)-at < size {
		return
	}
	for _, c := range f.line[at : at+size] {
		if !upper(c) && !digit(c) {
			return
		}
	}
	if at+size == len(f.line) || !alphanumeric(f.line[at+size]) {
		f.add(at, at+size, a.kind)
	}
}

func (f *finder) githubToken(a *anchor, at int) {
	if alphanumeric(f.before(at)) {
		return
	}
	if end := f.run(at, func(c byte) bool { return alphanumeric(c) || c == '_' }); end-at >= 34 {
		f.add(at, end, a.kind)
	}
}

// slackToken: xoxb-, xoxp- and their like.
func (f *finder) slackToken(a *anchor, at int) {
	b := f.line[at:]
	if alphanumeric(f.before(at)) || len(b) < len("xoxb-") || bytes.IndexByte([]byte("abcdeprs"), b[3]) < 0 || b[4] != '-' {
		return
	}
	end := f.run(at, func(c byte) bool { return alphanumeric(c) || c == '-' })
	if end-at >= 15 {
		f.add(at, end, a.kind)
	}
}

// apiKey: sk- and at least 20 more with a digit, and a capital if there are not
// more than 30, so that sk-loading-spinner-animation stays what it is.
func (f *finder) apiKey(a *anchor, at int) {
	if word(f.before(at)) {
		return
	}
	end := f.run(at, word)
	rest := f.line[at+len(a.text) : end]
	digits := bytes.IndexFunc(rest, func(r rune) bool { return digit(byte(r)) }) >= 0
	capitals := bytes.IndexFunc(rest, func(r rune) bool { return upper(byte(r)) }) >= 0
	if len(rest) >= 20 && digits && (capitals || len(rest) > 30) {
		f.add(at, end, a.kind)
	}
}

// jwt: header, payload and signature in base64url, of which the first two are
// JSON objects.
func (f *finder) jwt(a *anchor, at int) {
	if at < f.noJWT || word(f.before(at)) {
		return
	}
	header := f.run(at, word)
	f.noJWT = header // what begins within the header ends with it
	if header-at < 8 || header == len(f.line) || f.line[header] != '.' || !bytes.HasPrefix(f.line[header+1:], []byte(a.text)) {
		return
	}
	payload := f.run(header+1, word)
	if payload == len(f.line) || f.line[payload] != '.' {
		return
	}
	if end := f.run(payload+1, word); end-payload > 8 {
		f.add(at, end, a.kind)
	}
}

// privateKey: PEM, in one line with real or escaped newlines. It ends with the
// line if its own end is not there.
func (f *finder) privateKey(a *anchor, at int) {
	const label, tail = "PRIVATE KEY-----", "-----END "
	from := at + len(a.text)
	head := f.line[from:min(len(f.line), from+len("ENCRYPTED ")+len(label)+10)]
	i := bytes.Index(head, []byte(label))
	if i < 0 {
		return
	}
	from += i + len(label)
	to := len(f.line)
	if end := bytes.Index(f.line[from:], []byte(tail)); end >= 0 {
		to = from + end
	}
	if from < to {
		f.add(from, to, a.kind)
	}
}

// userinfo: the password of scheme://user:password@host. The anchor is the @.
func (f *finder) userinfo(a *anchor, at int) {
	const most = 512
	from := max(f.noHost, at-most)
	i := bytes.LastIndex(f.line[from:at], []byte("://"))
	f.noHost = at
	if i < 0 {
		return
	}
	from += i + len("://")
	end := f.run(from, func(c byte) bool {
		return c > ' ' && c != '/' && c != '?' && c != '#' && c != '"' && c != '\'' && c != '`' && c != '<' && c != '>' && c != '\\'
	})
	last := bytes.LastIndexByte(f.line[from:end], '@')
	colon := bytes.IndexByte(f.line[from:end], ':')
	if last < 0 || from+last < at || colon < 0 || colon+1 >= last {
		return
	}
	f.add(from+colon+1, from+last, a.kind)
}

package extract

import (
	"strconv"
	"strings"
)

// logfmt reads the body as logfmt and reports whether it is: it begins with a
// key=value, and has at least two of them, and more than words without. A word
// without is no attribute.
func (r *reader) logfmt() bool {
	if !logfmtHead(r.s) {
		return false
	}
	sent := len(r.attrs)
	pairs, words, empty := 0, 0, false
	for r.at = 0; ; {
		for r.at < len(r.s) && r.s[r.at] <= ' ' {
			r.at++
		}
		if r.at == len(r.s) {
			break
		}
		from := r.at
		for r.at < len(r.s) && r.s[r.at] > ' ' && r.s[r.at] != '=' && r.s[r.at] != '"' {
			r.at++
		}
		key := r.s[from:r.at]
		if !r.take('=') {
			if words++; empty || r.peek() == '"' { // "frame=  100" is a progress bar's
				r.restart(sent)
				return false
			}
			continue
		}
		value, ok := r.logfmtValue()
		if !ok || key == "" {
			r.restart(sent)
			return false
		}
		pairs++
		empty = value == ""
		r.logfmtField(key, value)
	}
	if pairs < 2 || pairs <= words {
		r.restart(sent)
		return false
	}
	return true
}

// logfmtHead reports whether s begins with a key and an equals sign.
func logfmtHead(s string) bool {
	for i := range min(len(s), maxKey) {
		switch c := s[i]; {
		case c == '=':
			return i > 0
		case !isIDByte(c) && c != '.' && c != '@' && c != '/':
			return false
		}
	}
	return false
}

func (r *reader) logfmtValue() (value string, ok bool) {
	from := r.at
	if r.peek() != '"' {
		for r.at < len(r.s) && r.s[r.at] > ' ' {
			r.at++
		}
		return r.s[from:r.at], true
	}
	escaped, json := false, true
	for r.at++; r.at < len(r.s) && r.s[r.at] != '"'; r.at++ {
		if r.s[r.at] == '\\' {
			escaped = true
			json = json && (escapeBytes(r.s[r.at:]) > 0 || strings.HasPrefix(r.s[r.at:], `\'`))
			r.at++
		}
	}
	if !r.take('"') || r.at < len(r.s) && r.s[r.at] > ' ' {
		return "", false
	}
	value = r.s[from+1 : r.at-1]
	switch {
	case !escaped:
	case json:
		value = strip(unescape(value))
	default: // as logrus and slog write it
		if unquoted, err := strconv.Unquote(r.s[from:r.at]); err == nil {
			value = strip(strings.ToValidUTF8(unquoted, "\uFFFD"))
		}
	}
	return value, true
}

func (r *reader) logfmtField(key, value string) {
	if len(key) > maxKey {
		return
	}
	meaning := r.x.fields.role(key)
	kept := (r.x.keepAll || meaning&roleKeep != 0) && meaning&roleDrop == 0
	r.string(key, meaning, value, kept)
}

package runtimelog

import "unicode/utf8"

// finish makes raw a body: valid UTF-8 of at most limit bytes, NUL and other
// control characters included. ascii says that nothing has to be made valid.
func (j *Joiner) finish(raw []byte, missing int64, ascii bool) (body []byte, truncated int64) {
	if len(raw) > j.limit {
		missing += int64(len(raw) - j.limit)
		raw = raw[:j.limit]
	}
	if missing > 0 {
		whole := wholeRunes(raw)
		missing += int64(len(raw) - len(whole))
		raw = whole
	}
	if ascii || utf8.Valid(raw) {
		return raw, missing
	}
	j.valid = appendValid(j.valid[:0], raw)
	body = j.valid
	if len(body) > j.limit {
		body = wholeRunes(body[:j.limit])
		missing += int64(len(j.valid) - len(body))
	}
	if cap(j.valid) > keepBuffer {
		j.valid = nil
	}
	return body, missing
}

// wholeRunes takes a rune that is not complete off the end of b.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

// appendValid appends b with each byte that is not UTF-8 replaced by U+FFFD.
func appendValid(dst, b []byte) []byte {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		dst = utf8.AppendRune(dst, r)
		b = b[n:]
	}
	return dst
}

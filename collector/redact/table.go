package redact

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// table tells by two neighbouring bytes which anchors may be there: it has the
// index of a list of them. Only every other pair is looked at, so an anchor has
// two: one that begins at an even place in it, and one at an odd. They are chosen
// to be rare in logs. Of the 64 KiB, text touches a tenth.
type table struct {
	lists [][]place // the first is empty
	index [1 << 16]uint8
}

// place says that an anchor may begin off bytes before a pair.
type place struct {
	anchor *anchor
	off    int
}

func newTable(anchors []*anchor) *table {
	pairs := map[uint16][]place{}
	for _, a := range anchors {
		for _, off := range a.pairs {
			for _, first := range variants(a, off) {
				for _, second := range variants(a, off+1) {
					pair := uint16(first) | uint16(second)<<8
					if p := (place{a, off}); !slices.Contains(pairs[pair], p) { // of one whose bytes are no letters
						pairs[pair] = append(pairs[pair], p)
					}
				}
			}
		}
	}
	t := &table{lists: make([][]place, 1)}
	known := map[string]uint8{}
	for pair, places := range pairs {
		key := fmt.Sprint(places)
		i, ok := known[key]
		if !ok {
			i = uint8(len(t.lists)) // TestTable: they are fewer than 256
			known[key] = i
			t.lists = append(t.lists, places)
		}
		t.index[pair] = i
	}
	return t
}

// variants are the bytes that match place i of an anchor; any byte does beyond
// its ends.
func variants(a *anchor, i int) []byte {
	if i < 0 || i >= len(a.text) {
		all := make([]byte, 256)
		for c := range all {
			all[c] = byte(c)
		}
		return all
	}
	switch c := a.text[i]; {
	case a.exact:
		return []byte{c}
	case lower(c):
		return []byte{c, c - 'a' + 'A'}
	case c == '-':
		return []byte{'-', '_'}
	default:
		return []byte{c}
	}
}

// any reports whether an anchor is in b. It is all that nearly every line costs.
func (t *table) any(b []byte) bool {
	x := &t.index
	i := 0
	for ; i+16 <= len(b); i += 16 {
		v, w := binary.LittleEndian.Uint64(b[i:]), binary.LittleEndian.Uint64(b[i+8:])
		if x[uint16(v)]|x[uint16(v>>16)]|x[uint16(v>>32)]|x[uint16(v>>48)]|
			x[uint16(w)]|x[uint16(w>>16)]|x[uint16(w>>32)]|x[uint16(w>>48)] != 0 && t.anchored(b, i, i+16) {
			return true
		}
	}
	// The last pair may be one with the byte before.
	return t.anchored(b, i, len(b)) || len(b)%2 == 1 && len(b) > 1 && t.anchored(b, len(b)-2, len(b))
}

// anchored reports whether an anchor has a pair in b[from:to].
func (t *table) anchored(b []byte, from, to int) bool {
	for ; from+2 <= to; from += 2 {
		for _, p := range t.lists[t.index[binary.LittleEndian.Uint16(b[from:])]] {
			if p.anchor.at(b, from-p.off) {
				return true
			}
		}
	}
	return false
}

// anchor is a text that begins, or is part of, what a rule looks for.
type anchor struct {
	rule  string
	text  string // lower case
	pairs [2]int // places in text of the two pairs: an even one and an odd one
	exact bool   // the case counts; else it does not, and a - may be a _
	match func(f *finder, a *anchor, at int)
	kind  string
}

// at reports whether the anchor's text is at b[i:].
func (a *anchor) at(b []byte, i int) bool {
	if i < 0 || len(b)-i < len(a.text) {
		return false
	}
	b = b[i : i+len(a.text)]
	if a.exact {
		return string(b) == a.text
	}
	for k, c := range b {
		if want := a.text[k]; c != want && (!lower(want) || c != want-'a'+'A') && (want != '-' || c != '_') {
			return false
		}
	}
	return true
}

const keyValues = "key-values"

// anchors are all that is known.
var anchors = []anchor{
	{"scf", "x-scf-secret-id", [2]int{0, 3}, false, (*finder).token, "secret-id"},
	{"scf", "x-scf-secret-key", [2]int{0, 3}, false, (*finder).token, "secret-key"},
	{"scf", "x-scf-session-token", [2]int{0, 3}, false, (*finder).token, "session-token"},
	{"scf", "x-tc-token", [2]int{0, 1}, false, (*finder).token, "session-token"},
	{"environment", "tencentcloud_secretid", [2]int{10, 11}, false, (*finder).token, "secret-id"},
	{"environment", "tencentcloud_secretkey", [2]int{10, 11}, false, (*finder).token, "secret-key"},
	{"environment", "tencentcloud_sessiontoken", [2]int{10, 11}, false, (*finder).token, "session-token"},
	{"environment", "tencentcloud_secret_id", [2]int{10, 11}, false, (*finder).token, "secret-id"},
	{"environment", "tencentcloud_secret_key", [2]int{10, 11}, false, (*finder).token, "secret-key"},
	{"environment", "tencentcloud_security_token", [2]int{10, 11}, false, (*finder).token, "session-token"},
	{"environment", "aws_access_key_id", [2]int{0, 1}, false, (*finder).token, "aws-key"},
	{"environment", "aws_secret_access_key", [2]int{0, 1}, false, (*finder).token, "secret-key"},
	{"environment", "aws_session_token", [2]int{0, 1}, false, (*finder).token, "session-token"},
	{"environment", "aws_security_token", [2]int{0, 1}, false, (*finder).token, "session-token"},
	{"signature", "x-amz-signature", [2]int{4, 3}, false, (*finder).token, "signature"},
	{"signature", "x-amz-security-token", [2]int{4, 3}, false, (*finder).token, "session-token"},
	{"authorization", "authorization", [2]int{6, 7}, false, (*finder).authorization, "authorization"},
	{"cookie", "cookie", [2]int{2, 3}, false, (*finder).cookie, "cookie"},
	{"tencent-key", "AKID", [2]int{0, 1}, true, (*finder).tencentKey, "secret-id"},
	{"aws-key", "AKIA", [2]int{0, 1}, true, (*finder).awsKey, "aws-key"},
	{"aws-key", "ASIA", [2]int{0, 1}, true, (*finder).awsKey, "aws-key"},
	{"github-token", "ghp_", [2]int{0, 1}, true, (*finder).githubToken, "github-token"},
	{"github-token", "gho_", [2]int{0, 1}, true, (*finder).githubToken, "github-token"},
	{"github-token", "ghu_", [2]int{0, 1}, true, (*finder).githubToken, "github-token"},
	{"github-token", "ghs_", [2]int{0, 1}, true, (*finder).githubToken, "github-token"},
	{"github-token", "ghr_", [2]int{0, 1}, true, (*finder).githubToken, "github-token"},
	{"github-token", "github_pat_", [2]int{4, 5}, true, (*finder).githubToken, "github-token"},
	{"slack-token", "xox", [2]int{0, 1}, true, (*finder).slackToken, "slack-token"},
	{"api-key", "sk-", [2]int{0, 1}, true, (*finder).apiKey, "api-key"},
	{"jwt", "eyJ", [2]int{2, 1}, true, (*finder).jwt, "jwt"},
	{"private-key", "-----BEGIN ", [2]int{6, 7}, true, (*finder).privateKey, "private-key"},
	{"url-password", "@", [2]int{0, -1}, true, (*finder).userinfo, "url-password"},
	{keyValues, "password", [2]int{4, 3}, false, (*finder).value, "password"},
	{keyValues, "passwd", [2]int{4, 3}, false, (*finder).value, "password"},
	{keyValues, "passphrase", [2]int{4, 3}, false, (*finder).value, "password"},
	{keyValues, "secret", [2]int{2, 1}, false, (*finder).value, "secret"},
	{keyValues, "secretkey", [2]int{2, 1}, false, (*finder).value, "secret"},
	{keyValues, "secret-key", [2]int{2, 1}, false, (*finder).value, "secret"},
	{keyValues, "token", [2]int{2, 1}, false, (*finder).value, "token"},
	{keyValues, "apikey", [2]int{2, 1}, false, (*finder).value, "secret"},
	{keyValues, "api-key", [2]int{2, 3}, false, (*finder).value, "secret"},
	{keyValues, "access-key", [2]int{6, 5}, false, (*finder).value, "secret"},
}

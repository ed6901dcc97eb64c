package schema

import (
	"encoding/binary"
	"regexp"
	"strings"
)

const (
	// idPlace stands in a packed text for the line's request ID. No body has this
	// byte: package extract takes control characters out.
	idPlace = "\x01"
	// shortestID is the shortest ID that is taken out of a text: what is shorter
	// saves nothing.
	shortestID = 8
)

// pack cuts body where its request's ID stands: whole says that it does not, and
// that before is all of it. An ID is taken out only if it is of letters, digits, -
// and _, and where none of these is beside it: so a search knows where its words
// may lie over an ID (query/logql/plan).
func pack(body, requestID string) (before, behind string, whole bool) {
	if strings.Contains(body, idPlace) {
		body = strings.ReplaceAll(body, idPlace, "")
	}
	if len(requestID) < shortestID {
		return body, "", true
	}
	for i := range len(requestID) {
		if !isIDByte(requestID[i]) {
			return body, "", true
		}
	}
	at := strings.Index(body, requestID)
	if at < 0 {
		return body, "", true
	}
	end := at + len(requestID)
	if at > 0 && isIDByte(body[at-1]) || end < len(body) && isIDByte(body[end]) {
		return body, "", true
	}
	return body[:at], body[end:], false
}

// Unpack is the text that packed stands for in a line of that request, as the
// column body has it.
func Unpack(packed, requestID string) string { return strings.Replace(packed, idPlace, requestID, 1) }

func isIDByte(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' || c == '_'
}

// packed is a column of texts, each without the ID of its request.
func packed[T any](name string, get func(*T) (body, requestID string)) column[T] {
	return column[T]{name, stringType.kind, func(s *scratch, rows []T) error {
		for i := range rows {
			before, behind, whole := pack(get(&rows[i]))
			if whole {
				s.native = putString(s.native, before)
				continue
			}
			s.native = binary.AppendUvarint(s.native, uint64(len(before)+len(idPlace)+len(behind)))
			s.native = append(append(append(s.native, before...), idPlace...), behind...)
		}
		return nil
	}}
}

// TextContains is the condition on rows of logs that a line's text has v in it.
// param makes a value a parameter of that type, and is called in the order in
// which they stand in the condition; the condition is the same for all v.
//
// To make body of packed takes half as long as to search it, so that is done only
// for lines where v may lie over the ID that was taken out: an ID has no other
// bytes than IDs have, and none of them beside it.
func TextContains(v string, param func(v any, kind string) string) string {
	const never = idPlace + idPlace // is in no text and in no ID
	text, whole, first, last, inner := v, never, never, never, []string{}
	for _, at := range idBytes.FindAllStringIndex(v, -1) {
		switch run := v[at[0]:at[1]]; {
		case run == v:
			whole = v
		case at[0] == 0:
			first = run
		case at[1] == len(v):
			last = run
		case len(run) >= shortestID:
			inner = append(inner, run)
		}
	}
	if strings.Contains(v, idPlace) { // stands for an ID in packed, for nothing in body
		text, first = never, ""
	}
	return "(position(packed, " + param(text, "String") + ") > 0 OR (position(request_id, " + param(whole, "String") +
		") > 0 OR endsWith(request_id, " + param(first, "String") + ") OR startsWith(request_id, " + param(last, "String") +
		") OR has(" + param(inner, "Array(String)") + ", request_id)) AND position(body, " + param(v, "String") + ") > 0)"
}

var idBytes = regexp.MustCompile(`[0-9A-Za-z_-]+`)

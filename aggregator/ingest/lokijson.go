package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/wire"
)

// ReadJSON reads a Loki push in JSON, {"streams": [{"stream": {…}, "values":
// [["<nanoseconds>", "line", {…}]]}]}. As in Loki it takes all or nothing. It
// takes {"labels": "{…}", "entries": [{"ts": "<RFC 3339>", "line": "…"}]} for a
// stream, too: what Grafana's own Go client still sends.
func ReadJSON(body []byte) (*push.PushRequest, error) {
	var in struct {
		Streams []struct {
			Labels map[string]string `json:"stream"`
			Values []jsonEntry       `json:"values"`
			Text   string            `json:"labels"`
			Old    []push.Entry      `json:"entries"`
		} `json:"streams"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("not a Loki push in JSON: %w", err)
	}
	req := &push.PushRequest{Streams: make([]push.Stream, len(in.Streams))}
	for i, s := range in.Streams {
		labels := make([]wire.Label, 0, len(s.Labels))
		for name, value := range s.Labels {
			labels = append(labels, wire.Label{Name: name, Value: value})
		}
		out := &req.Streams[i]
		if s.Text != "" {
			out.Labels, out.Entries = s.Text, s.Old
			continue
		}
		out.Labels = wire.FormatLabels(labels...)
		out.Entries = make([]push.Entry, len(s.Values))
		for k := range s.Values {
			out.Entries[k] = push.Entry(s.Values[k])
		}
	}
	return req, nil
}

// jsonEntry is a value of a stream: its time, its line and, may be, its
// structured metadata.
type jsonEntry push.Entry

var errNotEntry = errors.New(`a value is not ["<nanoseconds>", "line"] or ["<nanoseconds>", "line", {"name": "value"}]`)

// UnmarshalJSON reads raw, which is JSON, by hand: it is most of what a push
// consists of.
func (e *jsonEntry) UnmarshalJSON(raw []byte) error {
	rest, isArray := bytes.CutPrefix(raw, []byte("["))
	at, rest, atOK := cutString(rest)
	rest, more := bytes.CutPrefix(bytes.TrimSpace(rest), []byte(","))
	line, rest, lineOK := cutString(rest)
	if !isArray || !atOK || !more || !lineOK {
		return errNotEntry
	}
	ns, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return fmt.Errorf("timestamp %.40q is not a number of nanoseconds since 1970", at)
	}
	*e = jsonEntry{Timestamp: time.Unix(0, ns), Line: line}
	rest = bytes.TrimSpace(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte("]")))
	if len(rest) == 0 {
		return nil
	}
	// What is left begins with the comma, and has to be one object.
	if json.Unmarshal(rest[1:], &e.StructuredMetadata) != nil {
		return errNotEntry
	}
	return nil
}

// cutString takes a string from the beginning of what is in a JSON array.
func cutString(raw []byte) (s string, rest []byte, ok bool) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '"' {
		return "", nil, false
	}
	end, plain := 1, true
	for end < len(raw) && raw[end] != '"' {
		if raw[end] == '\\' {
			plain = false
			end++
		}
		end++
	}
	if end >= len(raw) {
		return "", nil, false
	}
	quoted, rest := raw[:end+1], raw[end+1:]
	if text := quoted[1:end]; plain && utf8.Valid(text) {
		return string(text), rest, true
	}
	return s, rest, json.Unmarshal(quoted, &s) == nil
}

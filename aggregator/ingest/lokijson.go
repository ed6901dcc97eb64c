package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

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

func (e *jsonEntry) UnmarshalJSON(raw []byte) error {
	var parts []json.RawMessage
	if json.Unmarshal(raw, &parts) != nil || len(parts) < 2 || len(parts) > 3 {
		return errNotEntry
	}
	var at string
	if json.Unmarshal(parts[0], &at) != nil || json.Unmarshal(parts[1], &e.Line) != nil {
		return errNotEntry
	}
	ns, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return fmt.Errorf("timestamp %.40q is not a number of nanoseconds since 1970", at)
	}
	e.Timestamp = time.Unix(0, ns)
	if len(parts) == 3 && json.Unmarshal(parts[2], &e.StructuredMetadata) != nil {
		return errNotEntry
	}
	return nil
}

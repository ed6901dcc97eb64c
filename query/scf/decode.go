package scf

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// utc8 is the zone of all times of the API.
var utc8 = time.FixedZone("UTC+8", 8*60*60)

// parseTime reads a time as the API has it.
func parseTime(name, s string) (time.Time, error) {
	t, err := time.ParseInLocation(time.DateTime, s, utc8)
	if err != nil {
		return time.Time{}, fault(invalidDateTime, "%s: want a time such as 2017-05-16 20:00:00, in UTC+8", name)
	}
	return t, nil
}

func formatTime(t time.Time) string { return t.In(utc8).Format(time.DateTime) }

// number is an integer, which a GET sends as a text.
type number int64

// UnmarshalJSON reads it in either form.
func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	if err != nil {
		return &json.UnmarshalTypeError{Value: string(b), Type: reflect.TypeFor[int64]()}
	}
	*n = number(v)
	return nil
}

// or is the number, or what counts if none was sent.
func (n *number) or(fallback int64) int64 {
	if n == nil {
		return fallback
	}
	return int64(*n)
}

// decode reads the parameters of a call into one of the request types. Like
// Tencent it takes no parameter that it does not know.
func (c *call) decode(to any) error {
	if len(bytes.TrimSpace(c.parameters)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(c.parameters))
	d.DisallowUnknownFields()
	err := d.Decode(to)
	if err == nil {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		return fault(invalidParameter, "there is something behind the request's JSON")
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok { // it has no type of its own
		return fault(unknownParameter, "there is no parameter %s", name)
	}
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fault(invalidParameter, "a parameter is of another type than it must be")
	}
	return fault(invalidParameter, "the request is no JSON")
}

// maxDepth is how deep parameters are nested, and more than they need be.
const maxDepth = 5

// unflatten makes JSON of the parameters of a GET, which have their path as
// their name: Filter.RetCode=not0, Filters.0.Name=Runtime.
func unflatten(rawQuery string) ([]byte, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, fault(invalidParameter, "the query string cannot be read")
	}
	root := map[string]any{}
	for name, all := range values {
		path := strings.Split(name, ".")
		if len(path) > maxDepth || len(all) != 1 {
			return nil, fault(invalidParameter, "parameter %q is nested too deeply, or there more than once", name)
		}
		at := root
		for _, key := range path[:len(path)-1] {
			next, ok := at[key].(map[string]any)
			if !ok {
				if at[key] != nil {
					return nil, fault(invalidParameter, "parameter %q is a value and a structure", name)
				}
				next = map[string]any{}
				at[key] = next
			}
			at = next
		}
		last := path[len(path)-1]
		if at[last] != nil {
			return nil, fault(invalidParameter, "parameter %q is a value and a structure", name)
		}
		at[last] = all[0]
	}
	parameters, err := json.Marshal(lists(root))
	if err != nil {
		return nil, fault(invalidParameter, "the query string cannot be read")
	}
	return parameters, nil
}

// lists makes lists of the maps whose keys are 0, 1, 2 and so on.
func lists(m map[string]any) any {
	keys := make([]string, 0, len(m))
	for key, value := range m {
		if inner, ok := value.(map[string]any); ok {
			m[key] = lists(inner)
		}
		keys = append(keys, key)
	}
	list := make([]any, len(m))
	for i := range list {
		if !slices.Contains(keys, strconv.Itoa(i)) {
			return m
		}
		list[i] = m[strconv.Itoa(i)]
	}
	if len(list) == 0 {
		return m
	}
	return list
}

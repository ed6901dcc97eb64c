package extract

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Config says what is read out of a line.
type Config struct {
	// RequestIDs says how a line names its request.
	RequestIDs RequestIDs `yaml:"request_ids"`
	// Attributes says which fields of JSON and logfmt lines become attributes.
	Attributes Attributes `yaml:"attributes"`
}

// RequestIDs says what is taken for a request ID: 8 to 128 bytes of A-Z, a-z,
// 0-9, - and _, at most four of a line.
type RequestIDs struct {
	// Keys are names that an ID follows, after a colon or an equals sign: fields of
	// JSON and logfmt, and the same in any text. Case does not matter, and _ stands
	// for any one separator (_ - . or a space) or none; a name may be the end of a
	// longer one. Default request_id (as in requestId, RequestId: and
	// X-Scf-Request-Id), rid, req_id, invocation_id.
	Keys []string `yaml:"keys"`
	// Patterns are regular expressions (RE2) whose first group is an ID. Each costs
	// a search of every line. Default none.
	Patterns []string `yaml:"patterns"`
	// Traceparent takes the trace ID of a W3C traceparent for a request ID, too.
	// Default false.
	Traceparent bool `yaml:"traceparent"`
}

// Attributes says which fields become attributes, beside those that a sender
// gives a line. What is left out is in the body still. Level, trace ID, span ID
// and request ID are columns, and never attributes; a nested field is called by
// its path, as in http.method.
type Attributes struct {
	// Max is how many attributes a line has at most; 0 for none. Default 64.
	Max int `yaml:"max"`
	// ValueBytes is the longest value; a longer one is left out, since half a value
	// is none to filter by. Default 1024.
	ValueBytes int `yaml:"value_bytes"`
	// Keep are the fields that become attributes, each with what is nested in it: *
	// is every field, an empty list none. Each is stored twice then, in the body and
	// beside it, for those who filter lines by fields and for OpenTelemetry's
	// columns. To keep all costs a seventh of the disk and a quarter of the engine's
	// work, and finds a word no sooner than the body does: where that counts, name
	// those that are filtered by. Default: *.
	Keep []string `yaml:"keep"`
	// Drop are fields that do not, whatever Keep says. Default: the usual names of
	// time and message.
	Drop []string `yaml:"drop"`
}

// DefaultConfig is for lines of the usual libraries.
func DefaultConfig() Config {
	return Config{
		RequestIDs: RequestIDs{Keys: []string{"request_id", "rid", "req_id", "invocation_id"}},
		Attributes: Attributes{
			Max: 64, ValueBytes: 1024, Keep: []string{"*"},
			Drop: []string{
				"ts", "time", "timestamp", "@timestamp", "@t", "t", "datetime", "asctime", "timeMillis", "instant",
				"msg", "message", "@message", "@m", "fields.message",
			},
		},
	}
}

// Bounds of a configuration.
const (
	maxNames      = 200 // in a list
	maxNameBytes  = 128
	maxAttributes = 1024
	maxValueBytes = 64 << 10
)

// Validate tells all that is wrong with c, nil if nothing is.
func (c Config) Validate() error {
	_, err := c.compile()
	return err
}

func (c Config) compile() (*Extractor, error) {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf(key+": "+format, args...))
	}
	a := c.Attributes
	if a.Max < 0 || a.Max > maxAttributes {
		bad("attributes.max", "%d is not from 0 to %d", a.Max, maxAttributes)
	}
	if a.ValueBytes < 1 || a.ValueBytes > maxValueBytes {
		bad("attributes.value_bytes", "%d is not from 1 to %d", a.ValueBytes, maxValueBytes)
	}
	for key, names := range map[string][]string{"attributes.keep": a.Keep, "attributes.drop": a.Drop, "request_ids.keys": c.RequestIDs.Keys} {
		if len(names) > maxNames {
			bad(key, "more than %d names", maxNames)
		}
		for i, name := range names {
			switch {
			case name == "" || len(name) > maxNameBytes:
				bad(fmt.Sprintf("%s[%d]", key, i), "not from 1 to %d bytes", maxNameBytes)
			case key == "request_ids.keys" && !isKey(name):
				bad(fmt.Sprintf("%s[%d]", key, i), "%q is not of letters, digits, _ - . and @, with no separator at its ends", name)
			}
		}
	}
	var patterns []*regexp.Regexp
	for i, p := range c.RequestIDs.Patterns {
		re, err := regexp.Compile(p)
		switch {
		case err != nil:
			bad(fmt.Sprintf("request_ids.patterns[%d]", i), "%w", err)
		case re.NumSubexp() == 0:
			bad(fmt.Sprintf("request_ids.patterns[%d]", i), "it has no group to take the ID from")
		}
		patterns = append(patterns, re)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &Extractor{
		ids:         newFinder(c.RequestIDs.Keys, patterns),
		fields:      newNameTable(a),
		keepAll:     slices.Contains(a.Keep, "*"),
		attributes:  a.Max,
		valueBytes:  a.ValueBytes,
		traceparent: c.RequestIDs.Traceparent,
	}, nil
}

func isKey(name string) bool {
	for i := range len(name) {
		if !isIDByte(name[i]) && name[i] != '.' && name[i] != '@' {
			return false
		}
	}
	return !isSeparator(name[0]) && !isSeparator(name[len(name)-1])
}

// newNameTable is what fields are called that mean something.
func newNameTable(a Attributes) *nameTable {
	t := new(nameTable)
	for role, names := range map[role]string{
		roleLevel: "level severity lvl loglevel log_level log.level severity_text severitytext levelname level_name @l @level " +
			"levelno severity_number severitynumber",
		roleStatus: "status status_code statuscode response_code http.status_code http.response.status_code http_status res.statuscode",
		roleTrace:  "trace.id",
		roleSpan:   "span.id",
		roleKeep:   strings.Join(a.Keep, "\x00"),
		roleDrop:   strings.Join(a.Drop, "\x00"),
	} {
		for name := range strings.FieldsFuncSeq(names, func(c rune) bool { return c == 0 || c == ' ' && role < roleKeep }) {
			t.add(name, role)
		}
	}
	return t
}

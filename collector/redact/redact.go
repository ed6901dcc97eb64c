// Package redact takes credentials out of log lines before they leave the host.
//
// A secret becomes `[redacted:KIND:xxxxxxxxxxxx]`, where the x are a keyed hash
// of it: equal secrets can be matched, and nobody without the key can tell what
// they were. What is known: the headers and variables in which a platform hands
// credentials to functions, Authorization and cookies, the shapes of common
// keys and tokens, private keys, passwords in URLs, and patterns of one's own.
//
// Nearly all lines hold none of that and are looked at once, two bytes at a
// time: see table.
//
// A private key is found where it stands in one line or in one joined entry; its
// single lines, read one by one, are not.
package redact

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Options say what is redacted. The zero value has all rules on but KeyValues,
// and needs Key or KeyFile.
type Options struct {
	// Off lists rules that are not applied: scf, environment, authorization,
	// cookie, signature, tencent-key, aws-key, github-token, slack-token,
	// api-key, jwt, private-key, url-password; or all.
	Off []string `yaml:"off"`
	// KeyValues redacts what follows password=, passwd:, secret=, token= and
	// their like too. Default off: it finds much that is no secret.
	KeyValues bool `yaml:"key_values"`
	// Custom are patterns of one's own.
	Custom []Custom `yaml:"custom"`
	// Key is the key of the hash, at least 16 bytes: the same on all hosts whose
	// marks shall be comparable.
	Key string `yaml:"key"`
	// KeyFile holds the key if Key is empty. It is made with a random one if it
	// is not there.
	KeyFile string `yaml:"key_file"`
}

// Custom is a pattern of one's own: a regular expression (RE2), of which the
// first group is redacted, or all if it has none. It costs little where it
// contains a literal of three bytes or more that every match has.
type Custom struct {
	Name    string `yaml:"name"` // the mark's KIND: a-z, 0-9, -
	Pattern string `yaml:"pattern"`
}

// Validate tells all that is wrong with o, nil if nothing is. It does not look
// at the key's file.
func (o Options) Validate() error {
	_, errs := o.compile()
	if o.Key == "" && o.KeyFile == "" {
		errs = append(errs, errors.New("key: set it, or key_file"))
	}
	if o.Key != "" && len(o.Key) < minKey {
		errs = append(errs, fmt.Errorf("key: less than %d bytes", minKey))
	}
	return errors.Join(errs...)
}

// Redactor redacts lines. It is safe for concurrent use.
type Redactor struct {
	key    []byte
	table  *table
	custom []custom
}

// custom is a Custom made ready.
type custom struct {
	kind    string
	pattern *regexp.Regexp
	literal []byte // every match has it
}

// New makes a Redactor. It reads the key's file, or makes it.
func New(o Options) (*Redactor, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	r, _ := o.compile()
	r.key = []byte(o.Key)
	if o.Key == "" {
		var err error
		if r.key, err = keyOf(o.KeyFile); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (o Options) compile() (*Redactor, []error) {
	var errs []error
	r := new(Redactor)
	on := map[string]bool{}
	for _, a := range anchors {
		on[a.rule] = a.rule != keyValues || o.KeyValues
	}
	for _, name := range o.Off {
		if name == allRules {
			for rule := range on {
				on[rule] = rule == keyValues && o.KeyValues
			}
			continue
		}
		if _, ok := on[name]; !ok || name == keyValues {
			names := slices.Sorted(maps.Keys(on))
			errs = append(errs, fmt.Errorf("off: %q is not one of %s", name, strings.Join(names, ", ")))
		}
		on[name] = false
	}
	var used []*anchor
	for i := range anchors {
		if on[anchors[i].rule] {
			used = append(used, &anchors[i])
		}
	}
	r.table = newTable(used)
	for i, c := range o.Custom {
		re, err := regexp.Compile(c.Pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("custom[%d].pattern: %w", i, err))
			continue
		}
		if re.MatchString("") {
			errs = append(errs, fmt.Errorf("custom[%d].pattern: it matches the empty string", i))
		}
		if !kindName.MatchString(c.Name) {
			errs = append(errs, fmt.Errorf("custom[%d].name: %q is not of a-z, 0-9 and -", i, c.Name))
		}
		r.custom = append(r.custom, custom{c.Name, re, literal(c.Pattern)})
	}
	return r, errs
}

// allRules in Options.Off stands for every rule but those that are asked for.
const allRules = "all"

var kindName = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// Line redacts one line or entry. It gives line itself, and 0, if there is
// nothing to redact; else the redacted line, for which it uses dst's memory
// (which must not be line's), and how many secrets were in it. A line's name and
// place in its file do not change.
func (r *Redactor) Line(dst, line []byte) (out []byte, n int) {
	out = line
	// What stood beside a secret may be one itself once that is gone. Each pass
	// leaves less that is no mark; the second nearly always finds nothing.
	for range maxPasses {
		spans := r.find(out)
		if len(spans) == 0 {
			break
		}
		if n > 0 {
			dst = nil // it holds out
		}
		n += len(spans)
		out = r.replace(dst[:0], out, spans)
	}
	return out, n
}

const (
	maxPasses = 4
	// maxSpans bounds how much longer a line can become; what is behind the last
	// secret is redacted as one.
	maxSpans = 64
)

// String is Line for a string, such as an event's error text.
func (r *Redactor) String(s string) string {
	if out, n := r.Line(nil, []byte(s)); n > 0 {
		return string(out)
	}
	return s
}

func (r *Redactor) replace(dst, line []byte, spans []span) []byte {
	mac := hmac.New(sha256.New, r.key)
	var sum [sha256.Size]byte
	at := 0
	for _, s := range spans {
		mac.Reset()
		mac.Write(line[s.from:s.to])
		dst = append(dst, line[at:s.from]...)
		dst = append(append(append(dst, markHead...), s.kind...), ':')
		dst = append(hex.AppendEncode(dst, mac.Sum(sum[:0])[:markBytes]), ']')
		at = s.to
	}
	return append(dst, line[at:]...)
}

const (
	markHead  = "[redacted:"
	markBytes = 6 // of the hash
)

// mark gives the length of the mark that b begins with, 0 if it begins with none.
func mark(b []byte) int {
	if len(b) < len(markHead) || string(b[:len(markHead)]) != markHead {
		return 0
	}
	i := len(markHead)
	for i < len(b) && (lower(b[i]) || digit(b[i]) || b[i] == '-') {
		i++
	}
	end := i + 1 + 2*markBytes
	if i == len(markHead) || end >= len(b) || b[i] != ':' || b[end] != ']' {
		return 0
	}
	for _, c := range b[i+1 : end] {
		if !digit(c) && (c < 'a' || c > 'f') {
			return 0
		}
	}
	return end + 1
}

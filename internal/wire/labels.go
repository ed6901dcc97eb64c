package wire

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Label is one name and its value.
type Label struct{ Name, Value string }

// FormatLabels gives labels as Loki writes a stream's: {a="b", c="d"}, sorted
// by name; labels without a value are left out.
func FormatLabels(labels ...Label) string {
	slices.SortFunc(labels, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	b.WriteByte('{')
	for _, l := range labels {
		if l.Value == "" {
			continue
		}
		if b.Len() > 1 {
			b.WriteString(", ")
		}
		b.WriteString(l.Name)
		b.WriteByte('=')
		b.WriteString(strconv.Quote(l.Value))
	}
	b.WriteByte('}')
	return b.String()
}

// MaxLabels is how many labels ParseLabels reads. Loki's own limit is 15.
const MaxLabels = 256

// ParseLabels reads what FormatLabels and Loki's senders write. A name may
// not occur twice.
func ParseLabels(s string) ([]Label, error) {
	bad := func(what string) ([]Label, error) { return nil, fmt.Errorf("labels %.200q: %s", s, what) }
	rest := strings.TrimSpace(s)
	if !strings.HasPrefix(rest, "{") || !strings.HasSuffix(rest, "}") {
		return bad("not in braces")
	}
	rest = strings.TrimSpace(rest[1 : len(rest)-1])
	var labels []Label
	for rest != "" {
		if len(labels) == MaxLabels {
			return bad(fmt.Sprintf("more than %d", MaxLabels))
		}
		name, after, ok := strings.Cut(rest, "=")
		name = strings.TrimSpace(name)
		if !ok || !validLabelName(name) {
			return bad("expected name=\"value\"")
		}
		after = strings.TrimLeft(after, " \t\r\n")
		quoted, err := strconv.QuotedPrefix(after)
		if err != nil || quoted[0] == '\'' {
			return bad("value of " + name + " is not a quoted string")
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return bad("value of " + name + " is not a quoted string")
		}
		if slices.ContainsFunc(labels, func(l Label) bool { return l.Name == name }) {
			return bad(name + " occurs twice")
		}
		labels = append(labels, Label{name, value})
		rest = strings.TrimLeft(after[len(quoted):], " \t\r\n")
		if rest == "" {
			break
		}
		if rest[0] != ',' {
			return bad("expected a comma after " + name)
		}
		rest = strings.TrimLeft(rest[1:], " \t\r\n")
	}
	return labels, nil
}

func validLabelName(s string) bool {
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

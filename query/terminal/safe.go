package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Clean makes text safe for a terminal: what could move the cursor, change
// colours or the direction of writing, or hide something becomes visible as a
// Go escape.
func Clean(text string) string { return clean(text) }

// CleanLines is Clean of text whose line breaks stay.
func CleanLines(text string) string {
	if !strings.Contains(text, "\n") {
		return clean(text)
	}
	rows := strings.Split(text, "\n")
	for i := range rows {
		rows[i] = clean(strings.TrimSuffix(rows[i], "\r"))
	}
	return strings.Join(rows, "\n")
}

// JSON writes v as one JSON document and a line break. It is pure JSON and safe
// for a terminal, too: what Clean would escape is escaped as JSON does. An
// empty indent gives one line.
func JSON(w io.Writer, v any, indent string) error {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if _, err := w.Write(escapeJSON(out.Bytes())); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// escapeJSON escapes in an encoder's output what is unsafe. That is inside of
// strings only: outside there are ASCII and line breaks.
func escapeJSON(doc []byte) []byte {
	if !bytes.ContainsFunc(doc, hidden) {
		return doc
	}
	out := make([]byte, 0, len(doc)+64)
	for len(doc) > 0 {
		r, n := utf8.DecodeRune(doc)
		switch {
		case !hidden(r):
			out = append(out, doc[:n]...)
		case r > 0xffff:
			a, b := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, a, b)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		doc = doc[n:]
	}
	return out
}

func hidden(r rune) bool { return r != '\n' && unsafe(r) }

// Pair is a key and its value.
type Pair struct{ Key, Value string }

// Logfmt writes pairs as one line of logfmt, safe for a terminal. A value with
// anything in it but plain text is quoted as JSON is. Pairs without a value are
// left out; characters that a key cannot have become underscores.
func Logfmt(w io.Writer, pairs ...Pair) error {
	var out bytes.Buffer
	for _, p := range pairs {
		if p.Value == "" {
			continue
		}
		if out.Len() > 0 {
			out.WriteByte(' ')
		}
		out.WriteString(strings.Map(keyRune, p.Key))
		out.WriteByte('=')
		if !strings.ContainsFunc(p.Value, quoted) && utf8.ValidString(p.Value) {
			out.WriteString(p.Value)
			continue
		}
		if err := JSON(&out, p.Value, ""); err != nil {
			return err
		}
		out.Truncate(out.Len() - 1) // the line break
	}
	out.WriteByte('\n')
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func keyRune(r rune) rune {
	if r <= ' ' || r == '=' || r == '"' || r == utf8.RuneError || unsafe(r) {
		return '_'
	}
	return r
}

func quoted(r rune) bool {
	return r <= ' ' || r == '=' || r == '"' || r == '\\' || unsafe(r)
}

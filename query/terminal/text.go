package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

const ellipsis = "…"

// clean makes text safe for a terminal: what could move the cursor, change
// colours or the direction of writing, or hide something becomes visible as a
// Go escape. A tab becomes blanks.
func clean(text string) string {
	if !strings.ContainsFunc(text, unsafe) && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == '\t':
			b.WriteString("    ")
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case !unsafe(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	return b.String()
}

// unsafe reports control characters (C0, DEL, C1), format characters (bidi
// controls, tags, …; not the joiner, which emoji need), line and paragraph
// separators, and what Unicode leaves to private use.
func unsafe(r rune) bool {
	return unicode.IsControl(r) || r != zeroWidthJoiner && unicode.Is(unicode.Cf, r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs)
}

const zeroWidthJoiner = '\u200d'

// runeWidth is how many columns a terminal gives to r.
func runeWidth(r rune) int {
	if r < 0x300 {
		return 1
	}
	if r == zeroWidthJoiner || unicode.In(r, unicode.Mn, unicode.Me) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	default:
		return 1
	}
}

func textWidth(text string) int {
	n := 0
	for _, r := range text {
		n += runeWidth(r)
	}
	return n
}

// cut shortens text to columns; an ellipsis shows that something is missing.
func cut(text string, columns int) string {
	if len(text) <= columns || textWidth(text) <= columns {
		return text
	}
	if columns < 1 {
		return ""
	}
	n := 0
	for i, r := range text {
		if n += runeWidth(r); n > columns-1 {
			return text[:i] + ellipsis
		}
	}
	return text
}

// fold breaks text into at most rows pieces of at most columns: between words
// where there is a blank near the end, else where it must. An ellipsis at the
// end shows that something is missing.
func fold(text string, columns, rows int) []string {
	var pieces []string
	for len(pieces) < rows-1 && textWidth(text) > columns {
		n, at := 0, len(text)
		for i, r := range text {
			if n += runeWidth(r); n > columns {
				at = i
				break
			}
		}
		if blank := strings.LastIndexByte(text[:at], ' '); blank >= at*2/3 && blank > 0 {
			at = blank
		}
		pieces, text = append(pieces, text[:at]), strings.TrimPrefix(text[at:], " ")
	}
	return append(pieces, cut(text, columns))
}

// left pads or cuts text to exactly columns.
func left(text string, columns int) string {
	text = cut(text, columns)
	return text + strings.Repeat(" ", max(0, columns-textWidth(text)))
}

// right is left with the blanks in front.
func right(text string, columns int) string {
	text = cut(text, columns)
	return strings.Repeat(" ", max(0, columns-textWidth(text))) + text
}

// wrap breaks text between words into lines of at most columns. A number stays
// with its unit.
func wrap(text string, columns int) []string {
	var lines []string
	var line string
	for _, word := range words(text) {
		switch {
		case line == "":
			line = word
		case textWidth(line)+1+textWidth(word) <= columns:
			line += " " + word
		default:
			lines = append(lines, cut(line, columns))
			line = word
		}
	}
	return append(lines, cut(line, columns))
}

func words(text string) []string {
	var list []string
	for word := range strings.FieldsSeq(text) {
		if n := len(list); n > 0 && unit(word) && strings.ContainsAny(list[n-1][len(list[n-1])-1:], "0123456789") {
			list[n-1] += " " + word
			continue
		}
		list = append(list, word)
	}
	return list
}

func unit(word string) bool {
	switch strings.TrimRight(word, ".,;:)") {
	case "s", "ms", "min", "%", "B", "kB", "MB", "GB", "B/s", "kB/s", "MB/s", "GB/s":
		return true
	}
	return false
}

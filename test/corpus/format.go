package corpus

import (
	"encoding/binary"
	"strconv"
	"time"
	"unicode/utf8"
)

// SplitAt is where Docker and containerd split a line.
const SplitAt = 16 << 10

// Record is one record of a log file: a line, or a piece of a long one.
type Record struct {
	Text    []byte
	Stderr  bool
	Partial bool // the line goes on in the stream's next record
	Time    time.Time
	// ID and Ordinal say whose piece the record is, of which number from 1 on;
	// only the local driver writes them, and of lines in one piece they are zero.
	ID      string
	Ordinal int
}

func stream(stderr bool) string {
	if stderr {
		return "stderr"
	}
	return "stdout"
}

// AppendJSONFile appends r as Docker's json-file driver writes it. A piece is
// marked by nothing but the missing newline.
func AppendJSONFile(b []byte, r *Record) []byte {
	b = appendJSONText(append(b, `{"log":"`...), r.Text, `\u0009`)
	if !r.Partial {
		b = append(b, `\n`...)
	}
	b = append(b, `","stream":"`...)
	b = append(b, stream(r.Stderr)...)
	b = append(b, `","time":"`...)
	b = r.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, "\"}\n"...)
}

// appendJSONText escapes as dockerd does: what is not UTF-8 is lost. tab is
// what a tab becomes.
func appendJSONText(b, text []byte, tab string) []byte {
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\t':
			b = append(b, tab...)
		case c == '\r':
			b = append(b, `\r`...)
		case c < 0x20 || c == '<' || c == '>' || c == '&':
			b = append(b, `\u00`...)
			b = append(b, hexd[c>>4], hexd[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRune(text[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				b = append(b, `\ufffd`...)
			case r == '\u2028' || r == '\u2029':
				b = append(b, `\u202`...)
				b = append(b, hexd[r&15])
			default:
				b = append(b, text[i:i+n]...)
			}
			i += n
			continue
		}
		i++
	}
	return b
}

// AppendCRIRecord appends r as containerd and CRI-O write it: raw bytes behind
// time, stream and tag.
func AppendCRIRecord(b []byte, r *Record) []byte {
	b = r.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, ' ')
	b = append(b, stream(r.Stderr)...)
	if r.Partial {
		b = append(b, " P "...)
	} else {
		b = append(b, " F "...)
	}
	b = append(b, r.Text...)
	return append(b, '\n')
}

// AppendLocal appends r as Docker's local driver writes it: a protobuf message
// between its length and its length, both 32 bits big endian. Every piece of a
// long line has its metadata, the last one too.
func AppendLocal(b []byte, r *Record) []byte {
	var msg []byte
	msg = appendField(msg, 1, []byte(stream(r.Stderr)))
	msg = binary.AppendUvarint(append(msg, 2<<3), uint64(r.Time.UnixNano()))
	if len(r.Text) > 0 {
		msg = appendField(msg, 3, r.Text)
	}
	if r.ID != "" {
		msg = append(msg, 4<<3, 1)
		var meta []byte
		if !r.Partial {
			meta = append(meta, 1<<3, 1)
		}
		meta = appendField(meta, 2, []byte(r.ID))
		meta = binary.AppendUvarint(append(meta, 3<<3), uint64(r.Ordinal))
		msg = appendField(msg, 5, meta)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(msg)))
	b = append(b, msg...)
	return binary.BigEndian.AppendUint32(b, uint32(len(msg)))
}

func appendField(b []byte, number byte, v []byte) []byte {
	b = binary.AppendUvarint(append(b, number<<3|2), uint64(len(v)))
	return append(b, v...)
}

// AppendDocker appends the json-file records of l (more than one if l is long)
// and gives their number. Unlike dockerd's they have \t for a tab, and times
// of nine digits: the corpus stays as it was.
func (g *Gen) AppendDocker(b []byte, l *Line) ([]byte, int) {
	n := 0
	for t := l.Text; ; {
		part, last := t, true
		if len(t) >= SplitAt {
			part, last = t[:SplitAt], false
		}
		t = t[len(part):]
		b = appendJSONText(append(b, `{"log":"`...), part, `\t`)
		if last {
			b = append(b, `\n`...)
		}
		b = append(b, `","stream":"`...)
		b = append(b, stream(l.Stderr)...)
		b = append(b, `","time":"`...)
		b = g.appendTS(b, l.TS, 9)
		b = append(b, "\"}\n"...)
		n++
		if last {
			return b, n
		}
	}
}

// AppendCRI is the same for the CRI format.
func (g *Gen) AppendCRI(b []byte, l *Line) ([]byte, int) {
	n := 0
	for t := l.Text; ; {
		part, tag := t, " F "
		if len(t) > SplitAt {
			part, tag = t[:SplitAt], " P "
		}
		t = t[len(part):]
		b = g.appendTS(b, l.TS, 9)
		b = append(b, ' ')
		b = append(b, stream(l.Stderr)...)
		b = append(b, tag...)
		b = append(b, part...)
		b = append(b, '\n')
		n++
		if tag == " F " {
			return b, n
		}
	}
}

// AppendLocal is the same for the framing of Docker's local driver.
func (g *Gen) AppendLocal(b []byte, l *Line) ([]byte, int) {
	r := Record{Stderr: l.Stderr, Time: time.Unix(0, l.TS)}
	if len(l.Text) >= SplitAt {
		r.ID = strconv.FormatInt(l.TS, 16)
	}
	n := 0
	for t := l.Text; ; {
		r.Text, r.Partial = t, false
		if len(t) >= SplitAt {
			r.Text, r.Partial = t[:SplitAt], true
		}
		t = t[len(r.Text):]
		n++
		if r.ID != "" {
			r.Ordinal = n
		}
		b = AppendLocal(b, &r)
		if !r.Partial {
			return b, n
		}
	}
}

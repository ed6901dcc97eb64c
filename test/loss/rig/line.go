package rig

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"time"
	"unicode/utf8"
)

// magic begins every numbered line.
const magic = "cs1 "

// numbered is a line that a Log wrote:
//
//	cs1 <instance> <o|e> <generation> <number> <time, ns> <payload's length> <checksum> <payload>
//
// Time is 0 where the file's format has none.
type numbered struct {
	instance   string
	stderr     bool
	generation int
	number     int // from 0 on, for each stream of an instance
	nanos      int64
	length     int
	sum        uint32
	payload    []byte
}

func appendNumbered(b []byte, n *numbered) []byte {
	b = append(b, magic...)
	b = append(b, n.instance...)
	b = append(b, ' ', streamLetter(n.stderr), ' ')
	b = append(strconv.AppendInt(b, int64(n.generation), 10), ' ')
	b = append(strconv.AppendInt(b, int64(n.number), 10), ' ')
	b = append(strconv.AppendInt(b, n.nanos, 10), ' ')
	b = append(strconv.AppendInt(b, int64(len(n.payload)), 10), ' ')
	b = append(strconv.AppendUint(b, uint64(checksum(n)), 16), ' ')
	return append(b, n.payload...)
}

func streamLetter(stderr bool) byte {
	if stderr {
		return 'e'
	}
	return 'o'
}

// checksum is over all that the line says. Bytes that are not UTF-8 count as
// what the formats and the wire may make of them: any run of them is one U+FFFD.
func checksum(n *numbered) uint32 {
	head := fmt.Appendf(nil, "%s %c %d %d %d ", n.instance, streamLetter(n.stderr), n.generation, n.number, n.nanos)
	return crc32.Update(crc32.ChecksumIEEE(head), crc32.IEEETable, canonical(n.payload))
}

func canonical(b []byte) []byte {
	ascii := true
	for _, c := range b {
		if c >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return b
	}
	out := make([]byte, 0, len(b))
	for bad := false; len(b) > 0; {
		r, n := utf8.DecodeRune(b)
		if r != utf8.RuneError || !bad {
			out = utf8.AppendRune(out, r)
		}
		bad = r == utf8.RuneError
		b = b[n:]
	}
	return out
}

var errForeign = errors.New("not a numbered line")

// parseNumbered reads a line; the payload is line's memory.
func parseNumbered(line []byte) (n numbered, err error) {
	rest, ok := bytes.CutPrefix(line, []byte(magic))
	if !ok {
		return n, errForeign
	}
	var words [7][]byte
	for i := range words {
		if words[i], rest, ok = bytes.Cut(rest, []byte{' '}); !ok {
			return n, errForeign
		}
	}
	n.instance, n.stderr, n.payload = string(words[0]), string(words[1]) == "e", rest
	var errs [5]error
	var sum uint64
	n.generation, errs[0] = strconv.Atoi(string(words[2]))
	n.number, errs[1] = strconv.Atoi(string(words[3]))
	n.nanos, errs[2] = strconv.ParseInt(string(words[4]), 10, 64)
	n.length, errs[3] = strconv.Atoi(string(words[5]))
	sum, errs[4] = strconv.ParseUint(string(words[6]), 16, 32)
	n.sum = uint32(sum)
	if err := errors.Join(errs[:]...); err != nil || n.number < 0 {
		return n, errForeign
	}
	return n, nil
}

// Filler is n bytes of text that differ from place to place, the same each time.
func Filler(n int) []byte {
	b := make([]byte, 0, n+24)
	for i := 0; len(b) < n; i += 12 {
		b = fmt.Appendf(b, "%011d.", i)
	}
	return b[:n]
}

// intact says what is wrong with a line that arrived at t with truncated bytes
// missing; empty if nothing is.
func (n *numbered) intact(t time.Time, truncated int64) string {
	switch {
	case n.nanos != 0 && n.nanos != t.UnixNano():
		return fmt.Sprintf("written at %s, arrived as of %s", time.Unix(0, n.nanos).UTC(), t.UTC())
	case truncated > 0: // only lines of Filler are that long
		if len(n.payload) >= n.length || !bytes.Equal(n.payload, Filler(n.length)[:len(n.payload)]) {
			return fmt.Sprintf("what is left of a truncated line is wrong, %d of %d bytes", len(n.payload), n.length)
		}
	case checksum(n) != n.sum:
		return fmt.Sprintf("checksum does not match, %d bytes of %d", len(n.payload), n.length)
	}
	return ""
}

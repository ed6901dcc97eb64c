package runtimelog

import (
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// PlainOptions say how times are found in files of format Plain.
type PlainOptions struct {
	// IgnoreTimes takes SetTime's time for every line. Otherwise a line that
	// begins with a time has that one: RFC 3339, `2006-01-02 15:04:05[.,]000`
	// (with slashes too, as Go's log package writes) and the header of glog and
	// klog, `I0102 15:04:05.000000`. A bracket may stand in front of it.
	IgnoreTimes bool
	// Zone is of times that do not name theirs. Default UTC.
	Zone *time.Location
}

// Plain sets how a Decoder of format Plain finds times.
func (d *Decoder) Plain(o PlainOptions) { d.plain = o }

// SetTime sets the time of lines without their own, for format Plain: the
// file's modification time when it was read. It also says which year it is
// where a line's own time does not.
func (d *Decoder) SetTime(t time.Time) { d.time = t }

// line decodes one line of text. A line's own time is the same whenever it is
// read; one that was guessed is not, and the record says so.
func (d *Decoder) line(data []byte, rec *Record) {
	rec.Stream, rec.Body = faas.Stdout, data
	if !d.plain.IgnoreTimes {
		if t, ok := d.ownTime(data); ok {
			rec.Time = t
			return
		}
	}
	rec.Time, rec.Guessed = d.time, true
}

// ownTime reads the time that a line begins with.
func (d *Decoder) ownTime(b []byte) (time.Time, bool) {
	if len(b) > 0 && b[0] == '[' {
		b = b[1:]
	}
	if len(b) < secondLen {
		return time.Time{}, false
	}
	switch {
	case b[0] == 'I' || b[0] == 'W' || b[0] == 'E' || b[0] == 'F':
		return d.glogTime(b)
	case b[0]-'0' > 9 || b[13] != ':' || b[16] != ':' || b[4] != b[7]:
		return time.Time{}, false
	case b[10] == 'T' && b[4] == '-', b[10] == ' ' && (b[4] == '-' || b[4] == '/'):
	default:
		return time.Time{}, false
	}
	var second [secondLen]byte
	copy(second[:], b)
	second[4], second[7], second[10] = '-', '-', 'T'
	unix, ok := d.clock.second(second[:])
	if !ok {
		return time.Time{}, false
	}
	rest := b[secondLen:]
	var point byte = '.'
	if len(rest) > 0 && rest[0] == ',' {
		point = ','
	}
	nanos, rest, ok := fraction(rest, point)
	if !ok {
		nanos = 0 // a full stop or a comma behind the time
	}
	if east, n := zonePrefix(rest); n > 0 && (n == len(rest) || !alphanumeric(rest[n])) {
		return time.Unix(unix-east, nanos).UTC(), true
	}
	return d.inZone(time.Unix(unix, nanos).UTC()), true
}

// zonePrefix reads the zone that b begins with; n is 0 if there is none.
func zonePrefix(b []byte) (east int64, n int) {
	for _, n := range [...]int{len("Z"), len("+00:00")} {
		if len(b) >= n {
			if east, ok := zone(b[:n]); ok {
				return east, n
			}
		}
	}
	if len(b) >= len("+0000") && (b[0] == '+' || b[0] == '-') {
		colon := [...]byte{b[0], b[1], b[2], ':', b[3], b[4]}
		if east, ok := zone(colon[:]); ok {
			return east, len("+0000")
		}
	}
	return 0, 0
}

// inZone takes t, which was read as UTC, for one in the Decoder's zone.
func (d *Decoder) inZone(t time.Time) time.Time {
	if d.plain.Zone == nil || d.plain.Zone == time.UTC {
		return t
	}
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), d.plain.Zone).UTC()
}

// glogTime reads `I0102 15:04:05.000000`, of the year in which it is nearest to
// SetTime's time.
func (d *Decoder) glogTime(b []byte) (time.Time, bool) {
	if !glogHeader(b) || d.time.IsZero() {
		return time.Time{}, false
	}
	nanos, _, ok := fraction(b[14:], '.')
	if !ok {
		return time.Time{}, false
	}
	const half = 184 * 24 * time.Hour
	for _, year := range [...]int{d.time.Year(), d.time.Year() - 1, d.time.Year() + 1} {
		var second [secondLen]byte
		copy(second[:], "YYYY-MM-DDThh:mm:ss")
		for i, y := 3, year; i >= 0; i, y = i-1, y/10 {
			second[i] = byte('0' + y%10)
		}
		copy(second[5:7], b[1:3])
		copy(second[8:10], b[3:5])
		copy(second[11:], b[6:14])
		unix, ok := d.clock.second(second[:])
		if !ok { // a 29 February
			continue
		}
		t := d.inZone(time.Unix(unix, nanos).UTC())
		if off := t.Sub(d.time); off.Abs() <= half {
			return t, true
		}
	}
	return time.Time{}, false
}

// glogHeader reports whether b begins as a line of glog or klog does.
func glogHeader(b []byte) bool {
	const shape = "I0102 15:04:05.0"
	if len(b) < len(shape) || b[5] != ' ' || b[8] != ':' || b[11] != ':' || b[14] != '.' {
		return false
	}
	switch b[0] {
	case 'I', 'W', 'E', 'F':
	default:
		return false
	}
	for _, i := range [...]int{1, 2, 3, 4, 6, 7, 9, 10, 12, 13, 15} {
		if b[i]-'0' > 9 {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'z'
}

package runtimelog

import (
	"fmt"
	"time"
)

// clock parses RFC 3339 times. Neighbouring records differ in the fraction
// only, so it remembers the last second.
type clock struct {
	second [19]byte // 2026-11-23T04:51:59
	unix   int64    // of second, as if it were UTC
}

// parse reads RFC 3339 with up to nine digits of fraction.
func (c *clock) parse(b []byte) (time.Time, error) {
	if len(b) < len("2006-01-02T15:04:05Z") {
		return time.Time{}, badTime(b)
	}
	if string(c.second[:]) != string(b[:19]) {
		t, err := time.Parse("2006-01-02T15:04:05", string(b[:19]))
		if err != nil {
			return time.Time{}, badTime(b)
		}
		c.unix = t.Unix()
		copy(c.second[:], b)
	}
	rest := b[19:]
	var nanos int64
	if rest[0] == '.' {
		i, unit := 1, int64(1e8)
		for ; i < len(rest) && rest[i] >= '0' && rest[i] <= '9'; i++ {
			nanos += int64(rest[i]-'0') * unit
			unit /= 10 // what is finer than nanoseconds does not count
		}
		if i == 1 {
			return time.Time{}, badTime(b)
		}
		rest = rest[i:]
	}
	east, ok := zone(rest)
	if !ok {
		return time.Time{}, badTime(b)
	}
	return time.Unix(c.unix-east, nanos).UTC(), nil
}

// zone reads Z or ±hh:mm, in seconds east of UTC.
func zone(b []byte) (int64, bool) {
	if len(b) == 1 && (b[0] == 'Z' || b[0] == 'z') {
		return 0, true
	}
	if len(b) != 6 || b[0] != '+' && b[0] != '-' || b[3] != ':' {
		return 0, false
	}
	for _, i := range [...]int{1, 2, 4, 5} {
		if b[i] < '0' || b[i] > '9' {
			return 0, false
		}
	}
	hours, minutes := int64(b[1]-'0')*10+int64(b[2]-'0'), int64(b[4]-'0')*10+int64(b[5]-'0')
	if hours > 23 || minutes > 59 {
		return 0, false
	}
	east := hours*3600 + minutes*60
	if b[0] == '-' {
		east = -east
	}
	return east, true
}

func badTime(b []byte) error {
	return fmt.Errorf("%w: %.40q is not an RFC 3339 time", ErrRecord, b)
}

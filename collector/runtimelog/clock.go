package runtimelog

import (
	"encoding/binary"
	"fmt"
	"time"
)

// clock parses RFC 3339 times. Neighbouring records differ in the fraction
// only, so it remembers the last second, as the words that spell it.
type clock struct {
	head, mid uint64
	end       uint32
	unix      int64 // of the second, as if it were UTC
}

const (
	secondLen = len("2006-01-02T15:04:05")
	nanoLen   = len("2006-01-02T15:04:05.000000000Z")
)

// second gives the second that b begins with, as if it were UTC.
func (c *clock) second(b []byte) (int64, bool) {
	_ = b[secondLen-1]
	head, mid, end := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint32(b[15:])
	if head == c.head && mid == c.mid && end == c.end {
		return c.unix, true
	}
	t, err := time.Parse("2006-01-02T15:04:05", string(b[:secondLen]))
	if err != nil {
		return 0, false
	}
	c.head, c.mid, c.end, c.unix = head, mid, end, t.Unix()
	return c.unix, true
}

// parse reads RFC 3339 with any number of digits of fraction.
func (c *clock) parse(b []byte) (time.Time, bool) {
	if len(b) <= secondLen {
		return time.Time{}, false
	}
	unix, ok := c.second(b)
	if !ok {
		return time.Time{}, false
	}
	if len(b) == nanoLen && b[nanoLen-1] == 'Z' && b[secondLen] == '.' {
		if nanos, ok := nineDigits(b[secondLen+1:]); ok {
			return time.Unix(unix, nanos).UTC(), true
		}
	}
	nanos, rest, ok := fraction(b[secondLen:], '.')
	if !ok {
		return time.Time{}, false
	}
	east, ok := zone(rest)
	if !ok {
		return time.Time{}, false
	}
	return time.Unix(unix-east, nanos).UTC(), true
}

// nineDigits reads b[:9].
func nineDigits(b []byte) (int64, bool) {
	_ = b[8]
	const zeros, high, six = 0x3030303030303030, 0xf0f0f0f0f0f0f0f0, 0x0606060606060606
	w, last := binary.LittleEndian.Uint64(b), b[8]-'0'
	if w&high != zeros || (w+six)&high != zeros || last > 9 {
		return 0, false
	}
	// Neighbours become numbers of two digits, then of four, then one of eight.
	w -= zeros
	w = w*10 + w>>8
	w = ((w&0x000000ff000000ff)*(100+1000000<<32) + (w>>16&0x000000ff000000ff)*(1+10000<<32)) >> 32
	return int64(w)*10 + int64(last), true
}

// fraction reads a fraction behind its point, if b begins with one, in
// nanoseconds; what is finer does not count.
func fraction(b []byte, point byte) (nanos int64, rest []byte, ok bool) {
	if len(b) == 0 || b[0] != point {
		return 0, b, true
	}
	i, unit := 1, int64(1e8)
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		nanos += int64(b[i]-'0') * unit
		unit /= 10
	}
	return nanos, b[i:], i > 1
}

// zone reads Z or ±hh:mm, in seconds east of UTC.
func zone(b []byte) (int64, bool) {
	if len(b) == 1 && (b[0] == 'Z' || b[0] == 'z') {
		return 0, true
	}
	if len(b) != len("+00:00") || b[0] != '+' && b[0] != '-' || b[3] != ':' {
		return 0, false
	}
	hours, ok1 := twoDigits(b[1:])
	minutes, ok2 := twoDigits(b[4:])
	if !ok1 || !ok2 || hours > 23 || minutes > 59 {
		return 0, false
	}
	east := int64(hours*3600 + minutes*60)
	if b[0] == '-' {
		east = -east
	}
	return east, true
}

// twoDigits reads b[:2].
func twoDigits(b []byte) (int, bool) {
	_ = b[1]
	tens, ones := b[0]-'0', b[1]-'0'
	return int(tens)*10 + int(ones), tens <= 9 && ones <= 9
}

func badTime(b []byte) error {
	return fmt.Errorf("%w: %.40q is not an RFC 3339 time", ErrRecord, b)
}

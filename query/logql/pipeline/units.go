package pipeline

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseNumber reads a number as labels have it.
func ParseNumber(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", s)
	}
	return v, nil
}

// ParseDuration reads a duration as labels have it: Go's form, as 1h30m or 250ms.
func ParseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration", s)
	}
	return d, nil
}

var byteUnits = map[string]float64{
	"": 1, "b": 1,
	"k": 1e3, "kb": 1e3, "ki": 1 << 10, "kib": 1 << 10,
	"m": 1e6, "mb": 1e6, "mi": 1 << 20, "mib": 1 << 20,
	"g": 1e9, "gb": 1e9, "gi": 1 << 30, "gib": 1 << 30,
	"t": 1e12, "tb": 1e12, "ti": 1 << 40, "tib": 1 << 40,
	"p": 1e15, "pb": 1e15, "pi": 1 << 50, "pib": 1 << 50,
	"e": 1e18, "eb": 1e18, "ei": 1 << 60, "eib": 1 << 60,
}

// ParseBytes reads a size as labels have it, a number with a unit in either
// case: 5MiB, "1.5 kB", 3k. Fractions of a byte are cut off.
func ParseBytes(s string) (float64, error) {
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '.' || s[n] == ',') {
		n++
	}
	number := s[:n]
	if strings.Contains(number, ",") {
		number = strings.ReplaceAll(number, ",", "")
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no size", s)
	}
	unit, ok := byteUnits[strings.ToLower(strings.TrimSpace(s[n:]))]
	if !ok || v*unit >= 1<<64 {
		return 0, fmt.Errorf("%q is no size", s)
	}
	return float64(uint64(v * unit)), nil
}

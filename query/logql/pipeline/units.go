package pipeline

import (
	"fmt"
	"strconv"
	"time"

	"github.com/coldscope/coldscope/query/logql"
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

// ParseBytes reads a size as labels have it, a number with a unit in either
// case: 5MiB, "1.5 kB", 3k.
func ParseBytes(s string) (float64, error) {
	n, err := logql.ParseBytes(s)
	if err != nil {
		return 0, fmt.Errorf("%q is no size", s)
	}
	return float64(n), nil
}

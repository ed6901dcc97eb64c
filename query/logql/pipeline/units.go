package pipeline

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/query/logql"
)

// ParseNumber reads a number as labels have it.
func ParseNumber(s string) (float64, error) { return strconv.ParseFloat(s, 64) }

// ParseDuration reads a duration as labels have it: Go's form, as 1h30m or 250ms.
func ParseDuration(s string) (time.Duration, error) { return time.ParseDuration(s) }

// ParseBytes reads a size as labels have it, a number, with commas or not, with
// a unit in either case: 5MiB, "1.5 kB", 3k.
func ParseBytes(s string) (float64, error) {
	text := s
	if strings.IndexByte(text, ',') > 0 {
		text = strings.ReplaceAll(text, ",", "")
	}
	n, err := logql.ParseBytes(text)
	if err == nil {
		return float64(n), nil
	}
	end := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		end = len(text)
	}
	if _, err := strconv.ParseFloat(text[:end], 64); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("%q is no size", s)
}

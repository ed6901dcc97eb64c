package api

import (
	"context"
	"fmt"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query/read"
)

type body[T any] struct {
	Body T
}

// Owner is the part of every operation's input that says whose data it is
// about. It is exported because huma passes over embedded types that are not.
type Owner struct {
	Tenant string `header:"X-Scope-OrgID" maxLength:"150" doc:"The tenant; default if absent"`
}

// id is whom the request acts for: the port's guard knows better than the header.
func (t Owner) id(ctx context.Context) string { return wire.TenantOf(ctx, t.Tenant) }

// Span is the time range that an operation is about.
type Span struct {
	Since string `query:"since" maxLength:"64" example:"15m" doc:"Beginning of the time range (inclusive): an RFC 3339 time, or a duration before now such as 90s, 15m, 24h or 7d. Default: no limit"`
	Until string `query:"until" maxLength:"64" doc:"End of the time range (exclusive), written as since is. Default: no limit"`
}

// Resolve reports what of the range cannot be read.
func (s *Span) Resolve(huma.Context) []error {
	var errs []error
	since, err := parseTime(s.Since, time.Time{})
	errs = refuse(errs, "query.since", s.Since, err)
	until, err := parseTime(s.Until, time.Time{})
	errs = refuse(errs, "query.until", s.Until, err)
	if len(errs) == 0 && !since.IsZero() && !until.IsZero() && !since.Before(until) {
		errs = append(errs, &huma.ErrorDetail{Location: "query.until", Message: "until must be later than since", Value: s.Until})
	}
	return errs
}

func refuse(errs []error, location, value string, err error) []error {
	if err == nil {
		return errs
	}
	return append(errs, &huma.ErrorDetail{Location: location, Message: err.Error(), Value: value})
}

// within is the range as of now; Resolve has checked it.
func (s *Span) within(now time.Time) read.Range {
	since, _ := parseTime(s.Since, now)
	until, _ := parseTime(s.Until, now)
	return read.Range{Since: since, Until: until}
}

// parseTime reads an RFC 3339 time, or a duration that lies before now. An
// empty text is the zero time: no limit.
func parseTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		if !faas.Storable(t) {
			return time.Time{}, fmt.Errorf("a time between 1970 and 2262 is needed")
		}
		return t, nil
	}
	d, err := parseDuration(s)
	if err != nil || d < 0 {
		return time.Time{}, fmt.Errorf("neither an RFC 3339 time (2006-01-02T15:04:05Z) nor a duration (15m, 24h, 7d)")
	}
	return now.Add(-d), nil
}

// parseDuration is time.ParseDuration with days, written as whole numbers.
func parseDuration(s string) (time.Duration, error) {
	var days int
	var rest string
	if n, _ := fmt.Sscanf(s, "%dd%s", &days, &rest); n > 0 && s == fmt.Sprintf("%dd%s", days, rest) {
		if days < 0 || days > 36500 {
			return 0, fmt.Errorf("%q days are out of range", s)
		}
		d := time.Duration(days) * 24 * time.Hour
		if rest == "" {
			return d, nil
		}
		more, err := time.ParseDuration(rest)
		return d + more, err
	}
	return time.ParseDuration(s)
}

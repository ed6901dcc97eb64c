package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/query/read"
)

//go:embed sql/lines.sql
var linesSQL string

// Report is what the demo found; its JSON is what scripts read.
type Report struct {
	Requests        int                    `json:"requests"`
	Failed          []string               `json:"failed,omitempty"` // why requests got no answer
	Runtime         string                 `json:"runtime"`
	ColdStarts      int                    `json:"cold_starts"`
	LinesWritten    int                    `json:"lines_written"`    // by the functions' own count
	LinesStored     int                    `json:"lines_stored"`     // different lines in the store
	LinesDuplicated int                    `json:"lines_duplicated"` // rows beyond one per line
	LinesAttributed int                    `json:"lines_attributed"` // with the request that the function printed
	Phases          map[string]PhaseReport `json:"phases"`
	Slowest         *Slowest               `json:"slowest"`
	// SumErrorMS is the largest difference, over all cold starts, between the
	// total and the sum of the phases' critical shares and other.
	SumErrorMS float64  `json:"sum_error_ms"`
	Problems   []string `json:"problems,omitempty"`
}

// PhaseReport is one phase over all cold starts.
type PhaseReport struct {
	Count int     `json:"count"`
	P50MS float64 `json:"p50_ms"`
	P99MS float64 `json:"p99_ms"`
}

// Slowest is the cold request that took longest.
type Slowest struct {
	RequestID string       `json:"request_id"`
	TotalMS   float64      `json:"total_ms"`
	Phases    []read.Phase `json:"phases"`
}

// stored is what the store has of one instance's lines.
type stored struct{ rows, numbers, highest, attributed int }

// storedLines reads what has arrived since the demo began.
func storedLines(ctx context.Context, conn driver.Conn, tenant string, since time.Time) (map[string]stored, error) {
	ctx = ch.Context(ctx, ch.WithParameters(ch.Parameters{
		"tenant": tenant, "since": since.UTC().Format("2006-01-02 15:04:05.000000000"),
	}))
	rows, err := conn.Query(ctx, linesSQL)
	if err != nil {
		return nil, fmt.Errorf("count stored lines: %w", err)
	}
	defer rows.Close()
	found := map[string]stored{}
	for rows.Next() {
		var instance string
		var count, numbers, highest, attributed uint64
		if err := rows.Scan(&instance, &count, &numbers, &highest, &attributed); err != nil {
			return nil, fmt.Errorf("count stored lines: %w", err)
		}
		found[instance] = stored{int(count), int(numbers), int(highest), int(attributed)}
	}
	return found, rows.Err()
}

// Stored waits until the store has as many lines as were written, or ctx
// ends, and fills what there is to say of lines into the report. progress is
// told after each look.
func Stored(ctx context.Context, conn driver.Conn, tenant string, since time.Time, w *Written, r *Report, progress func(stored, written int)) error {
	r.LinesWritten = w.Total()
	for {
		found, err := storedLines(ctx, conn, tenant, since)
		switch {
		case err == nil:
			r.compare(w, found)
			progress(r.LinesStored, r.LinesWritten)
			if len(r.Problems) == 0 {
				return nil
			}
		case ctx.Err() == nil && !clickhouse.Retryable(err):
			return err
		}
		if pause(ctx, 200*time.Millisecond) != nil {
			if len(r.Problems) == 0 {
				return errors.New("count stored lines: the store did not answer in time")
			}
			return nil // the problems say it
		}
	}
}

// compare holds the store against the functions' own count.
func (r *Report) compare(w *Written, found map[string]stored) {
	r.LinesStored, r.LinesDuplicated, r.LinesAttributed, r.Problems = 0, 0, 0, nil
	for instance, s := range found {
		r.LinesStored += s.numbers
		r.LinesDuplicated += s.rows - s.numbers
		r.LinesAttributed += s.attributed
		if _, ok := w.Lines[instance]; !ok {
			r.Problems = append(r.Problems, fmt.Sprintf("instance %s has %d lines, but never answered a request", instance, s.rows))
		}
		if s.rows != s.numbers {
			r.Problems = append(r.Problems, fmt.Sprintf("instance %s has %d rows for %d lines", instance, s.rows, s.numbers))
		}
	}
	for instance, lines := range w.Lines {
		if s := found[instance]; s.numbers != lines || s.highest != lines {
			r.Problems = append(r.Problems, fmt.Sprintf("instance %s wrote %d lines, %d of them are stored (highest number %d)", instance, lines, s.numbers, s.highest))
		}
	}
	slices.Sort(r.Problems)
}

// Starts fills in what the cold starts show.
func (r *Report) Starts(stats *read.ColdStartStats, pages []*read.Page) {
	r.ColdStarts = int(stats.Count)
	r.Phases = map[string]PhaseReport{}
	for _, p := range stats.Phases {
		r.Phases[p.Phase] = PhaseReport{int(p.Count), p.P50MS, p.P99MS}
	}
	for _, page := range pages {
		s := page.ColdStart
		if s == nil {
			continue
		}
		sum := s.OtherMS
		for _, p := range s.Phases {
			sum += p.CriticalMS
		}
		r.SumErrorMS = max(r.SumErrorMS, math.Abs(sum-s.TotalMS))
		if total := page.Invocation.TotalMS; total != nil && (r.Slowest == nil || *total > r.Slowest.TotalMS) {
			r.Slowest = &Slowest{page.Invocation.RequestID, *total, s.Phases}
		}
	}
	if r.SumErrorMS > 1 {
		r.Problems = append(r.Problems, fmt.Sprintf("the phases of a cold start and its total differ by %.3f ms", r.SumErrorMS))
	}
}

// Err is what makes the demo fail: a request without an answer, a line that is
// missing or there twice, or shares that do not add up.
func (r *Report) Err() error {
	problems := slices.Concat(r.Failed, r.Problems)
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%d problems; the first: %s", len(problems), problems[0])
}

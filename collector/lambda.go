package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/coldscope/coldscope/collector/ship"
	"github.com/coldscope/coldscope/internal/faas"
)

// storeLines brings lines that came without a file, in a request, to the sink,
// and returns when they are acknowledged. The same lines again have the same
// names.
func (c *Collector) storeLines(ctx context.Context, lines []faas.Line) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	name := xxhash.New()
	for i := range lines {
		_, _ = fmt.Fprintf(name, "%+v %d %s %s\n", lines[i].Ref, lines[i].Time.UnixNano(), lines[i].Stream, lines[i].Body)
	}
	file := ship.NewFile(name.Sum64(), 0)
	out := c.ship.Writer(file)
	streams := map[faas.Ref]map[faas.Stream]*ship.Stream{}
	var redacted []byte
	for i := range lines {
		l := &lines[i]
		of := streams[l.Ref]
		if of == nil {
			of = map[faas.Stream]*ship.Stream{}
			streams[l.Ref] = of
		}
		if of[l.Stream] == nil {
			of[l.Stream] = ship.NewStream(l.Ref, l.Stream, c.cfg.Host)
		}
		body, n := c.redactor.Line(redacted[:0], []byte(l.Body))
		if n > 0 {
			redacted = body
			c.metrics.secrets.Add(float64(n))
		}
		err := out.Add(ctx, of[l.Stream], &ship.Line{Time: l.Time, Body: body, Offset: int64(i), Safe: int64(i) + 1})
		if err != nil {
			return fmt.Errorf("store lines: %w", err)
		}
	}
	if err := out.Flush(ctx); err != nil {
		return fmt.Errorf("store lines: %w", err)
	}
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for file.Committed() < int64(len(lines)) {
		select {
		case <-ctx.Done():
			return errors.New("store lines: the sink has not acknowledged them in time")
		case <-ticker.C:
		}
	}
	return nil
}

// storeTimeout is how long a request with lines is held open.
const storeTimeout = 30 * time.Second

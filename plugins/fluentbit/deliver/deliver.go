// Package deliver turns chunks of Fluent Bit's log records into Loki pushes to
// a Coldscope aggregator. It holds all that out_coldscope.so does; the plugin
// itself only exports it to C.
//
// # Identity
//
// Fluent Bit sends a chunk again, byte for byte, until it hears that it has
// arrived, so every line needs a name that comes out the same each time:
// file_id is a hash of the tag and the line's labels, and offset is one of two.
// A line whose time has full nanoseconds and is its own in the chunk is named
// by a hash of time and text, so it folds even when Fluent Bit lost its place
// and reads the file again, cutting other chunks. Any other line, one whose
// clock is too coarse to tell it from its like, is named by the chunk's hash
// and its place in the chunk: equal lines of one second stay apart and in order.
package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/coldscope/coldscope/internal/wire"
)

// Outcome is what Fluent Bit has to do with a chunk.
type Outcome int

// The outcomes.
const (
	Accepted Outcome = iota // stored; forget it
	Retry                   // come back with the same chunk
	Rejected                // it can never be stored whole; the log says why
)

var errNoFunction = errors.New("no record says which function it belongs to")

// Sender delivers the chunks of one output section. It is safe for concurrent use.
type Sender struct {
	cfg    Config
	client *wire.Client
	log    *slog.Logger
}

// New makes a sender. It does not connect.
func New(cfg Config, log *slog.Logger) (*Sender, error) {
	client, err := wire.NewClient(cfg.URL)
	if err != nil {
		return nil, err
	}
	return &Sender{cfg: cfg, client: client, log: log.With("url", cfg.URL, "tenant", cfg.Tenant)}, nil
}

// Close gives up idle connections.
func (s *Sender) Close() { s.client.Close() }

// Deliver sends the chunk's records and returns when they are stored or it is
// known that they are not. It keeps no reference to chunk. What can be read of
// a chunk is delivered even if the rest is rejected.
func (s *Sender) Deliver(ctx context.Context, tag string, chunk []byte) Outcome {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	b := newBatch(&s.cfg, tag, chunk)
	var unread error
	for rec, err := range records(chunk) {
		if err != nil {
			unread = err
			break
		}
		b.add(rec)
	}
	log := s.log.With("tag", tag, "chunk_bytes", len(chunk), "lines", b.lines)
	refused, err := s.push(ctx, b)
	if err != nil {
		log.Warn("chunk not delivered, Fluent Bit will send it again", "error", err, "hint", hint(err))
		return Retry
	}
	if b.orphans > 0 && b.lines == 0 && unread == nil {
		refused = append(refused, errNoFunction)
	} else if b.orphans > 0 {
		log.Error("records dropped", "records", b.orphans, "error", errNoFunction, "hint", hint(errNoFunction))
	}
	if err := errors.Join(append(refused, unread)...); err != nil {
		log.Error("chunk rejected, Fluent Bit will drop it", "error", err, "hint", hint(err))
		return Rejected
	}
	return Accepted
}

// push sends the batch. It goes on after a request that was refused for good,
// and stops at an error that is worth a retry.
func (s *Sender) push(ctx context.Context, b *batch) (refused []error, err error) {
	for _, req := range b.requests() {
		err := s.client.Push(ctx, s.cfg.Tenant, req)
		switch {
		case wire.Permanent(err):
			refused = append(refused, err)
		case err != nil:
			return refused, err
		}
	}
	return refused, nil
}

// hint tells what to do about an error.
func hint(err error) string {
	var status *wire.StatusError
	switch {
	case errors.Is(err, errNoFunction):
		return "set function, or function_key to the record's key that names it"
	case errors.As(err, &status):
		return statusHint(status.Code)
	case errors.Is(err, errChunk):
		return "route only logs to coldscope (Match), not metrics or traces; what could be read was delivered"
	}
	return "check url, and that the aggregator is running"
}

func statusHint(code int) string {
	switch code {
	case http.StatusRequestEntityTooLarge:
		return fmt.Sprintf("let whatever is between here and the aggregator take bodies of %d MiB", wire.MaxPushBytes>>20)
	case http.StatusUnauthorized, http.StatusForbidden:
		return "whatever is between here and the aggregator wants credentials"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return "url does not lead to an aggregator"
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return "none needed if it passes; else look at the aggregator's log"
	}
	return "look at the aggregator's log"
}

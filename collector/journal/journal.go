// Package journal takes events in and keeps them until they are shipped. An
// event that Append accepted survives a crash; the collector tails the
// journal's segments like any other log file, so that events have the same one
// guarantee as lines.
package journal

import (
	"context"
	"errors"
	"fmt"

	"github.com/coldscope/coldscope/internal/durable"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// Journal is safe for concurrent use.
type Journal struct {
	log    *durable.Log
	notify func()
}

// Options bound a Journal. Zero values take the defaults.
type Options struct {
	MaxBytes     int64  // on disk; default 1 GiB
	SegmentBytes int64  // default 16 MiB
	Appended     func() // called after events have become durable; may be nil
}

// Open opens the journal in dir, which is made if it is missing.
func Open(dir string, opts Options) (*Journal, error) {
	log, err := durable.OpenLog(dir, durable.LogOptions{
		SegmentBytes: opts.SegmentBytes, MaxBytes: opts.MaxBytes, Perm: 0o600,
	})
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return &Journal{log, opts.Appended}, nil
}

// Append makes events durable before it returns. It does not look for
// duplicates: an event's source and ID make it idempotent where it is stored.
// The error wraps wire.ErrBusy if the journal is full.
func (j *Journal) Append(_ context.Context, events []faas.Event) error {
	payloads := make([][]byte, len(events))
	for i := range events {
		b, err := wire.EncodeEvent(&events[i])
		if err != nil {
			return fmt.Errorf("append to journal: %w", err)
		}
		payloads[i] = b
	}
	if err := j.log.Append(payloads...); err != nil {
		if errors.Is(err, durable.ErrFull) {
			return fmt.Errorf("append to journal: %w: %w", wire.ErrBusy, err)
		}
		return fmt.Errorf("append to journal: %w", err)
	}
	if j.notify != nil {
		j.notify()
	}
	return nil
}

// Remove deletes a segment whose events are all acknowledged; false says that
// it is still being written.
func (j *Journal) Remove(path string) (bool, error) { return j.log.Remove(path) }

// Size is the bytes that the journal takes on disk.
func (j *Journal) Size() int64 { return j.log.Size() }

// Close ends the journal.
func (j *Journal) Close() error { return j.log.Close() }

package embedded

import (
	"context"
	"errors"
	"time"

	"github.com/coldscope/coldscope/internal/clickhouse"
)

// What the disk has to have left, in bytes: with less it counts as full, and
// with more there is room again. What fails for want of room gives up its own at
// once, so a full disk is seldom seen without a byte.
const (
	diskFull = 32 << 20
	diskRoom = 128 << 20
)

const (
	diskTick = 100 * time.Millisecond
	// oldPartsLifetime is for how long the engine keeps parts that were merged. It is
	// disk: at 100 000 lines a second about 2 GB.
	oldPartsLifetime = 4 * time.Minute
	diskPatience     = oldPartsLifetime / 2
)

var errDiskWasFull = errors.New("the disk was full, and the engine has to check what it wrote meanwhile: make room on it")

// watchDisk tells filled when the engine has to be started again since its disk
// was full. A merge that runs out of disk can leave a part whose files are
// empty, which the engine (26.7) takes for good, and from then on queries fail. So
// nothing is merged from when the disk is nearly full on (stopMerges).
//
// When it starts the engine looks at its parts, puts such ones aside and takes those
// that were merged, which it keeps for oldPartsLifetime. So it is started
// again as soon as there is room, or before that time is over.
func watchDisk(ctx context.Context, dir string, stopMerges func(context.Context), filled chan<- struct{}) {
	tick := time.NewTicker(diskTick)
	defer tick.Stop()
	var since time.Time // zero: the disk was not full
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		free, err := freeBytes(dir)
		if err != nil {
			continue // the engine itself tells of a disk that is gone
		}
		now := time.Now()
		if free < diskFull && since.IsZero() {
			since = now
		}
		switch {
		case since.IsZero():
		case free < diskRoom && now.Sub(since) < diskPatience:
			stopMerges(ctx) // each time: it may have been started again
		default:
			since = time.Time{}
			select {
			case filled <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// stopMerges has the engine merge nothing until it is started again.
func (e *Engine) stopMerges(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := clickhouse.Open(ctx, e.DSN()+"?max_open_conns=1&dial_timeout=1s")
	if err == nil {
		err = errors.Join(conn.Exec(ctx, "SYSTEM STOP MERGES"), conn.Close())
	}
	if err != nil && ctx.Err() == nil {
		e.log.Debug("the disk is full, and merges could not be stopped", "error", err) // it may be away; it is asked again
	}
}

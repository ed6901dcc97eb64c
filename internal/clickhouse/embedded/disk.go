package embedded

import (
	"context"
	"errors"
	"time"
)

// What the disk has to have left, in bytes: with less it counts as full, and
// with more there is room again.
const (
	diskFull = 4 << 20
	diskRoom = 64 << 20
)

const (
	diskTick = 250 * time.Millisecond
	// diskPatience is well below old_parts_lifetime, eight minutes.
	diskPatience = 4 * time.Minute
)

var errDiskWasFull = errors.New("the disk was full, and the engine has to check what it wrote meanwhile: make room on it")

// watchDisk tells filled when the engine has to be started again since its disk
// was full. A merge that runs out of disk can leave a part whose files are
// empty, which the engine (26.7) takes for good, and from then on queries fail.
// When it starts it looks at its parts, puts such ones aside and takes those
// that were merged, which it keeps for old_parts_lifetime. So it is started
// again as soon as there is room, or before that time is over.
func watchDisk(ctx context.Context, dir string, filled chan<- struct{}) {
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
		switch {
		case free < diskFull && since.IsZero():
			since = now
		case since.IsZero() || free < diskRoom && now.Sub(since) < diskPatience:
			continue
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

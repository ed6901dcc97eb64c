package main

import (
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// awaitHangUp calls gone when nobody reads out any more. A pipe tells that to
// who writes; a program that has nothing to write for hours would stay as long.
// It returns when ctx ends.
func awaitHangUp(ctx context.Context, out *os.File, gone func()) {
	if info, err := out.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return
	}
	const look = 500 // milliseconds
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(out.Fd())}} // errors are told without asking
		if n, err := unix.Poll(fds, look); err == nil && n > 0 && fds[0].Revents&(unix.POLLERR|unix.POLLNVAL) != 0 {
			gone()
			return
		}
	}
}

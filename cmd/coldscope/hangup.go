package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/query/terminal"
)

// following runs what goes on for ever, until it is interrupted or nobody reads
// its output any more.
func (f *lookFlags) following(cmd *cobra.Command, run func(ctx context.Context, w, notes io.Writer) error) error {
	w := cmd.OutOrStdout()
	ctx, cancel := context.WithCancel(cmd.Context())
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		if out, ok := w.(*os.File); ok {
			awaitHangUp(ctx, out, cancel)
		}
	}()
	defer func() {
		cancel()
		<-watching
	}()
	err := run(ctx, w, cmd.ErrOrStderr())
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// noteConnection says that the connection is lost, or there again.
func noteConnection(notes io.Writer, lost error, again bool) {
	switch {
	case lost != nil:
		fmt.Fprintf(notes, "coldscope: %s; trying again\n", terminal.Clean(lost.Error()))
	case again:
		fmt.Fprintln(notes, "coldscope: connected again")
	}
}

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

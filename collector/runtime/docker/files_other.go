//go:build !linux

package docker

import (
	"context"
	"errors"
	"os"
)

var errNoNotifier = errors.New("files can be watched on Linux only")

type notifier struct{}

func (*notifier) add(string) (int, error) { return 0, errNoNotifier }

func (w *blobWatch) open() error { return errNoNotifier }

func (w *blobWatch) run(ctx context.Context) { <-ctx.Done() }

func stampsOf(string) (stamps, error) { return stamps{}, errNoNotifier }

func stampsOfFile(*os.File) (stamps, error) { return stamps{}, errNoNotifier }

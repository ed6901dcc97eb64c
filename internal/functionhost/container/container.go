// Package container holds the words that the function host and its container
// runtimes share: which image, with whose credentials, what to run, and what
// became of it. The runtimes are siblings of this package; the interface they
// fulfil is declared by the host, which uses them.
package container

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// Port is where every function listens.
const Port = 9000

// Image names an image by its content.
type Image struct {
	Registry   string // host:port
	Repository string
	Digest     string // sha256:… of the manifest
}

func (i Image) String() string { return i.Registry + "/" + i.Repository + "@" + i.Digest }

// Credentials are good for one pull, and for a short time only.
type Credentials struct {
	Username, Password string
}

// Interval is a piece of time. Its zero value means that it did not happen.
type Interval struct{ Start, End time.Time }

// Widen makes i contain [start, end].
func (i *Interval) Widen(start, end time.Time) {
	if start.IsZero() {
		return
	}
	if i.Start.IsZero() || start.Before(i.Start) {
		i.Start = start
	}
	if end.After(i.End) {
		i.End = end
	}
}

// Pulled is what a pull took. After a failed pull it holds what had happened
// until then.
type Pulled struct {
	Layers []faas.LayerPulled // in the manifest's order
	Pull   Interval           // from the pull's start until the last layer was here
	Unpack Interval           // from the first layer's unpacking until the file system was complete
}

// Bytes is how many compressed bytes were downloaded.
func (p *Pulled) Bytes() (n int64) {
	for _, l := range p.Layers {
		if !l.DownloadEnd.IsZero() {
			n += l.Bytes
		}
	}
	return n
}

// Spec is one instance to create.
type Spec struct {
	faas.Ref
	Image       Image
	Command     []string // nil: the image's entry point
	Args        []string // nil: the image's arguments
	Env         []string // NAME=value, beside the image's own
	MemoryLimit int64    // bytes, 0: none
}

// Instance is one container. Its methods are called by one goroutine at a
// time, but for Dial, Drain and Settle, which are safe for concurrent use.
type Instance interface {
	// Start runs the instance's process and returns when it runs.
	Start(ctx context.Context) error
	// Dial connects to the function's port.
	Dial(ctx context.Context) (net.Conn, error)
	// Drain takes what the instance has written until now into its log, as far
	// as that can be done without waiting.
	Drain()
	// Settle returns when no line that was written before since can still get
	// a time stamp that is later than the return.
	Settle(ctx context.Context, since time.Time) error
	// Exited is closed when the process has ended and its log is complete.
	Exited() <-chan struct{}
	// Exit says how it ended, once Exited is closed.
	Exit() Exit
	// Stop asks the process to end, after grace makes it, and returns when it has.
	Stop(ctx context.Context, grace time.Duration) error
	// Remove frees everything but the log, which stays until the runtime's Sweep.
	Remove(ctx context.Context) error
}

// Exit is how an instance's process ended.
type Exit struct {
	Code       int // 128 + the signal's number if a signal ended it
	OOM        bool
	MemoryPeak int64 // bytes, 0: not known
	Err        error // the runtime lost sight of the instance; Code means nothing then
}

// ErrUnpack is wrapped by a pull's error if the layers came, but could not be
// unpacked.
var ErrUnpack = errors.New("unpack image")

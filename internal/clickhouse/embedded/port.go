package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// portWait is how long to wait for a port that we had before: the child of an
// owner that was killed may be just about to let it go.
const portWait = 500 * time.Millisecond

// reserve keeps a port of loopback for the child, before its start and between
// its lives: wanted, if it is not 0 and free, else any. The result holds it
// until it is closed.
func reserve(ctx context.Context, wanted int) (*os.File, int, error) {
	if wanted != 0 {
		deadline := time.After(portWait)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for waiting := true; waiting; {
			held, err := holdPort(wanted)
			if err == nil || !errors.Is(err, unix.EADDRINUSE) {
				return held, wanted, err
			}
			select {
			case <-ctx.Done():
				return nil, 0, ctx.Err()
			case <-deadline:
				waiting = false
			case <-tick.C:
			}
		}
	}
	// Below the range from which systems take the local ports of outgoing
	// connections, so that none of those has it after our process's restart.
	const low, high, tries = 20000, 32000, 50
	for range tries {
		n, err := rand.Int(rand.Reader, big.NewInt(high-low))
		if err != nil {
			return nil, 0, fmt.Errorf("choose port: %w", err)
		}
		port := low + int(n.Int64())
		held, err := holdPort(port)
		if err == nil || !errors.Is(err, unix.EADDRINUSE) {
			return held, port, err
		}
	}
	return nil, 0, fmt.Errorf("choose port: %d ports between %d and %d of %s tried, all in use", tries, low, high, host)
}

// holdPort binds a socket to the port and does not listen on it. Only a process
// of the same user that asks to share the port, which the child does, can use it
// then: nobody else can take the child's place while it is down, and be sent our
// password.
func holdPort(port int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, fmt.Errorf("hold port %d: %w", port, err)
	}
	unix.CloseOnExec(fd)
	held := os.NewFile(uintptr(fd), fmt.Sprintf("port %d", port))
	err = errors.Join(
		// While binding: alone, but beside connections of the past.
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}),
		// From now on: with the child only.
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
	)
	if err != nil {
		_ = held.Close()
		return nil, fmt.Errorf("hold port %d: %w", port, err)
	}
	return held, nil
}

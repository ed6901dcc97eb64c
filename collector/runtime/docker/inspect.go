package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// inspected is what the daemon says of a container when it is asked.
type inspected struct {
	gone       bool // there is no such container any more
	imageID    string
	created    time.Time
	pid        int
	running    bool
	firstRun   bool // as far as can be told
	startedAt  time.Time
	finishedAt time.Time
	exitCode   int
	oom        bool
	failure    string // why it could not be started
}

// inspect asks for a container. It is the expensive call: about one per start.
// A container that is gone is not an error.
func (s *shard) inspect(ctx context.Context, t *tracked) (*inspected, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	got, err := s.w.api.ContainerInspect(ctx, t.ID, client.ContainerInspectOptions{})
	if errdefs.IsNotFound(err) {
		return &inspected{gone: true}, nil
	}
	if err != nil {
		return &inspected{gone: true}, fmt.Errorf("inspect container %s: %w", t.ID, err)
	}
	c := &got.Container
	in := &inspected{imageID: c.Image, created: stamp(c.Created)}
	t.createdAt = in.created
	t.Name = strings.TrimPrefix(c.Name, "/")
	if c.Config != nil {
		t.Image, t.Labels = c.Config.Image, c.Config.Labels
	}
	if c.HostConfig != nil {
		t.MemoryLimit, t.Annotations = c.HostConfig.Memory, c.HostConfig.Annotations
	}
	if st := c.State; st != nil {
		in.pid, in.running, in.exitCode, in.oom = st.Pid, st.Running, st.ExitCode, st.OOMKilled
		in.startedAt, in.finishedAt = stamp(st.StartedAt), stamp(st.FinishedAt)
		in.firstRun = c.RestartCount == 0 && (!st.Running || in.finishedAt.IsZero())
		if in.startedAt.IsZero() {
			in.failure = st.Error
		}
	}
	return in, nil
}

// stamp reads one of the daemon's times; its year 1 means never.
func stamp(text string) time.Time {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || at.Year() < 1970 {
		return time.Time{}
	}
	return at
}

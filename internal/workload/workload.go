// Package workload is what container runtimes know of a container that runs a
// function, in one shape for all of them, and how that says whose it is: which
// function, version and instance of which tenant.
package workload

import (
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// Container is what a runtime knows of one container. Fields that it does not
// know are empty.
type Container struct {
	ID          string // the runtime's own, in full
	Name        string // without Docker's leading slash; in a pod the container's name in its spec
	Image       string // as it was asked for, tag or digest included
	Digest      string // of the image's manifest: sha256:…
	Labels      map[string]string
	Annotations map[string]string
	Pod         Pod // zero outside Kubernetes and CRI
	MemoryLimit int64
}

// Pod is the pod, or CRI sandbox, that a container belongs to.
type Pod struct {
	Namespace, Name, UID string
	Labels               map[string]string
	Annotations          map[string]string
}

// Process is the first process of a running container: what can be observed of
// it from the host.
type Process struct {
	faas.Ref
	ContainerID string
	PID         int       // in the host's PID namespace
	StartedAt   time.Time // on the host's clock
	Ports       []int     // on which the function may become ready; empty: the configured one
}

// Usage is what a container has used of its host until now. A field that the
// host does not tell is 0.
type Usage struct {
	MemoryPeak int64 // bytes
	CPUTime    time.Duration
	OOMKills   int64
}

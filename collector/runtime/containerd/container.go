package containerd

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"

	"github.com/coldscope/coldscope/internal/workload"
)

// What CRI writes on the containers that it has containerd make.
const (
	kindLabel         = "io.cri-containerd.kind"
	kindSandbox       = "sandbox"
	kindContainer     = "container"
	sandboxExtension  = "io.cri-containerd.sandbox.metadata"
	metadataExtension = "io.cri-containerd.container.metadata"
	nameLabel         = "io.kubernetes.container.name"
	podNameLabel      = "io.kubernetes.pod.name"
	podNamespaceLabel = "io.kubernetes.pod.namespace"
	podUIDLabel       = "io.kubernetes.pod.uid"
	nerdctlNameLabel  = "nerdctl/name"
)

// criMetadata is the part of CRI's own record of a container or sandbox that
// is of use here. CRI keeps it as JSON beside containerd's record, where it is
// readable before CRI itself answers for the container.
type criMetadata struct {
	Metadata struct {
		SandboxID string
		Config    struct {
			Metadata struct {
				Name      string `json:"name"`
				Namespace string `json:"namespace"`
				UID       string `json:"uid"`
				Attempt   uint32 `json:"attempt"`
			} `json:"metadata"`
			Image struct {
				Image         string `json:"image"`
				UserSpecified string `json:"user_specified_image"`
			} `json:"image"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		}
	}
}

// extension reads CRI's record; it is empty if there is none or it is in
// another form than the known one.
func extension(c *containersapi.Container, name string) criMetadata {
	var m criMetadata
	if json.Unmarshal(c.GetExtensions()[name].GetValue(), &m) != nil {
		return criMetadata{}
	}
	return m
}

// sandbox is a pod's, as CRI sees it.
type sandbox struct {
	created time.Time
	pod     workload.Pod
}

func sandboxOf(c *containersapi.Container) *sandbox {
	config := extension(c, sandboxExtension).Metadata.Config
	labels := c.GetLabels()
	pod := workload.Pod{
		Namespace: labels[podNamespaceLabel], Name: labels[podNameLabel], UID: labels[podUIDLabel],
		Labels: config.Labels, Annotations: config.Annotations,
	}
	if m := config.Metadata; pod.Name == "" { // a sandbox that is not kubelet's
		pod.Namespace, pod.Name, pod.UID = m.Namespace, m.Name, m.UID
	}
	return &sandbox{created: timeOf(c.GetCreatedAt()), pod: pod}
}

// described is a container as it is told to others, and what its start needs.
type described struct {
	container   workload.Container
	namespace   string
	imageName   string // containerd's
	snapshotter string
	created     time.Time
	sandboxed   time.Time // its sandbox's creation, if it is the container's first in it
	cri         bool
}

// describe turns containerd's record into the common form. sandboxes finds
// the container's sandbox, nil if it is not known.
func describe(ctx context.Context, namespace string, c *containersapi.Container, sandboxes func(context.Context, string) (*sandbox, error)) (*described, error) {
	labels := c.GetLabels()
	d := &described{
		container: workload.Container{ID: c.GetID(), Name: c.GetID(), Image: c.GetImage(), Labels: labels},
		namespace: namespace, imageName: c.GetImage(), snapshotter: c.GetSnapshotter(), created: timeOf(c.GetCreatedAt()),
	}
	annotations, limit := specified(c.GetSpec().GetValue())
	d.container.MemoryLimit = limit
	if labels[kindLabel] != kindContainer {
		d.container.Annotations = annotations
		if name := labels[nerdctlNameLabel]; name != "" {
			d.container.Name = name
		}
		return d, nil
	}
	d.cri = true
	m := extension(c, metadataExtension).Metadata
	d.container.Name = labels[nameLabel]
	if d.container.Name == "" {
		d.container.Name = m.Config.Metadata.Name
	}
	d.container.Annotations = m.Config.Annotations
	// kubelet asks for the image's ID, and says apart how the user named it.
	for _, asked := range []string{m.Config.Image.UserSpecified, m.Config.Image.Image} {
		if asked != "" && !strings.HasPrefix(asked, "sha256:") {
			d.container.Image = asked
			break
		}
	}
	d.container.Pod = workload.Pod{Namespace: labels[podNamespaceLabel], Name: labels[podNameLabel], UID: labels[podUIDLabel]}
	id := m.SandboxID
	if id == "" {
		id = c.GetSandbox()
	}
	box, err := sandboxes(ctx, id)
	if err != nil {
		return nil, err
	}
	if box != nil {
		d.container.Pod = box.pod
		if m.Config.Metadata.Attempt == 0 {
			d.sandboxed = box.created
		}
	}
	return d, nil
}

// specified reads a container's OCI runtime specification: its annotations
// and its memory limit in bytes, 0 if it has none.
func specified(spec []byte) (annotations map[string]string, memoryLimit int64) {
	var s struct {
		Annotations map[string]string `json:"annotations"`
		Linux       struct {
			Resources struct {
				Memory struct {
					Limit int64 `json:"limit"`
				} `json:"memory"`
			} `json:"resources"`
		} `json:"linux"`
	}
	if json.Unmarshal(spec, &s) != nil {
		return nil, 0
	}
	return s.Annotations, max(0, s.Linux.Resources.Memory.Limit)
}

// lazy reports whether a snapshotter can do without the blobs of layers.
func lazy(snapshotter string) bool {
	for _, name := range []string{"stargz", "soci", "nydus", "overlaybd"} {
		if strings.Contains(snapshotter, name) {
			return true
		}
	}
	return false
}

package workload

import (
	"path"
	"strings"
)

// Labels that kubelet's runtimes put on containers.
const (
	criPodName       = "io.kubernetes.pod.name"
	criPodNamespace  = "io.kubernetes.pod.namespace"
	criPodUID        = "io.kubernetes.pod.uid"
	criContainerName = "io.kubernetes.container.name"
	criKind          = "io.cri-containerd.kind"    // "sandbox": the pod's own container
	dockerKind       = "io.kubernetes.docker.type" // "podsandbox"
)

// facts is a container as patterns and selectors see it.
type facts struct {
	c    *Container
	pod  Pod
	name string
}

// factsOf completes a container's pod from the labels of its runtime, for
// watchers that know no more of it. False: it is a pod's sandbox, which runs
// nothing.
func factsOf(c *Container) (facts, bool) {
	f := facts{c: c, pod: c.Pod, name: c.Name}
	l := c.Labels
	if l[criKind] == "sandbox" || l[dockerKind] == "podsandbox" || l[criContainerName] == "POD" {
		return f, false
	}
	if f.pod.UID == "" && l[criPodUID] != "" {
		f.pod.UID, f.pod.Name, f.pod.Namespace = l[criPodUID], l[criPodName], l[criPodNamespace]
	}
	if name := l[criContainerName]; name != "" {
		f.name = name
	}
	return f, true
}

// fact is a placeholder's name, compiled.
type fact struct {
	get func(*facts, string) string
	key string // of label and annotation
}

func (f fact) of(c *facts) string { return strings.TrimSpace(f.get(c, f.key)) }

// named finds a fact by its name; false if there is none.
func named(name string) (fact, bool) {
	if key, ok := strings.CutPrefix(name, "label."); ok && key != "" {
		return fact{label, key}, true
	}
	if key, ok := strings.CutPrefix(name, "annotation."); ok && key != "" {
		return fact{annotation, key}, true
	}
	get := map[string]func(*facts) string{
		"pod.namespace":      func(f *facts) string { return f.pod.Namespace },
		"pod.name":           func(f *facts) string { return f.pod.Name },
		"pod.uid":            func(f *facts) string { return f.pod.UID },
		"pod.revision":       revision,
		"container.name":     func(f *facts) string { return f.name },
		"container.id":       func(f *facts) string { return f.c.ID },
		"container.short_id": func(f *facts) string { return f.c.ID[:min(12, len(f.c.ID))] },
		"image":              func(f *facts) string { return f.c.Image },
		"image.repository":   func(f *facts) string { return splitImage(f.c.Image).repository },
		"image.name":         imageName,
		"image.tag":          func(f *facts) string { return splitImage(f.c.Image).tag },
		"image.digest":       digest,
		"image.short_digest": shortDigest,
	}[name]
	if get == nil {
		return fact{}, false
	}
	return fact{get: func(f *facts, _ string) string { return get(f) }}, true
}

func label(f *facts, key string) string {
	if v := f.c.Labels[key]; v != "" {
		return v
	}
	return f.pod.Labels[key]
}

func annotation(f *facts, key string) string {
	if v := f.c.Annotations[key]; v != "" {
		return v
	}
	return f.pod.Annotations[key]
}

// image is a reference in its parts: [registry/]name[:tag][@digest].
type image struct{ repository, tag, digest string }

func splitImage(ref string) image {
	var i image
	i.repository, i.digest, _ = strings.Cut(ref, "@")
	if strings.HasPrefix(i.repository, "sha256:") {
		return image{} // an image's ID, which is no reference
	}
	// A colon before the last slash is a registry's port.
	if at := strings.LastIndexByte(i.repository, ':'); at > strings.LastIndexByte(i.repository, '/') {
		i.repository, i.tag = i.repository[:at], i.repository[at+1:]
	}
	return i
}

func imageName(f *facts) string {
	r := splitImage(f.c.Image).repository
	if r == "" {
		return ""
	}
	return path.Base(r)
}

func digest(f *facts) string {
	if f.c.Digest != "" {
		return f.c.Digest
	}
	return splitImage(f.c.Image).digest
}

// shortDigest is the first twelve digits, as image lists show them.
func shortDigest(f *facts) string {
	_, hex, _ := strings.Cut(digest(f), ":")
	return hex[:min(12, len(hex))]
}

// safeAlphabet is what Kubernetes generates suffixes and hashes from
// (k8s.io/apimachinery/pkg/util/rand): no vowels, no 0, 1 and 3.
const safeAlphabet = "bcdfghjklmnpqrstvwxz2456789"

// revision takes what varies with the version out of a pod's name:
// cart-7d9f8b6c5-x2x4z of a Deployment has 7d9f8b6c5.
func revision(f *facts) string {
	rest := strings.TrimPrefix(f.pod.Name, f.name+"-")
	i := strings.LastIndexByte(rest, '-')
	if i < 0 || len(rest)-i-1 != 5 || strings.Trim(rest[i+1:], safeAlphabet) != "" {
		return rest
	}
	hash := rest[strings.LastIndexByte(rest[:i], '-')+1 : i]
	if len(hash) < 6 || len(hash) > 10 || strings.Trim(hash, safeAlphabet) != "" {
		return rest
	}
	return rest[:i]
}

// ContainerFromLogPath reads what kubelet's directory of a container's logs,
// <root>/<namespace>_<pod>_<uid>/<container>, says of it: the container's name
// and its pod, but no labels. False if dir is no such directory.
func ContainerFromLogPath(dir string) (*Container, bool) {
	name, parent := path.Base(dir), path.Base(path.Dir(dir))
	namespace, rest, _ := strings.Cut(parent, "_")
	i := strings.LastIndexByte(rest, '_')
	if i <= 0 || namespace == "" || i+1 == len(rest) || name == "." || name == "/" {
		return nil, false
	}
	return &Container{Name: name, Pod: Pod{Namespace: namespace, Name: rest[:i], UID: rest[i+1:]}}, true
}

package containerdtest

import (
	"context"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Call is when a call to the runtime began and returned.
type Call struct{ Start, End time.Time }

func call(t testing.TB, what string, f func(context.Context) error) Call {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	start := time.Now()
	if err := f(ctx); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return Call{start, time.Now()}
}

// Pull pulls an image of the registry with credentials of its own.
func (c *Containerd) Pull(t testing.TB, ref string) Call {
	t.Helper()
	repo := strings.TrimPrefix(ref, c.registry.Addr()+"/")
	repo, _, _ = strings.Cut(repo, ":")
	repo, _, _ = strings.Cut(repo, "@")
	username, password, err := c.registry.Issue(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	return call(t, "pull "+ref, func(ctx context.Context) error {
		_, err := cri.NewImageServiceClient(c.Conn).PullImage(ctx, &cri.PullImageRequest{
			Image: &cri.ImageSpec{Image: ref},
			Auth:  &cri.AuthConfig{Username: username, Password: password},
		})
		return err
	})
}

// Pod is a running sandbox.
type Pod struct {
	ID                   string
	Namespace, Name, UID string
	Run                  Call // RunPodSandbox

	c      *Containerd
	config *cri.PodSandboxConfig
}

// PodConfig is what may be asked of a pod.
type PodConfig struct {
	Namespace, Name     string
	Labels, Annotations map[string]string
}

// RunPod runs a sandbox on the host's network, as a kubelet does.
func (c *Containerd) RunPod(t testing.TB, cfg PodConfig) *Pod {
	t.Helper()
	uid := "uid-" + cfg.Name
	labels := kubernetesLabels(cfg.Namespace, cfg.Name, uid)
	maps.Copy(labels, cfg.Labels)
	p := &Pod{
		Namespace: cfg.Namespace, Name: cfg.Name, UID: uid, c: c,
		config: &cri.PodSandboxConfig{
			Metadata:     &cri.PodSandboxMetadata{Name: cfg.Name, Namespace: cfg.Namespace, Uid: uid},
			LogDirectory: filepath.Join(c.LogRoot, cfg.Namespace+"_"+cfg.Name+"_"+uid),
			Labels:       labels,
			Annotations:  cfg.Annotations,
			Linux: &cri.LinuxPodSandboxConfig{
				CgroupParent: "/" + c.cgroup,
				SecurityContext: &cri.LinuxSandboxSecurityContext{
					NamespaceOptions: hostNetwork(),
				},
			},
		},
	}
	p.Run = call(t, "run pod "+cfg.Name, func(ctx context.Context) error {
		r, err := cri.NewRuntimeServiceClient(c.Conn).RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: p.config})
		p.ID = r.GetPodSandboxId()
		return err
	})
	return p
}

func kubernetesLabels(namespace, name, uid string) map[string]string {
	return map[string]string{
		"io.kubernetes.pod.namespace": namespace,
		"io.kubernetes.pod.name":      name,
		"io.kubernetes.pod.uid":       uid,
	}
}

func hostNetwork() *cri.NamespaceOption {
	return &cri.NamespaceOption{Network: cri.NamespaceMode_NODE, Pid: cri.NamespaceMode_CONTAINER, Ipc: cri.NamespaceMode_POD}
}

// ContainerConfig is what may be asked of a container.
type ContainerConfig struct {
	Name        string
	Image       string
	Args        []string // of /program
	Attempt     uint32   // restarts in this pod so far
	Labels      map[string]string
	Annotations map[string]string
	MemoryLimit int64 // bytes
}

// Container is a container that was created, and started by Start.
type Container struct {
	ID      string
	LogPath string // of its file, in kubelet's layout
	Create  Call   // CreateContainer
	Started Call   // StartContainer

	c *Containerd
}

// Create creates a container in the pod.
func (p *Pod) Create(t testing.TB, cfg ContainerConfig) *Container {
	t.Helper()
	labels := kubernetesLabels(p.Namespace, p.Name, p.UID)
	labels["io.kubernetes.container.name"] = cfg.Name
	maps.Copy(labels, cfg.Labels)
	annotations := map[string]string{"io.kubernetes.container.restartCount": strconv.FormatUint(uint64(cfg.Attempt), 10)}
	maps.Copy(annotations, cfg.Annotations)
	logPath := filepath.Join(cfg.Name, strconv.FormatUint(uint64(cfg.Attempt), 10)+".log")
	c := &Container{c: p.c, LogPath: filepath.Join(p.config.GetLogDirectory(), logPath)}
	request := &cri.CreateContainerRequest{
		PodSandboxId: p.ID, SandboxConfig: p.config,
		Config: &cri.ContainerConfig{
			Metadata:    &cri.ContainerMetadata{Name: cfg.Name, Attempt: cfg.Attempt},
			Image:       &cri.ImageSpec{Image: cfg.Image},
			Args:        cfg.Args,
			Labels:      labels,
			Annotations: annotations,
			LogPath:     logPath,
			Linux: &cri.LinuxContainerConfig{
				Resources:       &cri.LinuxContainerResources{MemoryLimitInBytes: cfg.MemoryLimit},
				SecurityContext: &cri.LinuxContainerSecurityContext{NamespaceOptions: hostNetwork()},
			},
		},
	}
	c.Create = call(t, "create container "+cfg.Name, func(ctx context.Context) error {
		r, err := cri.NewRuntimeServiceClient(p.c.Conn).CreateContainer(ctx, request)
		c.ID = r.GetContainerId()
		return err
	})
	return c
}

// Start starts the container.
func (c *Container) Start(t testing.TB) {
	t.Helper()
	c.Started = call(t, "start container", func(ctx context.Context) error {
		_, err := cri.NewRuntimeServiceClient(c.c.Conn).StartContainer(ctx, &cri.StartContainerRequest{ContainerId: c.ID})
		return err
	})
}

// Stop ends the container, with SIGTERM and after a time with SIGKILL.
func (c *Container) Stop(t testing.TB) Call {
	t.Helper()
	return call(t, "stop container", func(ctx context.Context) error {
		_, err := cri.NewRuntimeServiceClient(c.c.Conn).StopContainer(ctx, &cri.StopContainerRequest{ContainerId: c.ID, Timeout: 5})
		return err
	})
}

// Remove removes a container that has ended.
func (c *Container) Remove(t testing.TB) {
	t.Helper()
	call(t, "remove container", func(ctx context.Context) error {
		_, err := cri.NewRuntimeServiceClient(c.c.Conn).RemoveContainer(ctx, &cri.RemoveContainerRequest{ContainerId: c.ID})
		return err
	})
}

// Status is CRI's own answer about the container.
func (c *Container) Status(t testing.TB) *cri.ContainerStatus {
	t.Helper()
	var status *cri.ContainerStatus
	call(t, "container status", func(ctx context.Context) error {
		r, err := cri.NewRuntimeServiceClient(c.c.Conn).ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: c.ID})
		status = r.GetStatus()
		return err
	})
	return status
}

// removePod also has the log files' folder left alone, as a runtime does.
func (c *Containerd) removePod(ctx context.Context, id string) error {
	runtime := cri.NewRuntimeServiceClient(c.Conn)
	if _, err := runtime.StopPodSandbox(ctx, &cri.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
		return err
	}
	_, err := runtime.RemovePodSandbox(ctx, &cri.RemovePodSandboxRequest{PodSandboxId: id})
	return err
}

// removeAll removes what a test has left. What fails is killed later.
func (c *Containerd) removeAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	pods, err := cri.NewRuntimeServiceClient(c.Conn).ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	if err != nil {
		return
	}
	for _, p := range pods.GetItems() {
		_ = c.removePod(ctx, p.GetId())
	}
}

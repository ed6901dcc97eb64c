package containerd

import (
	"os"
	"path/filepath"
	"testing"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/coldscope/coldscope/internal/containerdtest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// TestPlain: containers that CRI knows nothing of, in namespaces of their
// own, made from a directory and no image. Docker's namespace is left alone.
func TestPlain(t *testing.T) {
	c := containerdtest.Start(t, containerdtest.Options{})
	r := newRecord()
	opts := options(t, c.Socket, r)
	opts.Whose = func(c *workload.Container) (faas.Ref, bool) {
		return faas.Ref{Function: c.Labels["function"], Version: c.Annotations["version"]}, c.Labels["function"] != ""
	}
	w, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	start(t, w.Run)
	r.waitIdle(t, c)

	plain(t, c, mobyNamespace, "docker")
	plain(t, c, "faas", "plain")
	stopped := r.waitEvent(t, "plain/stopped")
	if got := stopped.Data.(faas.Stopped); got.Reason != reasonError || *got.ExitCode != 3 || stopped.Function != "resize" || stopped.Version != "7" || stopped.Instance != "plain" {
		t.Errorf("stopped %+v, %+v", stopped.Ref, got)
	}
	if got := phasesOf(r.of("plain")); got != "create start" {
		t.Errorf("phases %q", got)
	}
	d := r.waitEvent(t, "plain/demanded").Data.(faas.Demanded)
	if d.Image != "" || d.Digest != "" || d.MemoryLimit != 32<<20 {
		t.Errorf("demanded %+v", d)
	}
	if got := r.of("docker"); len(got) > 0 {
		t.Errorf("of Docker's container was told %v", got)
	}
}

// plain runs a container as a client of containerd that is not CRI does.
func plain(t *testing.T, c *containerdtest.Containerd, namespace, id string) {
	t.Helper()
	root := filepath.Join(c.Dir, id)
	for _, dir := range []string{"proc", "dev"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "program"), containerdtest.Program(t), 0o755); err != nil {
		t.Fatal(err)
	}
	spec := `{"ociVersion":"1.0.2","process":{"args":["/program","exit","100ms","3"],"cwd":"/","user":{"uid":0,"gid":0}},"root":{"path":"rootfs"},
		"annotations":{"version":"7"},"mounts":[{"destination":"/proc","type":"proc","source":"proc"}],
		"linux":{"cgroupsPath":"/` + filepath.Base(c.Dir) + `-` + id + `","resources":{"memory":{"limit":33554432}},"namespaces":[{"type":"pid"},{"type":"mount"}]}}`
	ctx := metadata.AppendToOutgoingContext(t.Context(), "containerd-namespace", namespace)
	containers, tasks := containersapi.NewContainersClient(c.Conn), tasksapi.NewTasksClient(c.Conn)
	_, err := containers.Create(ctx, &containersapi.CreateContainerRequest{Container: &containersapi.Container{
		ID: id, Labels: map[string]string{"function": "resize"},
		Runtime: &containersapi.Container_Runtime{Name: "io.containerd.runc.v2"},
		Spec:    &anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Spec", Value: []byte(spec)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = tasks.Create(ctx, &tasksapi.CreateTaskRequest{
		ContainerID: id, Rootfs: []*types.Mount{{Type: "bind", Source: root, Options: []string{"rbind", "rw"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tasks.Start(ctx, &tasksapi.StartRequest{ContainerID: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := tasks.Wait(ctx, &tasksapi.WaitRequest{ContainerID: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := tasks.Delete(ctx, &tasksapi.DeleteTaskRequest{ContainerID: id}); err != nil {
		t.Fatal(err)
	}
	if _, err := containers.Delete(ctx, &containersapi.DeleteContainerRequest{ID: id}); err != nil {
		t.Fatal(err)
	}
}

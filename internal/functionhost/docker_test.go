package functionhost

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/functionhost/docker"
)

// inDocker tells whether the instance's container, and which images of the registry are there.
func inDocker(t *testing.T, instance, registry string) (container bool, images []string) {
	t.Helper()
	api, err := client.New(client.FromEnv)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	ours, err := api.ContainerList(t.Context(), client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", docker.LabelInstance+"="+instance),
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := api.ImageList(t.Context(), client.ImageListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all.Items {
		for _, ref := range i.RepoDigests {
			if strings.HasPrefix(ref, registry+"/") {
				images = append(images, ref)
			}
		}
	}
	return len(ours.Items) > 0, images
}

func TestDockerIsLeftAsItWas(t *testing.T) {
	var stoppedInstance, lastInstance, registry string
	t.Run("host", func(t *testing.T) {
		h, c := runHost(t, Config{Runtime: RuntimeDocker, RemoveGrace: 10 * time.Millisecond})
		registry = h.Registry()
		deploy(t, h, Function{})
		resp, _ := h.Invoke(t.Context(), "default/fn", Request{Path: "/?exit=0"})
		stoppedInstance = resp.Instance
		c.awaitStopped(t, stoppedInstance)
		if there, images := inDocker(t, stoppedInstance, registry); !there || len(images) != 1 {
			t.Errorf("a stopped container has to stay for its log: %v; images %v", there, images)
		}
		eventually(t, "the container to be removed after the retention", func() bool {
			if err := h.runtime.Sweep(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			there, _ := inDocker(t, stoppedInstance, registry)
			return !there
		})
		lastInstance = invoke(t, h, "/").Instance
	})
	if lastInstance == "" {
		t.Skip("no host ran")
	}
	if there, images := inDocker(t, lastInstance, registry); there || len(images) != 0 {
		t.Errorf("left: container %v, images %v", there, images)
	}
}

func TestDockerLeftoversOfAKilledHost(t *testing.T) {
	dir := t.TempDir()
	h, c := runHost(t, Config{Runtime: RuntimeDocker, DataDir: dir})
	deploy(t, h, Function{})
	resp := invoke(t, h, "/")
	// What a host does first with the directory of another that was killed.
	again, err := docker.New(t.Context(), docker.Config{DataDir: dir, Now: time.Now, Logger: h.cfg.Logger})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if there, images := inDocker(t, resp.Instance, h.Registry()); there || len(images) != 0 {
		t.Errorf("left: container %v, images %v", there, images)
	}
	// The container's end was noticed as any other's, and the image is pulled again.
	if stopped := c.awaitStopped(t, resp.Instance); stopped.Reason != "error" {
		t.Errorf("stopped %+v", stopped)
	}
	next := invoke(t, h, "/")
	c.await(t, next.Instance, "ready", func(e faas.Event) bool { return e.Type() == faas.TypeReady })
	if got := types(c.of(next.Instance)); !slices.Contains(got, "instance.layer.pulled miss") {
		t.Errorf("events %v", got)
	}
}

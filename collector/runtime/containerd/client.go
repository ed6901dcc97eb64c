package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	contentapi "github.com/containerd/containerd/api/services/content/v1"
	eventsapi "github.com/containerd/containerd/api/services/events/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	leasesapi "github.com/containerd/containerd/api/services/leases/v1"
	namespacesapi "github.com/containerd/containerd/api/services/namespaces/v1"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/task"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// callTimeout ends a call to a containerd that hangs; the connection is
// given up then.
const callTimeout = 15 * time.Second

// expireLabel stands on the leases that containerd's client takes for a pull.
const expireLabel = "containerd.io/gc.expire"

// client is a connection to one containerd.
type client struct {
	conn       *grpc.ClientConn
	containers containersapi.ContainersClient
	content    contentapi.ContentClient
	images     imagesapi.ImagesClient
	leases     leasesapi.LeasesClient
	snapshots  snapshotsapi.SnapshotsClient
	tasks      tasksapi.TasksClient
	cri        cri.RuntimeServiceClient
}

func dial(socket string) (*client, error) {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", socket, err)
	}
	return &client{
		conn:       conn,
		containers: containersapi.NewContainersClient(conn),
		content:    contentapi.NewContentClient(conn),
		images:     imagesapi.NewImagesClient(conn),
		leases:     leasesapi.NewLeasesClient(conn),
		snapshots:  snapshotsapi.NewSnapshotsClient(conn),
		tasks:      tasksapi.NewTasksClient(conn),
		cri:        cri.NewRuntimeServiceClient(conn),
	}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// in addresses a call to one of containerd's namespaces, and bounds its time.
func in(ctx context.Context, namespace string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	return metadata.AppendToOutgoingContext(ctx, "containerd-namespace", namespace), cancel
}

// absent reports whether an error says that a thing is not there, or that
// containerd cannot tell of it, ever: then the watcher does without. Any
// other error is the connection's.
func absent(err error) bool {
	switch status.Code(err) {
	case codes.OK, codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return false
	default:
		return true
	}
}

// timeOf is zero for a time that is not told.
func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil || (t.GetSeconds() <= 0 && t.GetNanos() == 0) {
		return time.Time{}
	}
	return t.AsTime()
}

// The topics that say something about starts, in containerd's filter language.
const topics = `topic~="^/(tasks/(create|start|oom|exit)|containers/(create|delete)|images/(create|update)|content/create|snapshot/prepare)$"`

// filters asks for the events of the namespaces, all but Docker's if there are none.
func filters(namespaces []string) []string {
	if len(namespaces) == 0 {
		return []string{"namespace!=" + mobyNamespace + "," + topics}
	}
	out := make([]string, 0, len(namespaces))
	for _, n := range namespaces {
		out = append(out, "namespace=="+strconv.Quote(n)+","+topics)
	}
	return out
}

func (c *client) subscribe(ctx context.Context, filters []string) (eventsapi.Events_SubscribeClient, error) {
	return eventsapi.NewEventsClient(c.conn).Subscribe(ctx, &eventsapi.SubscribeRequest{Filters: filters})
}

// namespaceNames lists containerd's namespaces without Docker's.
func (c *client) namespaceNames(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := namespacesapi.NewNamespacesClient(c.conn).List(ctx, &namespacesapi.ListNamespacesRequest{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range r.GetNamespaces() {
		if n.GetName() != mobyNamespace {
			names = append(names, n.GetName())
		}
	}
	return names, nil
}

// container is nil if there is none.
func (c *client) container(ctx context.Context, namespace, id string) (*containersapi.Container, error) {
	ctx, cancel := in(ctx, namespace)
	defer cancel()
	r, err := c.containers.Get(ctx, &containersapi.GetContainerRequest{ID: id})
	if absent(err) {
		return nil, nil
	}
	return r.GetContainer(), err
}

// containerList lists the namespace's containers, oldest first. It streams:
// thousands would not fit one message.
func (c *client) containerList(ctx context.Context, namespace string) ([]*containersapi.Container, error) {
	ctx, cancel := in(ctx, namespace)
	defer cancel()
	stream, err := c.containers.ListStream(ctx, &containersapi.ListContainersRequest{})
	if err != nil {
		return nil, err
	}
	var out []*containersapi.Container
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		out = append(out, m.GetContainer())
	}
	slices.SortStableFunc(out, func(a, b *containersapi.Container) int {
		return a.GetCreatedAt().AsTime().Compare(b.GetCreatedAt().AsTime())
	})
	return out, nil
}

// taskList gives the namespace's tasks by container.
func (c *client) taskList(ctx context.Context, namespace string) (map[string]*task.Process, error) {
	ctx, cancel := in(ctx, namespace)
	defer cancel()
	r, err := c.tasks.List(ctx, &tasksapi.ListTasksRequest{})
	if err != nil {
		return nil, err
	}
	out := map[string]*task.Process{}
	for _, p := range r.GetTasks() {
		out[p.GetID()] = p
	}
	return out, nil
}

// criStatus is what CRI knows of a container, nil if nothing or there is no CRI.
func (c *client) criStatus(ctx context.Context, id string) (*cri.ContainerStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.cri.ContainerStatus(ctx, &cri.ContainerStatusRequest{ContainerId: id})
	if absent(err) {
		return nil, nil
	}
	return r.GetStatus(), err
}

// criSandbox is what CRI knows of a sandbox, nil if nothing or there is no CRI.
func (c *client) criSandbox(ctx context.Context, id string) (*cri.PodSandboxStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.cri.PodSandboxStatus(ctx, &cri.PodSandboxStatusRequest{PodSandboxId: id})
	if absent(err) {
		return nil, nil
	}
	return r.GetStatus(), err
}

// target is what an image's name stands for, nil if there is no such image.
func (c *client) target(ctx context.Context, namespace, name string) (*types.Descriptor, error) {
	if name == "" { // a container made from a directory
		return nil, nil
	}
	ctx, cancel := in(ctx, namespace)
	defer cancel()
	r, err := c.images.Get(ctx, &imagesapi.GetImageRequest{Name: name})
	if absent(err) {
		return nil, nil
	}
	return r.GetImage().GetTarget(), err
}

// stored is when a blob was committed to the content store, zero if it is not there.
func (c *client) stored(ctx context.Context, namespace, digest string) (time.Time, error) {
	ctx, cancel := in(ctx, namespace)
	defer cancel()
	r, err := c.content.Info(ctx, &contentapi.InfoRequest{Digest: digest})
	if absent(err) {
		return time.Time{}, nil
	}
	return timeOf(r.GetInfo().GetCreatedAt()), err
}

// unpacked is when a layer's snapshot was committed, zero if it is not there.
func (c *client) unpacked(ctx context.Context, namespace, snapshotter, chainID string) (time.Time, error) {
	ctx, cancel := in(ctx, namespace)
	defer cancel()
	r, err := c.snapshots.Stat(ctx, &snapshotsapi.StatSnapshotRequest{Snapshotter: snapshotter, Key: chainID})
	if absent(err) {
		return time.Time{}, nil
	}
	return timeOf(r.GetInfo().GetCreatedAt()), err
}

// blob reads a small blob, nil if it is not there or is larger than limit.
func (c *client) blob(ctx context.Context, namespace, digest string, limit int64) ([]byte, error) {
	ctx, cancel := in(ctx, namespace)
	defer cancel()
	info, err := c.content.Info(ctx, &contentapi.InfoRequest{Digest: digest})
	if absent(err) || info.GetInfo().GetSize() > limit {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	stream, err := c.content.Read(ctx, &contentapi.ReadContentRequest{Digest: digest})
	if err != nil {
		return nil, err
	}
	var out []byte
	for {
		r, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case absent(err):
			return nil, nil
		case err != nil:
			return nil, err
		}
		out = append(out, r.GetData()...)
	}
}

// downloads tells the blobs that are being written to the content store, and since when.
func (c *client) downloads(ctx context.Context, namespace string) (map[string]time.Time, error) {
	ctx, cancel := in(ctx, namespace)
	defer cancel()
	r, err := c.content.ListStatuses(ctx, &contentapi.ListStatusesRequest{})
	if err != nil {
		return nil, err
	}
	out := map[string]time.Time{}
	for _, s := range r.GetStatuses() {
		if digest, ok := blobOf(s.GetRef()); ok {
			out[digest] = timeOf(s.GetStartedAt())
		}
	}
	return out, nil
}

// leaseTimes tells when leases were created: all, or the one with an ID.
func (c *client) leaseTimes(ctx context.Context, namespace, id string) (map[string]time.Time, error) {
	ctx, cancel := in(ctx, namespace)
	defer cancel()
	var request leasesapi.ListRequest
	if id != "" {
		request.Filters = []string{"id==" + strconv.Quote(id)}
	}
	r, err := c.leases.List(ctx, &request)
	if absent(err) {
		return nil, nil
	}
	out := map[string]time.Time{}
	for _, l := range r.GetLeases() {
		out[l.GetID()] = timeOf(l.GetCreatedAt())
	}
	return out, err
}

// pullLeases tells the leases that may be those of pulls under way.
func (c *client) pullLeases(ctx context.Context, namespace string, now time.Time) (map[string]lease, error) {
	ctx, cancel := in(ctx, namespace)
	defer cancel()
	r, err := c.leases.List(ctx, &leasesapi.ListRequest{})
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string]lease{}
	for _, l := range r.GetLeases() {
		created := timeOf(l.GetCreatedAt())
		if _, ok := l.GetLabels()[expireLabel]; !ok || now.Sub(created) > longestPull || len(out) == maxLeases {
			continue
		}
		r, err := c.leases.ListResources(ctx, &leasesapi.ListResourcesRequest{ID: l.GetID()})
		if absent(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		held := lease{created: created}
		for _, resource := range r.GetResources() {
			if resource.GetType() == "content" || strings.HasPrefix(resource.GetType(), "ingests") {
				held.contents = append(held.contents, resource.GetID())
			}
		}
		if len(held.contents) > 0 {
			out[l.GetID()] = held
		}
	}
	return out, nil
}

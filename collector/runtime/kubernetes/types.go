package kubernetes

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// The API's objects, as far as we read them (k8s.io/api core/v1,
// events.k8s.io/v1, k8s.io/apimachinery meta/v1).

type listMeta struct {
	ResourceVersion string `json:"resourceVersion"`
	Continue        string `json:"continue"`
}

type objectMeta struct {
	Name              string     `json:"name"`
	Namespace         string     `json:"namespace"`
	UID               string     `json:"uid"`
	ResourceVersion   string     `json:"resourceVersion"`
	CreationTimestamp time.Time  `json:"creationTimestamp"` // null leaves it zero
	DeletionTimestamp *time.Time `json:"deletionTimestamp"`
	Labels            shortMap   `json:"labels"`
	Annotations       shortMap   `json:"annotations"`
}

// maxValue is the longest annotation we keep: kubectl's last-applied and its
// like are documents of their own.
const maxValue = 4096

// shortMap is labels or annotations without long values.
type shortMap map[string]string

// UnmarshalJSON reads an object of strings.
func (m *shortMap) UnmarshalJSON(b []byte) error {
	var all map[string]string
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	for k, v := range all {
		if len(v) > maxValue {
			delete(all, k)
		}
	}
	*m = all
	return nil
}

type pod struct {
	Metadata objectMeta `json:"metadata"`
	Spec     podSpec    `json:"spec"`
	Status   podStatus  `json:"status"`
}

type podSpec struct {
	Containers     []containerSpec `json:"containers"`
	InitContainers []containerSpec `json:"initContainers"`
}

type containerSpec struct {
	Name      string `json:"name"`
	Image     string `json:"image"`
	Resources struct {
		Limits struct {
			Memory string `json:"memory"`
		} `json:"limits"`
	} `json:"resources"`
}

type podStatus struct {
	Reason                string            `json:"reason"` // Evicted and its like
	Conditions            []condition       `json:"conditions"`
	ContainerStatuses     []containerStatus `json:"containerStatuses"`
	InitContainerStatuses []containerStatus `json:"initContainerStatuses"`
}

type condition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"`
	LastTransitionTime time.Time `json:"lastTransitionTime"`
}

type containerStatus struct {
	Name         string         `json:"name"`
	State        containerState `json:"state"`
	LastState    containerState `json:"lastState"`
	RestartCount int            `json:"restartCount"`
	ImageID      string         `json:"imageID"`
	ContainerID  string         `json:"containerID"` // containerd://…
}

type containerState struct {
	Waiting *struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"waiting"`
	Running *struct {
		StartedAt time.Time `json:"startedAt"`
	} `json:"running"`
	Terminated *terminated `json:"terminated"`
}

type terminated struct {
	ExitCode    int       `json:"exitCode"`
	Reason      string    `json:"reason"` // OOMKilled, Completed, Error, StartError, …
	StartedAt   time.Time `json:"startedAt"`
	FinishedAt  time.Time `json:"finishedAt"`
	ContainerID string    `json:"containerID"`
}

// uid is the pod's, as kubelet names its log directory and labels its
// containers: of a static pod, whose object at the API server is only a mirror,
// the hash of its configuration.
func (p *pod) uid() string {
	if p.Metadata.Annotations["kubernetes.io/config.mirror"] != "" {
		if hash := p.Metadata.Annotations["kubernetes.io/config.hash"]; hash != "" {
			return hash
		}
	}
	return p.Metadata.UID
}

func (p *pod) scheduledAt() time.Time {
	for _, c := range p.Status.Conditions {
		if c.Type == "PodScheduled" && c.Status == "True" {
			return c.LastTransitionTime
		}
	}
	return time.Time{}
}

// statusOf gives a container's status; zero if there is none yet.
func statusOf(all []containerStatus, name string) containerStatus {
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	return containerStatus{}
}

// event is core/v1's Event and events.k8s.io/v1's, which name the same things
// differently.
type event struct {
	Metadata       objectMeta `json:"metadata"`
	InvolvedObject reference  `json:"involvedObject"`
	Regarding      reference  `json:"regarding"`
	Reason         string     `json:"reason"`
	Message        string     `json:"message"`
	Note           string     `json:"note"`

	EventTime         time.Time `json:"eventTime"` // microseconds, of new recorders
	FirstTimestamp    time.Time `json:"firstTimestamp"`
	LastTimestamp     time.Time `json:"lastTimestamp"`
	Count             int       `json:"count"`
	DeprecatedFirst   time.Time `json:"deprecatedFirstTimestamp"`
	DeprecatedLast    time.Time `json:"deprecatedLastTimestamp"`
	DeprecatedCount   int       `json:"deprecatedCount"`
	Series            *series   `json:"series"`
	Source            source    `json:"source"`
	DeprecatedSource  source    `json:"deprecatedSource"`
	ReportingInstance string    `json:"reportingInstance"`
}

type source struct {
	Host string `json:"host"` // the node's name, of kubelet's events
}

type reference struct {
	Kind      string `json:"kind"`
	UID       string `json:"uid"`
	FieldPath string `json:"fieldPath"` // spec.containers{name}
}

type series struct {
	Count            int       `json:"count"`
	LastObservedTime time.Time `json:"lastObservedTime"`
}

func (e *event) object() reference {
	if e.InvolvedObject.UID != "" {
		return e.InvolvedObject
	}
	return e.Regarding
}

func (e *event) text() string {
	if e.Message != "" {
		return e.Message
	}
	return e.Note
}

// count is how often it has happened.
func (e *event) count() int {
	n := max(e.Count, e.DeprecatedCount, 1)
	if e.Series != nil {
		n = max(n, e.Series.Count)
	}
	return n
}

// from reports whether it is about a pod of the node: kubelet says where it is,
// the scheduler where it has put the pod.
func (e *event) from(node string) bool {
	switch node {
	case e.Source.Host, e.DeprecatedSource.Host, e.ReportingInstance:
		return true
	}
	return e.Reason == "Scheduled" && strings.HasSuffix(e.text(), " to "+node)
}

// container is the container's name if the event is about one of the pod's
// proper containers.
func (e *event) container() string {
	name, ok := strings.CutPrefix(e.object().FieldPath, "spec.containers{")
	if !ok {
		return ""
	}
	return strings.TrimSuffix(name, "}")
}

// stamp is a time and how exactly it is known.
type stamp struct {
	time   time.Time
	coarse bool // to the second, rounded down
}

func (s stamp) known() bool { return !s.time.IsZero() }

// last is when the event happened last.
func (e *event) last() stamp {
	if e.Series != nil && !e.Series.LastObservedTime.IsZero() {
		return stamp{time: e.Series.LastObservedTime}
	}
	if e.count() == 1 {
		if t, ok := e.born(); ok {
			return stamp{time: t}
		}
		if !e.EventTime.IsZero() {
			return stamp{time: e.EventTime}
		}
	}
	for _, t := range []time.Time{e.LastTimestamp, e.DeprecatedLast, e.EventTime, e.FirstTimestamp, e.DeprecatedFirst} {
		if !t.IsZero() {
			return stamp{time: t, coarse: t.Nanosecond() == 0}
		}
	}
	return stamp{time: e.Metadata.CreationTimestamp, coarse: true}
}

// born is the nanosecond in the event's name, if the event's stamps agree.
func (e *event) born() (time.Time, bool) {
	i := strings.LastIndexByte(e.Metadata.Name, '.')
	nanos, err := strconv.ParseInt(e.Metadata.Name[i+1:], 16, 64)
	if err != nil || nanos <= 0 {
		return time.Time{}, false
	}
	t := time.Unix(0, nanos).UTC()
	for _, first := range []time.Time{e.EventTime, e.FirstTimestamp, e.DeprecatedFirst} {
		if !first.IsZero() {
			d := t.Sub(first)
			return t, d > -time.Millisecond && d < time.Second
		}
	}
	return time.Time{}, false
}

// quantities are the suffixes of resource.Quantity.
var quantities = map[string]float64{
	"": 1, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
	"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60,
}

// parseBytes reads a resource.Quantity of bytes; 0 if it is none.
func parseBytes(s string) int64 {
	number := strings.TrimRight(s, "KMGTPEkim")
	if factor, ok := quantities[s[len(number):]]; ok {
		if n, err := strconv.ParseFloat(number, 64); err == nil && n > 0 && n*factor < 1<<62 {
			return int64(n * factor)
		}
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil && n > 0 && n < 1<<62 { // 1e9, 1E9
		return int64(n)
	}
	return 0
}

package functionhost

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Kind tells what a function's requests look like.
type Kind string

// The kinds: an event function gets POST /event-invoke, a web function gets
// the requests as they came.
const (
	KindWeb   Kind = "web"
	KindEvent Kind = "event"
)

// Function is one version of a function. Zero values are replaced by the defaults named.
type Function struct {
	Namespace string // default "default"
	Name      string // required
	Version   string // default "1"
	Image     string // required: repo:tag in the host's registry

	Kind    Kind     // default KindWeb
	Command []string // nil: what the image says
	Args    []string // nil: what the image says
	Env     []string // NAME=value

	Concurrency  int           // requests at a time on one instance; default 1
	MaxInstances int           // default 10
	QueueLimit   int           // requests that may wait when all instances are busy; default 100
	Provisioned  int           // instances that are kept up without being asked for
	MemoryLimit  int64         // bytes; default 512 MiB
	InitTimeout  time.Duration // from the process's start until its port accepts; default 30 s
	Timeout      time.Duration // of one invocation; default 60 s
}

// Key is namespace/name, by which Invoke finds the function.
func (f *Function) Key() string { return f.Namespace + "/" + f.Name }

func (f *Function) repoTag() (repo, tag string) {
	i := strings.LastIndexByte(f.Image, ':')
	if i < 0 {
		return f.Image, "latest"
	}
	return f.Image[:i], f.Image[i+1:]
}

func (f *Function) setDefaults() {
	def(&f.Namespace, "default")
	def(&f.Version, "1")
	def(&f.Kind, KindWeb)
	def(&f.Concurrency, 1)
	def(&f.MaxInstances, 10)
	def(&f.QueueLimit, 100)
	def(&f.MemoryLimit, 512<<20)
	def(&f.InitTimeout, 30*time.Second)
	def(&f.Timeout, time.Minute)
}

// validName keeps out what separates names in the paths of log files.
var validName = regexp.MustCompile(`^[A-Za-z0-9$][A-Za-z0-9$.-]{0,62}$`)

func (f *Function) validate() error {
	var errs []error
	for what, name := range map[string]string{"namespace": f.Namespace, "name": f.Name, "version": f.Version} {
		if !validName.MatchString(name) {
			errs = append(errs, fmt.Errorf("%s %q: want 1 to 63 letters, digits, dots or hyphens", what, name))
		}
	}
	if f.Image == "" {
		errs = append(errs, errors.New("image is missing"))
	}
	if f.Kind != KindWeb && f.Kind != KindEvent {
		errs = append(errs, fmt.Errorf("kind %q is neither %q nor %q", f.Kind, KindWeb, KindEvent))
	}
	if f.Concurrency < 0 || f.MaxInstances < 0 || f.QueueLimit < 0 || f.Provisioned < 0 || f.MemoryLimit < 0 {
		errs = append(errs, errors.New("numbers must not be negative"))
	}
	if f.Provisioned > f.MaxInstances {
		errs = append(errs, fmt.Errorf("%d provisioned instances, but at most %d instances", f.Provisioned, f.MaxInstances))
	}
	return errors.Join(errs...)
}

// Deploy makes the function known, and replaces one with the same namespace
// and name, whose instances finish what they do and stop. Provisioned
// instances are brought up by Run, soon after.
func (h *Host) Deploy(_ context.Context, f Function) error {
	f.setDefaults()
	if err := f.validate(); err != nil {
		return fmt.Errorf("deploy function %s: %w", f.Key(), err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.functions[f.Key()]; ok {
		old.retire()
		h.retired = append(h.retired, old)
	}
	h.functions[f.Key()] = newPool(h, f)
	return nil
}

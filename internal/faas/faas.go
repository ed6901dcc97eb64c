// Package faas holds the domain's types: what a function's instance prints
// (Line), what its platform and its runtime report (Event), and the words that
// name them. It depends on the standard library only; every other package may
// depend on it. The names follow OpenTelemetry's FaaS conventions where those
// exist (faas.name, faas.version, faas.instance, faas.invocation_id,
// faas.trigger, faas.coldstart).
package faas

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// DefaultTenant owns what arrives without a tenant.
const DefaultTenant = "default"

// maxTenantBytes is the longest tenant's name.
const maxTenantBytes = 150

// CheckTenant says what is wrong with a tenant's name, nil if nothing is. The
// rules are Loki's; a name travels in a header. "*", which stands for all
// tenants where access is given, is none.
func CheckTenant(name string) error {
	switch {
	case name == "":
		return errors.New("an empty name is no tenant's")
	case len(name) > maxTenantBytes:
		return fmt.Errorf("%d bytes are too long, at most %d", len(name), maxTenantBytes)
	case name == "." || name == ".." || name == "*":
		return fmt.Errorf("%q is no tenant", name)
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("!-_.*'()", c) < 0 {
			return fmt.Errorf("%q has more than letters, digits and !-_.*'()", name)
		}
	}
	return nil
}

// Ref says whose a line or an event is: one instance of one version of one
// function. Fields that are not known are empty.
type Ref struct {
	Tenant    string `json:"tenant,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Function  string `json:"function,omitempty"` // faas.name without its namespace
	Version   string `json:"version,omitempty"`  // faas.version: version, alias or revision
	Instance  string `json:"instance,omitempty"` // faas.instance: the platform's name for it, else the container ID
}

// Stream tells where a line came from.
type Stream string

// The streams of a container, and the stream under which events are shown.
const (
	Stdout   Stream = "stdout"
	Stderr   Stream = "stderr"
	Platform Stream = "platform"
)

// Streams lists every stream, in the order in which the store numbers them.
var Streams = []Stream{Stdout, Stderr, Platform}

// Line is one whole log line of an instance. (Ref, Stream, FileID, Offset)
// names it for ever: a line that is sent twice is the same line.
type Line struct {
	Ref
	Time      time.Time // when the container runtime wrote it, on the host's clock
	Stream    Stream
	Body      string   // without its line ending and without escape sequences; valid UTF-8
	Raw       string   // the line with its escape sequences (colours), to display; empty if it has none
	FileID    uint64   // one generation of one log file
	Offset    uint64   // of the line's first byte in that file
	Truncated uint64   // bytes that were cut from the end of Body
	RequestID string   // if the sender knows it
	Named     []string // request IDs that the text names
	Host      string   // host of the collector that read it

	// What the line, or its sender, says of it.
	Severity        Severity
	TraceID, SpanID string // hexadecimal, lower case; empty if there is none
	Attributes      []Attribute
}

// Attribute is a name and a value that a line carries.
type Attribute struct{ Key, Value string }

// Attribution is the evidence by which a line got its request.
type Attribution string

// The attributions, strongest evidence first.
const (
	AttributionExplicit  Attribution = "explicit"  // the line carries the ID itself
	AttributionWindow    Attribution = "window"    // exactly one invocation was open on the instance
	AttributionInit      Attribution = "init"      // before the instance's first invocation
	AttributionLate      Attribution = "late"      // shortly after an invocation's end
	AttributionAmbiguous Attribution = "ambiguous" // several invocations were open; the candidates are kept
	AttributionNone      Attribution = "none"      // no evidence
)

// Attributions lists every attribution, in the order in which the store numbers them.
var Attributions = []Attribution{
	AttributionExplicit, AttributionWindow, AttributionInit,
	AttributionLate, AttributionAmbiguous, AttributionNone,
}

// Phase names an interval of a cold start.
type Phase string

// The phases, in the order in which a start goes through them. They may
// overlap: layers are pulled and unpacked in parallel.
const (
	PhaseQueue       Phase = "queue"       // the demand waits for the platform
	PhaseSchedule    Phase = "schedule"    // a host is chosen
	PhaseCredentials Phase = "credentials" // the registry's pull token is fetched
	PhaseResolve     Phase = "resolve"     // tag to digest
	PhasePull        Phase = "pull"        // layers are downloaded
	PhaseUnpack      Phase = "unpack"      // layers are written out as a file system
	PhaseCreate      Phase = "create"      // the container is created
	PhaseStart       Phase = "start"       // its process is started
	PhaseInit        Phase = "init"        // from the process's start until its port accepts
)

// Phases lists every phase in the order of a start.
var Phases = []Phase{
	PhaseQueue, PhaseSchedule, PhaseCredentials, PhaseResolve,
	PhasePull, PhaseUnpack, PhaseCreate, PhaseStart, PhaseInit,
}

// Valid reports whether p is one of Phases.
func (p Phase) Valid() bool { return slices.Contains(Phases, p) }

// Initialization tells why an instance was brought up.
type Initialization string

// The initialization types.
const (
	OnDemand    Initialization = "on-demand"
	Provisioned Initialization = "provisioned"
)

// Trigger is faas.trigger: what caused an invocation.
type Trigger string

// The triggers.
const (
	TriggerHTTP  Trigger = "http"
	TriggerEvent Trigger = "event"
	TriggerTimer Trigger = "timer"
	TriggerOther Trigger = "other"
)

// Status is how an invocation ended.
type Status string

// The statuses.
const (
	StatusRunning   Status = "running" // has not ended yet; never on the wire
	StatusUnknown   Status = "unknown" // nobody has told of it; never on the wire
	StatusOK        Status = "ok"
	StatusError     Status = "error"
	StatusTimeout   Status = "timeout"
	StatusOOM       Status = "oom"
	StatusCancelled Status = "cancelled"
)

package correlate

import (
	"fmt"
	"strings"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// platformRow shows an event among the lines. Its identity is the event's, so
// that one which arrives twice, by whatever way, is shown once.
func platformRow(i *instance, e *faas.Event, revision uint64) schema.LogRow {
	row := schema.LogRow{
		Line:        &faas.Line{Ref: e.Ref, Host: e.Source, Time: e.Time, Stream: faas.Platform, Body: describe(e), FileID: eventID(e)},
		Attribution: faas.AttributionInit, Revision: revision,
	}
	if len(i.lives) > 0 {
		l, _ := i.lifeAt(e.Time)
		row.RequestID = i.startedFor(l)
	}
	switch d := e.Data.(type) {
	case faas.InvocationStarted:
		row.RequestID, row.Attribution = d.RequestID, faas.AttributionExplicit
	case faas.InvocationEnded:
		row.RequestID, row.Attribution = d.RequestID, faas.AttributionExplicit
	case faas.Stopped:
		row.RequestID, row.Attribution = "", faas.AttributionNone
	}
	return row
}

// describe says in a few words what happened.
func describe(e *faas.Event) string {
	switch d := e.Data.(type) {
	case faas.Demanded:
		return strings.TrimSpace(fmt.Sprintf("instance demanded (%s) %s", d.Initialization, d.Image))
	case faas.PhaseDone:
		text := fmt.Sprintf("%s took %s", d.Name, d.End.Sub(d.Start).Round(10*time.Microsecond))
		if d.Error != "" {
			text += ": failed: " + d.Error
		}
		return text
	case faas.LayerPulled:
		if d.Cache == "hit" {
			return fmt.Sprintf("layer %.19s is on the host already", d.Digest)
		}
		return fmt.Sprintf("layer %.19s pulled, %d bytes", d.Digest, d.Bytes)
	case faas.Ready:
		return "instance ready"
	case faas.Stopped:
		text := "instance stopped: " + d.Reason
		if d.ExitCode != nil {
			text += fmt.Sprintf(", exit code %d", *d.ExitCode)
		}
		return text
	case faas.InvocationStarted:
		return "START RequestId: " + d.RequestID
	case faas.InvocationEnded:
		text := fmt.Sprintf("END RequestId: %s status: %s duration: %s", d.RequestID, d.Status, e.Time.Sub(d.StartedAt).Round(10*time.Microsecond))
		if d.Error != "" {
			text += " error: " + d.Error
		}
		return text
	}
	return string(e.Type())
}

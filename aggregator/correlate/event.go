package correlate

import (
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// apply folds e into what is known of i and gives out e's rows. changed says
// that lines from the time from on may belong elsewhere now.
func (c *Correlator) apply(i *instance, e *faas.Event) (from time.Time, changed bool) {
	switch d := e.Data.(type) {
	case faas.Demanded:
		changed = i.demanded.IsZero()
		i.demanded, i.demandedBy, i.initialization = e.Time, d.RequestID, d.Initialization
		c.out.ColdStarts = append(c.out.ColdStarts, demandedRow(e, d))
		c.toldAll(i)
	case faas.PhaseDone:
		c.phase(i, e, d)
	case faas.LayerPulled:
		c.out.Layers = append(c.out.Layers, layerRow(e, d, c.revision))
	case faas.Ready:
		changed = i.ready.IsZero()
		i.ready = e.Time
		row := startRow(e)
		row.ReadyAt = &e.Time
		c.out.ColdStarts = append(c.out.ColdStarts, row)
		if changed && !i.demanded.IsZero() {
			c.out.Started = append(c.out.Started, Start{Ref: e.Ref, Initialization: i.initialization, Duration: e.Time.Sub(i.demanded)})
		}
		c.toldAll(i)
	case faas.Stopped:
		from, changed = e.Time, i.stopped.IsZero()
		i.stopped = e.Time
		c.out.ColdStarts = append(c.out.ColdStarts, stoppedRow(e, d))
	case faas.InvocationStarted:
		v, isNew := i.invocation(d.RequestID, e.Time)
		v.queued, v.cold = d.QueuedAt, v.cold || d.ColdStart
		from, changed = e.Time, isNew
		if isNew && i.before(e.Time) == 0 {
			from = time.Time{} // the first: what lies before it is init
		}
		c.out.Invocations = append(c.out.Invocations, startedRow(e, d))
		c.told(i, v)
	case faas.InvocationEnded:
		v, isNew := i.invocation(d.RequestID, d.StartedAt)
		from, changed = d.StartedAt, isNew || !v.end.Equal(e.Time)
		v.end = e.Time
		c.out.Invocations = append(c.out.Invocations, endedRow(e, d))
		c.told(i, v)
	}
	return from, changed
}

func (c *Correlator) phase(i *instance, e *faas.Event, d faas.PhaseDone) {
	c.out.Phases = append(c.out.Phases, schema.PhaseRow{
		Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function, Instance: e.Instance, Version: e.Version,
		Phase: string(d.Name), Start: d.Start, End: d.End, Error: d.Error, Attributes: d.Attributes, Revision: c.revision,
	})
	k := phaseKey{d.Name, d.Start.UnixNano()}
	if i.phases[k] {
		return
	}
	if i.phases == nil {
		i.phases = map[phaseKey]bool{}
	}
	i.phases[k] = true
	c.out.Started = append(c.out.Started, Start{Ref: e.Ref, Initialization: i.initialization, Phase: d.Name, Duration: d.End.Sub(d.Start)})
}

// told gives out whether an invocation was cold, once that can be said: its
// own start and that of its instance are known; and again if a fact that came
// late, such as when it was queued, says otherwise.
func (c *Correlator) told(i *instance, v *invocation) {
	failed := i.ready.IsZero() && !v.end.IsZero() && i.demandedBy == v.requestID
	wait := i.waited(v)
	if v.told && v.wait == wait || i.demanded.IsZero() || i.ready.IsZero() && !failed {
		return
	}
	v.told, v.wait = true, wait
	cold, ns := wait > 0 || v.cold, wait.Nanoseconds()
	c.out.Invocations = append(c.out.Invocations, schema.InvocationRow{
		Tenant: i.key.Tenant, Namespace: i.key.Namespace, Function: i.key.Function,
		StartedAt: v.start, RequestID: v.requestID, Instance: i.key.Instance, Cold: &cold, ColdWaitNS: &ns,
	})
}

func (c *Correlator) toldAll(i *instance) {
	for n := range i.invocations {
		c.told(i, &i.invocations[n])
	}
}

func startRow(e *faas.Event) schema.ColdStartRow {
	return schema.ColdStartRow{
		Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function, Instance: e.Instance,
		Version: known(e.Version), Host: known(e.Source),
	}
}

func demandedRow(e *faas.Event, d faas.Demanded) schema.ColdStartRow {
	row := startRow(e)
	row.DemandedAt = &e.Time
	row.RequestID, row.Initialization = known(d.RequestID), known(string(d.Initialization))
	row.Image, row.Digest, row.Registry, row.Region = known(d.Image), known(d.Digest), known(d.Registry), known(d.Region)
	row.ImageBytes, row.MemoryLimit = known(d.ImageBytes), known(d.MemoryLimit)
	return row
}

func stoppedRow(e *faas.Event, d faas.Stopped) schema.ColdStartRow {
	row := startRow(e)
	row.StoppedAt, row.StopReason, row.MemoryPeak = &e.Time, known(d.Reason), known(d.MemoryPeak)
	row.OOM, row.CPUTimeNS = &d.OOM, known(nanoseconds(d.CPUTime))
	if d.ExitCode != nil {
		code := int32(*d.ExitCode)
		row.ExitCode = &code
	}
	return row
}

func layerRow(e *faas.Event, d faas.LayerPulled, revision uint64) schema.LayerRow {
	return schema.LayerRow{
		Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function, Instance: e.Instance,
		Digest: d.Digest, Bytes: d.Bytes, Cache: d.Cache,
		DownloadStart: known(d.DownloadStart), DownloadEnd: known(d.DownloadEnd),
		UnpackStart: known(d.UnpackStart), UnpackEnd: known(d.UnpackEnd), Revision: revision,
	}
}

func startedRow(e *faas.Event, d faas.InvocationStarted) schema.InvocationRow {
	return schema.InvocationRow{
		Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function,
		StartedAt: e.Time, RequestID: d.RequestID, Instance: e.Instance,
		Version: known(e.Version), Trigger: known(string(d.Trigger)), QueuedAt: known(d.QueuedAt), Cold: known(d.ColdStart),
	}
}

func endedRow(e *faas.Event, d faas.InvocationEnded) schema.InvocationRow {
	duration := e.Time.Sub(d.StartedAt)
	if d.Duration > 0 {
		duration = time.Duration(d.Duration * float64(time.Second))
	}
	ns := duration.Nanoseconds()
	status := string(d.Status)
	code := uint16(max(0, min(d.HTTPStatus, 999)))
	return schema.InvocationRow{
		Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function,
		StartedAt: d.StartedAt, RequestID: d.RequestID, Instance: e.Instance,
		Version: known(e.Version), EndedAt: &e.Time, Status: &status, HTTPStatus: known(code), Error: known(d.Error),
		DurationNS: &ns, MemoryPeak: known(d.MemoryPeak), CPUTimeNS: known(nanoseconds(d.CPUTime)),
		BytesIn: &d.BytesIn, BytesOut: &d.BytesOut,
	}
}

// known gives nil, the store's "not known", for a zero value.
func known[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

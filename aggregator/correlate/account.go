package correlate

import (
	"math"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// Apart reports whether e says nothing of its instance's course, so that
// nothing has to be known of the instance to take it in.
func Apart(e *faas.Event) bool {
	switch e.Data.(type) {
	case faas.InvocationUsage, faas.Ledger, faas.Gap:
		return true
	}
	return false
}

// account gives out the row of an event that is Apart. Such an event explains
// no line: an instance of which nothing else is heard has no platform that
// speaks, and its lines' own word is all there is. It is no line, either:
// a collector tells a ledger each minute, and what it tells of is long over.
func (c *Correlator) account(e *faas.Event) {
	switch d := e.Data.(type) {
	case faas.InvocationUsage:
		c.out.Invocations = append(c.out.Invocations, usageRow(e, d))
	case faas.Ledger:
		c.out.Ledgers = append(c.out.Ledgers, ledgerRow(e, d))
	case faas.Gap:
		c.out.Gaps = append(c.out.Gaps, gapRow(e, d))
	}
}

func usageRow(e *faas.Event, d faas.InvocationUsage) schema.InvocationRow {
	return schema.InvocationRow{
		Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function,
		StartedAt: d.StartedAt, RequestID: d.RequestID, Instance: e.Instance, Version: known(e.Version),
		UsageMemoryPeak: known(d.MemoryPeak), UsageCPUTimeNS: known(nanoseconds(d.CPUTime)), UsageShared: &d.Shared,
	}
}

// ledgerRow's revision is how far the file was read, then whether it was quiet,
// and then whether it is complete: a collector's counts belong to a place in the file, and those of
// one that begins again, or that come late, replace no later ones.
func ledgerRow(e *faas.Event, d faas.Ledger) schema.LedgerRow {
	revision := uint64(max(0, d.Bytes)) << 2
	switch {
	case d.Complete:
		revision += 2
	case !d.Through.IsZero():
		revision++
	}
	return schema.LedgerRow{
		Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function, Instance: e.Instance,
		FileID: strings.ToLower(d.FileID), Host: e.Source, From: known(d.From), To: known(d.To), Through: known(d.Through),
		Bytes: max(0, d.Bytes), Lines: max(0, d.Lines),
		TruncatedLines: max(0, d.TruncatedLines), TruncatedBytes: max(0, d.TruncatedBytes),
		RefusedLines: max(0, d.RefusedLines), LostBytes: max(0, d.LostBytes), LateLines: max(0, d.LateLines),
		Complete: d.Complete, Revision: revision,
	}
}

// gapRow ends a gap whose end is not known when it was found: no line of it
// was written later.
func gapRow(e *faas.Event, d faas.Gap) schema.GapRow {
	row := schema.GapRow{
		Tenant: e.Tenant, Namespace: e.Namespace, Function: e.Function, Instance: e.Instance,
		FileID: strings.ToLower(d.FileID), Offset: max(0, d.Offset), Host: e.Source, From: known(d.From), To: d.To,
		Bytes: max(0, d.Bytes), Reason: string(d.Reason), Revision: uint64(e.Time.UnixNano()),
	}
	if row.FileID == "" {
		row.Event = eventID(e)
	}
	if row.To.IsZero() {
		row.To = e.Time
	}
	if row.From != nil && row.From.After(row.To) { // the clock was put back in between
		*row.From, row.To = row.To, *row.From
	}
	return row
}

// eventID is the event's identity, which is the same by whatever way it comes.
func eventID(e *faas.Event) uint64 { return xxhash.Sum64String(e.Source + "\x00" + e.ID) }

// nanoseconds is what a sender's seconds are, as far as the store can hold them.
func nanoseconds(seconds float64) int64 {
	return int64(max(0, min(seconds, math.MaxInt64/float64(2*time.Second))) * float64(time.Second))
}

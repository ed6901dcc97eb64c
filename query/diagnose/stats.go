package diagnose

import (
	"cmp"
	"math"
	"slices"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/read"
)

// Summarize makes figures of starts, which come newest demand first; it fills
// in their critical paths. Percentiles are of the durations that occurred
// (nearest rank), shares are of the critical paths of all of them together.
// A phase that a start went through several times counts once, for as long as
// it was active. Each list holds at most limit starts.
func Summarize(starts []read.ColdStart, truncated bool, limit int) *read.ColdStartStats {
	stats := &read.ColdStartStats{
		Truncated: truncated, Phases: []read.PhaseStats{},
		Slowest: []read.ColdStartSummary{}, Recent: []read.ColdStartSummary{},
	}
	var totals, others []float64
	durations, critical := map[faas.Phase][]float64{}, map[faas.Phase]float64{}
	var finished []*read.ColdStart
	for i := range starts {
		s := &starts[i]
		CriticalPath(s)
		if len(stats.Recent) < limit {
			stats.Recent = append(stats.Recent, summary(s))
		}
		if s.ReadyAt == nil {
			stats.Unfinished++
			continue
		}
		finished = append(finished, s)
		totals, others = append(totals, s.TotalMS), append(others, s.OtherMS)
		spans := map[faas.Phase][]span{}
		for p := range s.Phases {
			phase := &s.Phases[p]
			spans[phase.Name] = append(spans[phase.Name], span{phase.Start, phase.End})
			critical[phase.Name] += phase.CriticalMS
		}
		for name, list := range spans {
			durations[name] = append(durations[name], read.Millis(covered(list)))
		}
	}
	stats.Count = uint64(len(finished))
	stats.Total = distribution(totals)
	whole := sum(totals)
	for _, name := range faas.Phases {
		if list := durations[name]; len(list) > 0 {
			stats.Phases = append(stats.Phases, read.PhaseStats{
				Phase: string(name), Distribution: distribution(list), Share: share(critical[name], whole),
			})
		}
	}
	stats.Other = read.PhaseStats{Phase: read.Other, Distribution: distribution(others), Share: share(sum(others), whole)}
	slices.SortStableFunc(finished, func(a, b *read.ColdStart) int { return cmp.Compare(b.TotalMS, a.TotalMS) })
	for _, s := range finished[:min(len(finished), limit)] {
		stats.Slowest = append(stats.Slowest, summary(s))
	}
	return stats
}

func summary(s *read.ColdStart) read.ColdStartSummary {
	out := read.ColdStartSummary{
		Namespace: s.Namespace, Function: s.Function, Version: s.Version, Instance: s.Instance, Host: s.Host,
		Initialization: s.Initialization, RequestID: s.RequestID, ReadyAt: s.ReadyAt, TotalMS: s.TotalMS,
		Digest: s.Digest, ImageBytes: s.ImageBytes,
	}
	if s.DemandedAt != nil {
		out.DemandedAt = *s.DemandedAt
	}
	if s.ReadyAt == nil {
		out.StopReason = s.StopReason
	}
	critical := map[faas.Phase]float64{}
	for i := range s.Phases {
		p := &s.Phases[i]
		critical[p.Name] += p.CriticalMS
		if ms := critical[p.Name]; ms > out.LongestMS {
			out.LongestPhase, out.LongestMS = string(p.Name), round(ms)
		}
	}
	return out
}

// distribution sorts list.
func distribution(list []float64) read.Distribution {
	if len(list) == 0 {
		return read.Distribution{}
	}
	slices.Sort(list)
	at := func(q float64) float64 { return list[max(0, int(math.Ceil(q*float64(len(list))))-1)] }
	return read.Distribution{
		Count: uint64(len(list)), P50MS: at(0.5), P90MS: at(0.9), P95MS: at(0.95), P99MS: at(0.99), MaxMS: list[len(list)-1],
	}
}

func sum(list []float64) float64 {
	var s float64
	for _, v := range list {
		s += v
	}
	return s
}

func share(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return math.Round(part/whole*1e6) / 1e6
}

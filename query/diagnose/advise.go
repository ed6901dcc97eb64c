package diagnose

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/read"
)

// When there is something to say. A piece of advice is given only if what it
// is about took at least worthMS and at least worthShare of the start.
const (
	worthMS    = 200.0
	worthShare = 0.2
	// Below slowRate a registry is called slow. privateRate is what a registry
	// in the same region gives over a private network on one ordinary host; it
	// is the one figure here that is not the start's own.
	slowRate    = 50e6  // bytes a second
	privateRate = 100e6 // bytes a second
	worthBytes  = 10e6  // less says nothing about a registry's rate
	// From this wait on it is worth its price to hold an instance.
	worthHoldingMS = 1000.0
)

// The kinds of advice.
const (
	kindQueue       = "queue"
	kindImageSize   = "image-size"
	kindRegistry    = "registry-bandwidth"
	kindLayerCache  = "layer-cache"
	kindInit        = "init"
	kindProvisioned = "provisioned"
)

// Advise says what would have made the request v wait less for the start s,
// whose critical path is known; what saves most comes first. All figures are
// of this one start; none is a promise for the next. The answer is never nil,
// and empty where there was no start or it is not finished.
func Advise(v *read.Invocation, s *read.ColdStart) []read.Advice {
	list := []read.Advice{}
	if s == nil || s.ReadyAt == nil || s.TotalMS <= 0 { // a start that failed has other problems than its duration
		return list
	}
	f := gather(s)
	for _, rule := range []func(*read.Invocation, *read.ColdStart, *facts) *read.Advice{
		provisioned, queue, layerCache, imageSize, registry, initialization,
	} {
		if a := rule(v, s, f); a != nil {
			if v.ColdWaitMS != nil {
				a.SavesMS = min(a.SavesMS, *v.ColdWaitMS) // it came when the start was under way
			}
			list = append(list, *a)
		}
	}
	slices.SortStableFunc(list, func(a, b read.Advice) int {
		switch {
		case a.SavesMS > b.SavesMS:
			return -1
		case a.SavesMS < b.SavesMS:
			return 1
		}
		return 0
	})
	return list
}

// facts are what several rules ask for.
type facts struct {
	critical      map[faas.Phase]float64 // milliseconds
	fetchMS       float64                // critical share of pull and unpack
	pulled        int64                  // bytes that came from the registry
	pulling       time.Duration          // while at least one layer came
	missed, known int                    // layers
	bytes         int64                  // of all layers known
	largest       *read.Layer            // of those that were pulled
}

func gather(s *read.ColdStart) *facts {
	f := &facts{critical: map[faas.Phase]float64{}, known: len(s.Layers)}
	var pulls, downloads []span
	var attributed int64
	for i := range s.Phases {
		p := &s.Phases[i]
		f.critical[p.Name] += p.CriticalMS
		if p.Name == faas.PhasePull {
			pulls = append(pulls, span{p.Start, p.End})
			if n, err := strconv.ParseInt(p.Attributes["bytes"], 10, 64); err == nil {
				attributed += n
			}
		}
	}
	for i := range s.Layers {
		l := &s.Layers[i]
		f.bytes += l.Bytes
		if l.Cache == "hit" || l.DownloadStart == nil || l.DownloadEnd == nil {
			continue
		}
		f.missed++
		f.pulled += l.Bytes
		downloads = append(downloads, span{*l.DownloadStart, *l.DownloadEnd})
		if f.largest == nil || l.Bytes > f.largest.Bytes {
			f.largest = l
		}
	}
	f.pulling = covered(downloads)
	if f.missed == 0 && f.known == 0 { // nothing is known of the layers
		f.pulling = covered(pulls)
		if f.pulled = attributed; f.pulled == 0 && s.ImageBytes != nil {
			f.pulled = *s.ImageBytes
		}
	}
	f.fetchMS = f.critical[faas.PhasePull] + f.critical[faas.PhaseUnpack]
	return f
}

// rate is in bytes a second, 0 if not known.
func (f *facts) rate() float64 {
	if f.pulling <= 0 {
		return 0
	}
	return float64(f.pulled) / f.pulling.Seconds()
}

func worth(ms float64, s *read.ColdStart) bool { return ms >= worthMS && ms >= worthShare*s.TotalMS }

// provisioned saves the whole wait.
func provisioned(v *read.Invocation, s *read.ColdStart, _ *facts) *read.Advice {
	if s.Initialization == faas.Provisioned || v.ColdWaitMS == nil || *v.ColdWaitMS < worthHoldingMS {
		return nil
	}
	evidence := fmt.Sprintf("The request waited %s for an instance to start", duration(*v.ColdWaitMS))
	if v.TotalMS != nil && *v.TotalMS > 0 {
		evidence += fmt.Sprintf(", %.0f %% of its %s", 100**v.ColdWaitMS / *v.TotalMS, duration(*v.TotalMS))
	}
	return &read.Advice{
		Kind: kindProvisioned, Title: "Hold a provisioned instance", SavesMS: *v.ColdWaitMS,
		Evidence: evidence + ". One that is held ready makes it wait for none.",
	}
}

// queue saves all that passed before anybody worked on the start.
func queue(_ *read.Invocation, s *read.ColdStart, f *facts) *read.Advice {
	ms := f.critical[faas.PhaseQueue] + f.critical[faas.PhaseSchedule]
	if !worth(ms, s) {
		return nil
	}
	return &read.Advice{
		Kind: kindQueue, Title: "Let the platform begin starts sooner", SavesMS: round(ms),
		Evidence: fmt.Sprintf("The start waited %s for its turn and for a host, %.0f %% of it, before anything was done for it. "+
			"More starts at a time, or hosts with room, take that away.", duration(ms), 100*ms/s.TotalMS),
	}
}

// layerCache saves pull and unpack together.
func layerCache(_ *read.Invocation, s *read.ColdStart, f *facts) *read.Advice {
	if f.missed == 0 || 2*f.pulled < f.bytes || !worth(f.fetchMS, s) {
		return nil
	}
	host := s.Host
	if host == "" {
		host = "the host"
	}
	return &read.Advice{
		Kind: kindLayerCache, Title: "Keep the layers on the host, or load them lazily", SavesMS: round(f.fetchMS),
		Evidence: fmt.Sprintf("%d of %d layers (%s of %s) were not on %s; the start waited %s for pull and unpack.",
			f.missed, f.known, size(f.pulled), size(f.bytes), host, duration(f.fetchMS)),
	}
}

// imageSize reckons with half the bytes: pull and unpack go with them.
func imageSize(_ *read.Invocation, s *read.ColdStart, f *facts) *read.Advice {
	if f.pulled == 0 || !worth(f.fetchMS, s) {
		return nil
	}
	evidence := fmt.Sprintf("Pull and unpack of %s are %.0f %% of this start (%s)", size(f.pulled), 100*f.fetchMS/s.TotalMS, duration(f.fetchMS))
	if f.largest != nil {
		evidence += fmt.Sprintf("; the largest layer, %.19s, is %s", f.largest.Digest, size(f.largest.Bytes))
	}
	return &read.Advice{
		Kind: kindImageSize, Title: "Make the image smaller", SavesMS: round(f.fetchMS / 2),
		Evidence: evidence + ". Half the bytes would have saved half of that.",
	}
}

// registry reckons with privateRate instead of the rate seen.
func registry(_ *read.Invocation, s *read.ColdStart, f *facts) *read.Advice {
	pull, rate := f.critical[faas.PhasePull], f.rate()
	if rate <= 0 || rate >= slowRate || f.pulled < worthBytes || !worth(pull, s) {
		return nil
	}
	from := "The registry"
	if s.Registry != "" {
		from += " " + s.Registry
	}
	if s.Region != "" {
		from += " in " + s.Region
	}
	return &read.Advice{
		Kind: kindRegistry, Title: "Pull from a registry in the same region, over the private network", SavesMS: round(pull * (1 - rate/privateRate)),
		Evidence: fmt.Sprintf("%s gave %s in %s, %s/s. At %s/s, usual inside a region, the pull would have taken %s instead of %s.",
			from, size(f.pulled), duration(read.Millis(f.pulling)), size(int64(rate)), size(privateRate), duration(pull*rate/privateRate), duration(pull)),
	}
}

// initialization saves all of init, if all of it can wait.
func initialization(_ *read.Invocation, s *read.ColdStart, f *facts) *read.Advice {
	ms := f.critical[faas.PhaseInit]
	if !worth(ms, s) {
		return nil
	}
	return &read.Advice{
		Kind: kindInit, Title: "Load less before the port opens", SavesMS: round(ms),
		Evidence: fmt.Sprintf("From its start the process needed %s until its port accepted a connection, %.0f %% of this start. "+
			"What it loads in that time (a model, a framework, connections) can be loaded on first use or beside the listener.",
			duration(ms), 100*ms/s.TotalMS),
	}
}

type span struct{ start, end time.Time }

// covered is how long at least one of the spans lasted.
func covered(spans []span) time.Duration {
	slices.SortFunc(spans, func(a, b span) int { return a.start.Compare(b.start) })
	var sum time.Duration
	var until time.Time
	for _, s := range spans {
		if from := latest(s.start, until); s.end.After(from) {
			sum += s.end.Sub(from)
			until = s.end
		}
	}
	return sum
}

func round(ms float64) float64 { return read.Millis(time.Duration(ms * float64(time.Millisecond))) }

func duration(ms float64) string {
	if ms < 1000 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.2f s", ms/1000)
}

// size gives bytes in decimal units, as registries and networks count.
func size(n int64) string {
	switch f := float64(n); {
	case f >= 1e9:
		return fmt.Sprintf("%.2f GB", f/1e9)
	case f >= 1e6:
		return fmt.Sprintf("%.1f MB", f/1e6)
	case f >= 1e3:
		return fmt.Sprintf("%.1f kB", f/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

package diagnose

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/read"
)

var t0 = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }

func phase(name faas.Phase, from, to int) read.Phase {
	return read.Phase{Name: name, Start: at(from), End: at(to), DurationMS: float64(to - from)}
}

// layer has the times of its download and its unpacking.
func layer(bytes int64, times ...int) read.Layer {
	var p [4]*time.Time
	for i, ms := range times {
		p[i] = new(at(ms))
	}
	return read.Layer{Digest: "sha256:0123456789abcdef", Bytes: bytes, Cache: "miss", DownloadStart: p[0], DownloadEnd: p[1], UnpackStart: p[2], UnpackEnd: p[3]}
}

func start(ready int, phases ...read.Phase) *read.ColdStart {
	return &read.ColdStart{DemandedAt: new(at(0)), ReadyAt: new(at(ready)), Initialization: faas.OnDemand, Phases: phases}
}

func TestCriticalPath(t *testing.T) {
	const pull, unpack, create, begin, initialize = faas.PhasePull, faas.PhaseUnpack, faas.PhaseCreate, faas.PhaseStart, faas.PhaseInit
	for _, test := range []struct {
		name   string
		phases []read.Phase
		layers []read.Layer
		ready  int
		want   []float64 // of each phase
		other  float64
	}{
		{"nothing known", nil, nil, 100, []float64{}, 100},
		{"one after the other", []read.Phase{phase(pull, 0, 40), phase(create, 40, 60), phase(initialize, 60, 100)}, nil, 100, []float64{40, 20, 40}, 0},
		{"gaps are other", []read.Phase{phase(pull, 10, 40), phase(initialize, 60, 90)}, nil, 100, []float64{30, 30}, 40},
		{"the later step did not wait for the earlier one's end", []read.Phase{phase(begin, 0, 60), phase(initialize, 20, 100)}, nil, 100, []float64{20, 80}, 0},
		{"of two in parallel the one that ended last held up the next", []read.Phase{phase(faas.PhaseCredentials, 0, 30), phase(faas.PhaseResolve, 0, 10), phase(pull, 30, 100)}, nil, 100, []float64{30, 0, 70}, 0},
		{"without layers unpack counts from the pull's end", []read.Phase{phase(pull, 0, 70), phase(unpack, 10, 100)}, nil, 100, []float64{70, 30}, 0},
		{"an unpack that ended before the pull held up nothing", []read.Phase{phase(pull, 0, 70), phase(unpack, 10, 60), phase(create, 70, 100)}, nil, 100, []float64{70, 0, 30}, 0},
		{"an unpack after the pull", []read.Phase{phase(pull, 0, 60), phase(unpack, 60, 100)}, nil, 100, []float64{60, 40}, 0},
		{
			"slow network: the last layer's download held up its unpacking",
			[]read.Phase{phase(pull, 0, 80), phase(unpack, 20, 100)},
			[]read.Layer{layer(1, 0, 20, 20, 30), layer(9, 0, 80, 80, 100)},
			100,
			[]float64{80, 20},
			0,
		},
		{
			"slow disk: layers wait for each other's unpacking",
			[]read.Phase{phase(pull, 0, 30), phase(unpack, 10, 100)},
			[]read.Layer{layer(1, 0, 10, 10, 60), layer(9, 0, 30, 60, 100)},
			100,
			[]float64{10, 90},
			0,
		},
		{
			"what no layer explains stays the phase's",
			[]read.Phase{phase(pull, 0, 50), phase(unpack, 50, 100)},
			[]read.Layer{layer(1, 10, 40, 60, 90)},
			100,
			[]float64{50, 50},
			0,
		},
		{"a lazy pull that goes on after readiness", []read.Phase{phase(pull, 0, 500), phase(create, 20, 40), phase(initialize, 40, 100)}, nil, 100, []float64{20, 20, 60}, 0},
		{"phases outside the start do not count", []read.Phase{phase(pull, -50, -10), phase(initialize, 50, 100), phase(create, 120, 130)}, nil, 100, []float64{0, 50, 0}, 50},
		{"a second try", []read.Phase{phase(pull, 0, 20), phase(pull, 30, 60), phase(initialize, 60, 100)}, nil, 100, []float64{20, 30, 40}, 10},
		{"empty phases", []read.Phase{phase(pull, 50, 50), phase(initialize, 0, 0)}, nil, 100, []float64{0, 0}, 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := start(test.ready, test.phases...)
			s.Layers = test.layers
			CriticalPath(s)
			got := []float64{}
			for _, p := range s.Phases {
				got = append(got, p.CriticalMS)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || s.OtherMS != test.other || s.TotalMS != float64(test.ready) {
				t.Errorf("other %v of %v (-want +got):\n%s", s.OtherMS, s.TotalMS, diff)
			}
		})
	}
}

func TestUnfinished(t *testing.T) {
	s := start(0, phase(faas.PhaseQueue, 0, 5), phase(faas.PhasePull, 5, 30))
	s.ReadyAt = nil
	if CriticalPath(s); s.TotalMS != 30 || s.Phases[1].CriticalMS != 25 {
		t.Errorf("starting: %+v", s)
	}
	s.StoppedAt = new(at(50))
	if CriticalPath(s); s.TotalMS != 50 || s.OtherMS != 20 {
		t.Errorf("failed: %+v", s)
	}
	s.DemandedAt = nil
	if CriticalPath(s); s.TotalMS != 50 || s.OtherMS != 20 {
		t.Errorf("without a demand: %+v", s)
	}
	for _, s := range []*read.ColdStart{{}, {ReadyAt: new(at(5))}, {DemandedAt: new(at(5))}, {DemandedAt: new(at(5)), ReadyAt: new(at(1))}} {
		if CriticalPath(s); s.TotalMS != 0 || s.OtherMS != 0 || len(s.CriticalPath) != 0 {
			t.Errorf("nothing to measure: %+v", s)
		}
	}
}

// TestCriticalPathAddsUp holds for every start: the shares and the rest are the
// whole, to the microsecond; the path has no gap; a phase is charged only while
// it was active; and the order in which facts came does not matter.
func TestCriticalPathAddsUp(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		instant := rapid.Custom(func(r *rapid.T) time.Time {
			return t0.Add(time.Duration(rapid.Int64Range(-1000, 10_000).Draw(r, "t")) * time.Duration(rapid.SampledFrom([]int{1, 999, 1_000_000}).Draw(r, "unit")))
		})
		two := func(label string) (time.Time, time.Time) {
			a, b := instant.Draw(r, label), instant.Draw(r, label)
			if b.Before(a) {
				return b, a
			}
			return a, b
		}
		s := &read.ColdStart{}
		from, to := two("start")
		s.DemandedAt, s.ReadyAt = &from, &to
		for range rapid.IntRange(0, 12).Draw(r, "phases") {
			p := read.Phase{Name: rapid.SampledFrom(faas.Phases).Draw(r, "phase")}
			p.Start, p.End = two("phase")
			s.Phases = append(s.Phases, p)
		}
		for range rapid.IntRange(0, 6).Draw(r, "layers") {
			var l read.Layer
			if rapid.Bool().Draw(r, "downloaded") {
				a, b := two("download")
				l.DownloadStart, l.DownloadEnd = &a, &b
			}
			if rapid.Bool().Draw(r, "unpacked") {
				a, b := two("unpack")
				l.UnpackStart, l.UnpackEnd = &a, &b
			}
			s.Layers = append(s.Layers, l)
		}
		shuffled := *s
		shuffled.Phases, shuffled.Layers = slices.Clone(s.Phases), slices.Clone(s.Layers)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 0))
		rng.Shuffle(len(s.Phases), func(i, j int) {
			shuffled.Phases[i], shuffled.Phases[j] = shuffled.Phases[j], shuffled.Phases[i]
		})
		rng.Shuffle(len(s.Layers), func(i, j int) {
			shuffled.Layers[i], shuffled.Layers[j] = shuffled.Layers[j], shuffled.Layers[i]
		})
		CriticalPath(s)
		CriticalPath(&shuffled)
		check(r, s)
		if diff := cmp.Diff(s.CriticalPath, shuffled.CriticalPath); diff != "" {
			r.Fatalf("the order of the facts matters:\n%s", diff)
		}
	})
}

func check(r *rapid.T, s *read.ColdStart) {
	micros := func(ms float64) int64 { return int64(math.Round(ms * 1000)) }
	sum := micros(s.OtherMS)
	for _, p := range s.Phases {
		sum += micros(p.CriticalMS)
		if p.CriticalMS < 0 || micros(p.CriticalMS) > int64(p.End.Sub(p.Start)/time.Microsecond)+1 {
			r.Fatalf("%s lasted %s and is charged %v ms", p.Name, p.End.Sub(p.Start), p.CriticalMS)
		}
	}
	if total := micros(s.TotalMS); sum != total || s.OtherMS < 0 {
		r.Fatalf("parts are %d µs (other %v ms), the whole is %d µs", sum, s.OtherMS, total)
	}
	t := *s.DemandedAt
	for _, g := range s.CriticalPath {
		if !g.Start.Equal(t) || !g.End.After(g.Start) {
			r.Fatalf("the path goes on at %s instead of %s", g.Start, t)
		}
		t = g.End
		for _, instant := range []time.Time{g.Start, g.End.Add(-1)} {
			if g.Name != read.Other && !slices.ContainsFunc(s.Phases, func(p read.Phase) bool {
				return string(p.Name) == g.Name && !instant.Before(p.Start) && instant.Before(p.End)
			}) {
				r.Fatalf("%s is charged at %s but was not active", g.Name, instant)
			}
		}
		if g.Name == read.Other {
			for _, p := range s.Phases {
				if p.Start.Before(p.End) && p.Start.Before(g.End) && p.End.After(g.Start) {
					r.Fatalf("%s was active in a part that is charged to nobody", p.Name)
				}
			}
		}
	}
	if len(s.CriticalPath) > 0 && !t.Equal(*s.ReadyAt) {
		r.Fatalf("the path ends at %s instead of %s", t, *s.ReadyAt)
	}
}

func kinds(list []read.Advice) []string {
	names := []string{}
	for _, a := range list {
		names = append(names, a.Kind)
	}
	return names
}

func TestAdvise(t *testing.T) {
	slow := start(5000, phase(faas.PhasePull, 0, 4000), phase(faas.PhaseInit, 4000, 5000))
	slow.Layers = []read.Layer{layer(60_000_000, 0, 4000), layer(1_000_000, 0, 10), {Digest: "sha256:cached", Bytes: 9_000_000, Cache: "hit"}}
	quick := start(300, phase(faas.PhaseCreate, 0, 100), phase(faas.PhaseInit, 100, 300))
	tiny := start(80, phase(faas.PhaseInit, 0, 80))
	blind := start(4000, phase(faas.PhasePull, 0, 4000)) // no layers known
	blind.Phases[0].Attributes = map[string]string{"bytes": "40000000"}
	queued := start(1000, phase(faas.PhaseQueue, 0, 300), phase(faas.PhaseSchedule, 300, 400), phase(faas.PhaseCreate, 400, 1000))
	cached := start(2000, phase(faas.PhasePull, 0, 1000), phase(faas.PhaseInit, 1000, 2000))
	cached.Layers = []read.Layer{layer(1_000_000, 0, 1000), {Digest: "sha256:cached", Bytes: 900_000_000, Cache: "hit"}}
	for _, test := range []struct {
		name  string
		start *read.ColdStart
		wait  float64
		want  []string
		saves []float64
	}{
		{"slow registry", slow, 5000, []string{kindProvisioned, kindLayerCache, kindRegistry, kindImageSize, kindInit}, []float64{5000, 4000, 3390, 2000, 1000}},
		{"came late", slow, 1500, []string{kindProvisioned, kindLayerCache, kindImageSize, kindRegistry, kindInit}, []float64{1500, 1500, 1500, 1500, 1000}},
		{"quick but init", quick, 300, []string{kindInit}, []float64{200}},
		{"not worth a word", tiny, 80, []string{}, []float64{}},
		{"no layers known", blind, 4000, []string{kindProvisioned, kindRegistry, kindImageSize}, []float64{4000, 3600, 2000}},
		{"its turn came late", queued, 900, []string{kindQueue}, []float64{400}},
		{"most was cached", cached, 2000, []string{kindProvisioned, kindInit, kindImageSize}, []float64{2000, 1000, 500}},
	} {
		t.Run(test.name, func(t *testing.T) {
			CriticalPath(test.start)
			got := Advise(&read.Invocation{ColdWaitMS: &test.wait}, test.start)
			saves := []float64{}
			for _, a := range got {
				saves = append(saves, a.SavesMS)
				if a.Title == "" || a.Evidence == "" {
					t.Errorf("%s says nothing", a.Kind)
				}
			}
			slices.Sort(test.want)
			names := kinds(got)
			slices.Sort(names)
			if diff := cmp.Diff(test.want, names); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.saves, saves); diff != "" {
				t.Errorf("saves (-want +got):\n%s", diff)
			}
		})
	}
	if got := Advise(&read.Invocation{}, nil); got == nil || len(got) != 0 {
		t.Errorf("without a start: %v", got)
	}
}

func TestSummarize(t *testing.T) {
	var starts []read.ColdStart
	for i := range 100 {
		s := start(100+i, phase(faas.PhasePull, 0, 50), phase(faas.PhasePull, 20, 60), phase(faas.PhaseInit, 60, 100+i))
		s.Instance = string(rune('a' + i%26))
		starts = append(starts, *s)
	}
	unfinished := start(0, phase(faas.PhasePull, 0, 10))
	unfinished.ReadyAt = nil
	starts = append(starts, *unfinished)
	got := Summarize(starts, true, 3)
	if got.Count != 100 || got.Unfinished != 1 || !got.Truncated || len(got.Slowest) != 3 || len(got.Recent) != 3 {
		t.Fatalf("%+v", got)
	}
	if want := (read.Distribution{Count: 100, P50MS: 149, P90MS: 189, P95MS: 194, P99MS: 198, MaxMS: 199}); got.Total != want {
		t.Errorf("total %+v, want %+v", got.Total, want)
	}
	if p := got.Phases[0]; p.Phase != "pull" || p.P50MS != 60 || p.Count != 100 {
		t.Errorf("overlapping tries: %+v", p)
	}
	shares := got.Other.Share
	for _, p := range got.Phases {
		shares += p.Share
	}
	if math.Abs(shares-1) > 1e-5 {
		t.Errorf("shares add up to %v", shares)
	}
	if got.Slowest[0].TotalMS != 199 || got.Slowest[0].LongestPhase != "init" || got.Slowest[0].LongestMS != 139 {
		t.Errorf("slowest: %+v", got.Slowest[0])
	}
	if empty := Summarize(nil, false, 3); empty.Count != 0 || empty.Phases == nil || empty.Slowest == nil || empty.Recent == nil {
		t.Errorf("%+v", empty)
	}
}

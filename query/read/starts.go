package read

import (
	"context"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// Bounds of the starts that figures are made of.
const (
	maxStarts       = 10_000
	maxStartsPhases = 20 * maxStarts
	maxStartsLayers = 40 * maxStarts
)

// StartFilter says which starts count. Empty fields say nothing.
type StartFilter struct {
	Namespace, Function, Version, Instance string
	Host, Digest                           string
	Initialization                         faas.Initialization
	Range                                  // of the demand
}

// conditions are the filter's, on columns of cold_starts.
func (f *StartFilter) conditions() *conditions {
	c := &conditions{args: args{}}
	c.equal([2]string{"namespace", f.Namespace}, [2]string{"function", f.Function}, [2]string{"instance", f.Instance},
		[2]string{"ifNull(version, '')", f.Version}, [2]string{"ifNull(host, '')", f.Host}, [2]string{"ifNull(digest, '')", f.Digest},
		[2]string{"ifNull(initialization, '')", string(f.Initialization)})
	c.within("demanded_at", f.Range)
	return c
}

// where is what a query's template takes.
type where struct{ Conditions []string }

type startRow struct {
	Namespace      string     `ch:"namespace"`
	Function       string     `ch:"function"`
	Instance       string     `ch:"instance"`
	Life           uint32     `ch:"life"`
	Version        *string    `ch:"version"`
	Host           *string    `ch:"host"`
	Initialization *string    `ch:"initialization"`
	RequestID      *string    `ch:"request_id"`
	DemandedAt     *time.Time `ch:"demanded_at"`
	ReadyAt        *time.Time `ch:"ready_at"`
	StoppedAt      *time.Time `ch:"stopped_at"`
	StopReason     *string    `ch:"stop_reason"`
	ExitCode       *int32     `ch:"exit_code"`
	OOM            *bool      `ch:"oom"`
	Image          *string    `ch:"image"`
	Digest         *string    `ch:"digest"`
	ImageBytes     *int64     `ch:"image_bytes"`
	Registry       *string    `ch:"registry"`
	Region         *string    `ch:"region"`
	MemoryLimit    *int64     `ch:"memory_limit"`
	ClockOffsetNS  *int64     `ch:"clock_offset_ns"`
	MemoryPeak     *int64     `ch:"memory_peak"`
}

type phaseRow struct {
	Namespace  string            `ch:"namespace"`
	Function   string            `ch:"function"`
	Instance   string            `ch:"instance"`
	Phase      string            `ch:"phase"`
	Start      time.Time         `ch:"start"`
	End        time.Time         `ch:"end"`
	Error      string            `ch:"error"`
	Attributes map[string]string `ch:"attributes"`
}

type layerRow struct {
	Namespace     string     `ch:"namespace"`
	Function      string     `ch:"function"`
	Instance      string     `ch:"instance"`
	Digest        string     `ch:"digest"`
	Bytes         int64      `ch:"bytes"`
	Cache         string     `ch:"cache"`
	DownloadStart *time.Time `ch:"download_start"`
	DownloadEnd   *time.Time `ch:"download_end"`
	UnpackStart   *time.Time `ch:"unpack_start"`
	UnpackEnd     *time.Time `ch:"unpack_end"`
}

// ColdStarts reads the starts of a time range with their phases, and with
// their layers as far as those took time, newest demand first. truncated says
// that there are older ones.
func (r *Reader) ColdStarts(ctx context.Context, tenant string, f StartFilter) (starts []ColdStart, truncated bool, err error) {
	c := f.conditions()
	a := with(args{"tenant": tenant, "limit": maxStarts + 1}, c.args)
	rows, err := selectWhere[startRow](ctx, r, "starts", where{c.list}, maxStarts+1, a)
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	a["rows"] = maxStartsPhases
	phases, err := selectWhere[phaseRow](ctx, r, "starts_phases", where{c.list}, maxStartsPhases, a)
	if err != nil {
		return nil, false, err
	}
	a["rows"] = maxStartsLayers
	layers, err := selectWhere[layerRow](ctx, r, "starts_layers", where{c.list}, maxStartsLayers, a)
	if err != nil {
		return nil, false, err
	}
	truncated = len(rows) > maxStarts
	return assemble(rows[:min(len(rows), maxStarts)], phases, layers), truncated, nil
}

// assemble gives the starts their phases and layers, in the order of rows. What
// an instance of several lives went through belongs to the one that had begun.
func assemble(rows []startRow, phases []phaseRow, layers []layerRow) []ColdStart {
	type key struct{ namespace, function, instance string }
	starts := make([]ColdStart, len(rows))
	index := make(map[key][]*ColdStart, len(rows))
	for i := range rows {
		starts[i] = rows[i].coldStart()
		k := key{rows[i].Namespace, rows[i].Function, rows[i].Instance}
		index[k] = append(index[k], &starts[i])
	}
	give(func(namespace, function, instance string) []*ColdStart {
		return index[key{namespace, function, instance}]
	}, phases, layers)
	return starts
}

// give gives the starts of instances their phases and layers.
func give(lives func(namespace, function, instance string) []*ColdStart, phases []phaseRow, layers []layerRow) {
	for i := range phases {
		p := &phases[i]
		if s := lifeAt(lives(p.Namespace, p.Function, p.Instance), p.Start); s != nil {
			s.Phases = append(s.Phases, Phase{
				Name: faas.Phase(p.Phase), Start: p.Start.UTC(), End: p.End.UTC(), DurationMS: Millis(p.End.Sub(p.Start)),
				Error: p.Error, Attributes: p.Attributes,
			})
		}
	}
	for i := range layers {
		l := &layers[i]
		at := lastNanosecond // one that was there already is told again by each life
		if l.DownloadStart != nil {
			at = *l.DownloadStart
		}
		if s := lifeAt(lives(l.Namespace, l.Function, l.Instance), at); s != nil {
			s.Layers = append(s.Layers, Layer{
				Digest: l.Digest, Bytes: l.Bytes, Cache: l.Cache,
				DownloadStart: utc(l.DownloadStart), DownloadEnd: utc(l.DownloadEnd),
				UnpackStart: utc(l.UnpackStart), UnpackEnd: utc(l.UnpackEnd),
			})
		}
	}
}

var lastNanosecond = time.Unix(0, lastNS)

// lifeAt is the last of an instance's starts that had begun at t, else the
// first; nil if there are none.
func lifeAt(starts []*ColdStart, t time.Time) (found *ColdStart) {
	for _, s := range starts {
		begun, other := begunBy(s, t), found != nil && begunBy(found, t)
		switch {
		case found == nil, begun && !other, begun == other && begun == s.begin().After(found.begin()):
			found = s
		}
	}
	return found
}

func begunBy(s *ColdStart, t time.Time) bool { return !s.begin().After(t) }

// ahead is how far the platform's clock is ahead of the lines'.
func (s *ColdStart) ahead() time.Duration {
	if s == nil || s.ClockOffsetMS == nil {
		return 0
	}
	return time.Duration(*s.ClockOffsetMS * float64(time.Millisecond))
}

// begin is the first thing known of a start.
func (s *ColdStart) begin() time.Time {
	switch {
	case s.DemandedAt != nil:
		return *s.DemandedAt
	case s.ReadyAt != nil:
		return *s.ReadyAt
	}
	return time.Time{}
}

func (r *startRow) coldStart() ColdStart {
	return ColdStart{
		Namespace: r.Namespace, Function: r.Function, Version: value(r.Version), Instance: r.Instance, Life: r.Life, Host: value(r.Host),
		Initialization: faas.Initialization(value(r.Initialization)), RequestID: value(r.RequestID),
		DemandedAt: utc(r.DemandedAt), ReadyAt: utc(r.ReadyAt), StoppedAt: utc(r.StoppedAt), StopReason: value(r.StopReason),
		ExitCode: r.ExitCode, OOM: value(r.OOM), ClockOffsetMS: millis(r.ClockOffsetNS),
		Image: value(r.Image), Digest: value(r.Digest), ImageBytes: r.ImageBytes,
		Registry: value(r.Registry), Region: value(r.Region), MemoryLimit: r.MemoryLimit, MemoryPeak: r.MemoryPeak,
		Phases: []Phase{}, Layers: []Layer{}, CriticalPath: []Segment{},
	}
}

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
	Namespace, Function, Version string
	Initialization               faas.Initialization
	Range                        // of the demand
}

type startRow struct {
	Namespace      string     `ch:"namespace"`
	Function       string     `ch:"function"`
	Instance       string     `ch:"instance"`
	Version        *string    `ch:"version"`
	Host           *string    `ch:"host"`
	Initialization *string    `ch:"initialization"`
	RequestID      *string    `ch:"request_id"`
	DemandedAt     *time.Time `ch:"demanded_at"`
	ReadyAt        *time.Time `ch:"ready_at"`
	StoppedAt      *time.Time `ch:"stopped_at"`
	StopReason     *string    `ch:"stop_reason"`
	Image          *string    `ch:"image"`
	Digest         *string    `ch:"digest"`
	ImageBytes     *int64     `ch:"image_bytes"`
	Registry       *string    `ch:"registry"`
	Region         *string    `ch:"region"`
	MemoryLimit    *int64     `ch:"memory_limit"`
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
	since, until := f.nanos()
	a := args{
		"tenant": tenant, "namespace": f.Namespace, "function": f.Function, "version": f.Version,
		"initialization": string(f.Initialization), "since": since, "until": until, "limit": maxStarts + 1,
	}
	rows, err := selectRows[startRow](ctx, r, "starts", maxStarts+1, a)
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	a["rows"] = maxStartsPhases
	phases, err := selectRows[phaseRow](ctx, r, "starts_phases", maxStartsPhases, a)
	if err != nil {
		return nil, false, err
	}
	a["rows"] = maxStartsLayers
	layers, err := selectRows[layerRow](ctx, r, "starts_layers", maxStartsLayers, a)
	if err != nil {
		return nil, false, err
	}
	truncated = len(rows) > maxStarts
	return assemble(rows[:min(len(rows), maxStarts)], phases, layers), truncated, nil
}

// assemble gives the starts their phases and layers.
func assemble(rows []startRow, phases []phaseRow, layers []layerRow) []ColdStart {
	type key struct{ namespace, function, instance string }
	starts := make([]ColdStart, len(rows))
	index := make(map[key]*ColdStart, len(rows))
	for i := range rows {
		starts[i] = rows[i].coldStart()
		index[key{rows[i].Namespace, rows[i].Function, rows[i].Instance}] = &starts[i]
	}
	for i := range phases {
		p := &phases[i]
		if s := index[key{p.Namespace, p.Function, p.Instance}]; s != nil {
			s.Phases = append(s.Phases, Phase{
				Name: faas.Phase(p.Phase), Start: p.Start.UTC(), End: p.End.UTC(), DurationMS: Millis(p.End.Sub(p.Start)),
				Error: p.Error, Attributes: p.Attributes,
			})
		}
	}
	for i := range layers {
		l := &layers[i]
		if s := index[key{l.Namespace, l.Function, l.Instance}]; s != nil {
			s.Layers = append(s.Layers, Layer{
				Digest: l.Digest, Bytes: l.Bytes, Cache: l.Cache,
				DownloadStart: utc(l.DownloadStart), DownloadEnd: utc(l.DownloadEnd),
				UnpackStart: utc(l.UnpackStart), UnpackEnd: utc(l.UnpackEnd),
			})
		}
	}
	return starts
}

func (r *startRow) coldStart() ColdStart {
	return ColdStart{
		Namespace: r.Namespace, Function: r.Function, Version: value(r.Version), Instance: r.Instance, Host: value(r.Host),
		Initialization: faas.Initialization(value(r.Initialization)), RequestID: value(r.RequestID),
		DemandedAt: utc(r.DemandedAt), ReadyAt: utc(r.ReadyAt), StoppedAt: utc(r.StoppedAt), StopReason: value(r.StopReason),
		Image: value(r.Image), Digest: value(r.Digest), ImageBytes: r.ImageBytes,
		Registry: value(r.Registry), Region: value(r.Region), MemoryLimit: r.MemoryLimit,
		Phases: []Phase{}, Layers: []Layer{}, CriticalPath: []Segment{},
	}
}

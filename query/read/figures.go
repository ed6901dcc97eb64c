package read

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

// bounds are the upper ends of the histograms' buckets; one more has no end.
var bounds = []time.Duration{
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 25 * time.Second, time.Minute, 5 * time.Minute,
}

// startGroups are what starts can be compared by.
var startGroups = map[string]string{
	"":               "''",
	"function":       "concat(namespace, '/', function)",
	"version":        "ifNull(version, '')",
	"digest":         "ifNull(digest, '')",
	"host":           "ifNull(host, '')",
	"initialization": "ifNull(initialization, '')",
	"registry":       "ifNull(registry, '')",
	"region":         "ifNull(region, '')",
	"hour":           "formatDateTime(toStartOfHour(assumeNotNull(demanded_at)), '%Y-%m-%dT%H:%i:%SZ', 'UTC')",
}

const maxGroups = 10_000

// StartDistributions gives how long finished starts and each of their phases
// took, for each group: "", function, version, digest, host, initialization,
// registry, region or hour. It is made by the engine of all starts there are,
// however many. truncated says that there are more groups.
func (r *Reader) StartDistributions(ctx context.Context, tenant string, f StartFilter, group string) (all []StartDistribution, truncated bool, err error) {
	by, ok := startGroups[group]
	if !ok {
		return nil, false, fmt.Errorf("compare starts by %q: not possible", group)
	}
	c := f.conditions()
	les := make([]int64, len(bounds))
	for i, b := range bounds {
		les[i] = int64(b)
	}
	rows, err := selectWhere[struct {
		Group     string    `ch:"group"`
		Phase     string    `ch:"phase"`
		Starts    uint64    `ch:"starts"`
		Mean      float64   `ch:"mean"`
		Longest   int64     `ch:"longest"`
		Quantiles []float32 `ch:"quantiles"`
		Within    []uint64  `ch:"within"`
	}](ctx, r, "distribution", struct {
		where
		Group string
	}{where{c.list}, by}, maxGroups+1, with(args{"tenant": tenant, "bounds": les, "limit": maxGroups + 1}, c.args))
	if err != nil {
		return nil, false, err
	}
	truncated = len(rows) > maxGroups
	all = make([]StartDistribution, min(len(rows), maxGroups))
	for i := range all {
		row := &rows[i]
		at := func(q int) float64 { return Millis(time.Duration(row.Quantiles[q])) }
		all[i] = StartDistribution{
			Group: row.Group, Phase: row.Phase, MeanMS: Millis(time.Duration(row.Mean)), Buckets: make([]Bucket, 0, len(bounds)+1),
			Distribution: Distribution{Count: row.Starts, P50MS: at(0), P90MS: at(1), P95MS: at(2), P99MS: at(3), MaxMS: Millis(time.Duration(row.Longest))},
		}
		below := uint64(0)
		for b, n := range row.Within {
			le := Millis(bounds[b])
			all[i].Buckets = append(all[i].Buckets, Bucket{LeMS: &le, Count: n - below})
			below = n
		}
		all[i].Buckets = append(all[i].Buckets, Bucket{Count: row.Starts - below})
	}
	return all, truncated, nil
}

// CompareStarts sets the starts of two filters side by side, phase by phase.
func (r *Reader) CompareStarts(ctx context.Context, tenant string, a, b StartFilter) (*StartComparison, error) {
	result := &StartComparison{Phases: []ComparedPhase{}}
	sides := [2]map[string]*StartDistribution{}
	for i, f := range []StartFilter{a, b} {
		all, _, err := r.StartDistributions(ctx, tenant, f, "")
		if err != nil {
			return nil, err
		}
		sides[i] = map[string]*StartDistribution{}
		for n := range all {
			sides[i][all[n].Phase] = &all[n]
			if !slices.ContainsFunc(result.Phases, func(p ComparedPhase) bool { return p.Phase == all[n].Phase }) {
				result.Phases = append(result.Phases, ComparedPhase{Phase: all[n].Phase})
			}
		}
	}
	for i := range result.Phases {
		p := &result.Phases[i]
		p.A, p.B = sides[0][p.Phase], sides[1][p.Phase]
		if p.A != nil && p.B != nil {
			difference := func(of func(*StartDistribution) float64) *float64 {
				d := math.Round((of(p.B)-of(p.A))*1000) / 1000
				return &d
			}
			p.P50MS = difference(func(d *StartDistribution) float64 { return d.P50MS })
			p.P95MS = difference(func(d *StartDistribution) float64 { return d.P95MS })
			p.MeanMS = difference(func(d *StartDistribution) float64 { return d.MeanMS })
		}
	}
	slices.SortFunc(result.Phases, func(x, y ComparedPhase) int { return phaseRank(x.Phase) - phaseRank(y.Phase) })
	return result, nil
}

// phaseRank is a phase's place in a start; the whole comes first.
func phaseRank(phase string) int {
	return slices.Index([]string{"total", "queue", "schedule", "credentials", "resolve", "pull", "unpack", "create", "start", "init"}, phase)
}

// Bounds of the lists of images and layers.
const (
	maxImages = 1000
	maxDigest = 1000
)

// Images lists the images that were started, those first on which most time
// was spent.
func (r *Reader) Images(ctx context.Context, tenant string, f StartFilter) (*ImageList, error) {
	c := f.conditions()
	rows, err := selectWhere[struct {
		Digest    string     `ch:"digest"`
		Image     string     `ch:"image"`
		Registry  string     `ch:"registry"`
		Region    string     `ch:"region"`
		Bytes     *int64     `ch:"bytes"`
		Starts    uint64     `ch:"starts"`
		Pulls     uint64     `ch:"pulls"`
		Functions uint64     `ch:"functions"`
		Hosts     uint64     `ch:"hosts"`
		PullNS    int64      `ch:"pull_ns"`
		UnpackNS  int64      `ch:"unpack_ns"`
		Hits      uint64     `ch:"hits"`
		Layers    uint64     `ch:"layers"`
		Loaded    int64      `ch:"loaded_bytes"`
		FirstSeen *time.Time `ch:"first_seen"`
		LastSeen  *time.Time `ch:"last_seen"`
	}](ctx, r, "images", where{c.list}, maxImages+1, with(args{"tenant": tenant, "limit": maxImages + 1}, c.args))
	if err != nil {
		return nil, err
	}
	list := &ImageList{Images: make([]Image, min(len(rows), maxImages)), Truncated: len(rows) > maxImages}
	for i := range list.Images {
		row := &rows[i]
		list.Images[i] = Image{
			Digest: row.Digest, Image: row.Image, Registry: row.Registry, Region: row.Region, Bytes: row.Bytes,
			Starts: row.Starts, Pulls: row.Pulls, Functions: row.Functions, Hosts: row.Hosts,
			PullMS: Millis(time.Duration(row.PullNS)), UnpackMS: Millis(time.Duration(row.UnpackNS)), LoadedBytes: row.Loaded,
			Layers: row.Layers, CacheHits: row.Hits, FirstSeen: utc(row.FirstSeen), LastSeen: utc(row.LastSeen),
		}
	}
	return list, nil
}

// ImageLayers lists the layers that starts needed, those first on which most
// time was spent.
func (r *Reader) ImageLayers(ctx context.Context, tenant string, f StartFilter) (*LayerList, error) {
	c := f.conditions()
	rows, err := selectWhere[struct {
		Digest     string `ch:"digest"`
		Size       int64  `ch:"size"`
		Starts     uint64 `ch:"starts"`
		Pulls      uint64 `ch:"pulls"`
		Hits       uint64 `ch:"hits"`
		Lazy       uint64 `ch:"lazy"`
		Functions  uint64 `ch:"functions"`
		DownloadNS int64  `ch:"download_ns"`
		UnpackNS   int64  `ch:"unpack_ns"`
	}](ctx, r, "layers", where{c.list}, maxDigest+1, with(args{"tenant": tenant, "limit": maxDigest + 1}, c.args))
	if err != nil {
		return nil, err
	}
	list := &LayerList{Layers: make([]LayerFigures, min(len(rows), maxDigest)), Truncated: len(rows) > maxDigest}
	for i := range list.Layers {
		row := &rows[i]
		list.Layers[i] = LayerFigures{
			Digest: row.Digest, Bytes: row.Size, Starts: row.Starts, Pulls: row.Pulls, CacheHits: row.Hits, Lazy: row.Lazy, Functions: row.Functions,
			DownloadMS: Millis(time.Duration(row.DownloadNS)), UnpackMS: Millis(time.Duration(row.UnpackNS)),
		}
	}
	return list, nil
}

package read_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// begin fills conn with n starts of three functions, some of them never ready,
// some of them two lives of one instance, with a pull in two pieces, two layers
// each, and the requests that they handled.
func begin(t testing.TB, conn driver.Conn, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	var starts []schema.ColdStartRow
	var phases []schema.PhaseRow
	var layers []schema.LayerRow
	var requests []schema.InvocationRow
	for i := range n {
		k := r.IntN(3)
		at := readtest.At(float64(i) * 97)
		row := schema.ColdStartRow{
			Tenant: readtest.Tenant, Namespace: "n", Function: fmt.Sprint("f", r.IntN(3)), Instance: fmt.Sprint("i", i), Version: new(fmt.Sprint("v", k)),
			Digest: new(fmt.Sprint("sha256:", k)), Host: new(fmt.Sprint("h", r.IntN(2))), Initialization: new("on-demand"), DemandedAt: &at,
			Image: new("app"), Registry: new("reg"), ImageBytes: new(int64(1000 * (k + 1))),
		}
		took := time.Duration(1+r.IntN(20_000)) * time.Millisecond
		switch i % 7 {
		case 5:
			row.StoppedAt, row.StopReason = new(at.Add(took)), new("start-failed")
		case 6: // came back
			again := row
			row.ReadyAt, row.StoppedAt = new(at.Add(took)), new(at.Add(time.Minute))
			again.Life, again.DemandedAt, again.ReadyAt = 1, new(at.Add(70*time.Second)), new(at.Add(71*time.Second))
			starts = append(starts, again)
			phases = append(phases, schema.PhaseRow{Tenant: readtest.Tenant, Namespace: "n", Function: row.Function, Instance: row.Instance, Phase: "init", Start: *again.DemandedAt, End: *again.ReadyAt, Revision: 1})
		default:
			row.ReadyAt = new(at.Add(took))
		}
		starts = append(starts, row)
		for piece := range 2 { // they overlap
			phases = append(phases, schema.PhaseRow{
				Tenant: readtest.Tenant, Namespace: "n", Function: row.Function, Instance: row.Instance, Phase: "pull",
				Start: at.Add(took * time.Duration(piece) / 10), End: at.Add(took * time.Duration(piece+2) / 10), Revision: 1,
			})
		}
		for l := range 2 {
			layer := schema.LayerRow{Tenant: readtest.Tenant, Namespace: "n", Function: row.Function, Instance: row.Instance, Digest: fmt.Sprint("sha256:l", k*l), Bytes: 100, Cache: "hit", Revision: 1}
			if i%2 == 0 {
				layer.Cache, layer.DownloadStart, layer.DownloadEnd = "miss", &at, new(at.Add(10*time.Millisecond))
				layer.UnpackStart, layer.UnpackEnd = layer.DownloadEnd, new(at.Add(15*time.Millisecond))
			}
			layers = append(layers, layer)
		}
		for q := range i % 3 {
			requests = append(requests, schema.InvocationRow{
				Tenant: readtest.Tenant, Namespace: "n", Function: row.Function, Instance: row.Instance, StartedAt: at.Add(took), RequestID: fmt.Sprint("r", i, "-", q),
				Version: row.Version, Status: new([]string{"ok", "error"}[q]), EndedAt: new(at.Add(took + time.Second)), DurationNS: new(int64(time.Second)),
			})
		}
	}
	readtest.Insert(t, conn, schema.ColdStarts, starts...)
	readtest.Insert(t, conn, schema.ColdStarts, starts[:n/2]...)
	readtest.Insert(t, conn, schema.Phases, phases...)
	readtest.Insert(t, conn, schema.Layers, layers...)
	readtest.Insert(t, conn, schema.Invocations, requests...)
	for i := range starts {
		starts[i].Tenant, starts[i].Version = "other", new("theirs")
	}
	readtest.Insert(t, conn, schema.ColdStarts, starts...)
}

// TestStartDistributions: counts, sums and histograms are those of the starts,
// by each group, over one server and two shards.
func TestStartDistributions(t *testing.T) {
	for name, conn := range map[string]driver.Conn{"one": readtest.DB(t), "two shards": readtest.Cluster(t)} {
		begin(t, conn, 80)
		r := read.New(conn)
		filter := read.StartFilter{Namespace: "n", Range: read.Range{Since: readtest.At(500)}}
		starts, _, err := r.ColdStarts(t.Context(), readtest.Tenant, filter)
		if err != nil {
			t.Fatal(err)
		}
		for group, of := range map[string]func(*read.ColdStart) string{
			"":               func(*read.ColdStart) string { return "" },
			"function":       func(s *read.ColdStart) string { return s.Namespace + "/" + s.Function },
			"version":        func(s *read.ColdStart) string { return s.Version },
			"digest":         func(s *read.ColdStart) string { return s.Digest },
			"host":           func(s *read.ColdStart) string { return s.Host },
			"initialization": func(s *read.ColdStart) string { return string(s.Initialization) },
			"registry":       func(s *read.ColdStart) string { return s.Registry },
			"region":         func(s *read.ColdStart) string { return s.Region },
			"hour":           func(s *read.ColdStart) string { return s.DemandedAt.Truncate(time.Hour).Format(time.RFC3339) },
		} {
			took := map[[2]string][]time.Duration{}
			for i := range starts {
				s := &starts[i]
				if s.ReadyAt == nil {
					continue
				}
				total := [2]string{of(s), "total"}
				took[total] = append(took[total], s.ReadyAt.Sub(*s.DemandedAt))
				active := map[string]time.Duration{}
				for _, p := range s.Phases {
					active[string(p.Name)] += p.End.Sub(p.Start)
				}
				for phase, d := range active {
					if phase == "pull" {
						d = d * 3 / 4 // a quarter of it is in both pieces
					}
					key := [2]string{of(s), phase}
					took[key] = append(took[key], d)
				}
			}
			got, truncated, err := r.StartDistributions(t.Context(), readtest.Tenant, filter, group)
			if err != nil || truncated || len(got) != len(took) {
				t.Fatalf("%s by %q: %d distributions, not %d, %v", name, group, len(got), len(took), err)
			}
			for _, d := range got {
				want := took[[2]string{d.Group, d.Phase}]
				var sum time.Duration
				for _, one := range want {
					sum += one
				}
				if int(d.Count) != len(want) || len(want) == 0 || d.MaxMS != read.Millis(slices.Max(want)) || d.MeanMS != read.Millis(sum/time.Duration(len(want))) && d.MeanMS-read.Millis(sum/time.Duration(len(want))) > 0.002 {
					t.Errorf("%s by %q: %+v of %v", name, group, d, want)
				}
				last, all := time.Duration(-1), uint64(0)
				for _, b := range d.Buckets {
					le := time.Duration(1<<62 - 1)
					if b.LeMS != nil {
						le = time.Duration(*b.LeMS * float64(time.Millisecond))
					}
					n := uint64(0)
					for _, one := range want {
						if one > last && one <= le {
							n++
						}
					}
					if n != b.Count {
						t.Errorf("%s by %q, %s %s: %d up to %s, not %d", name, group, d.Group, d.Phase, b.Count, le, n)
					}
					last, all = le, all+b.Count
				}
				if all != d.Count {
					t.Errorf("%d in buckets of %d", all, d.Count)
				}
			}
		}
	}
}

// TestCompareStarts sets two versions side by side.
func TestCompareStarts(t *testing.T) {
	conn := readtest.DB(t)
	begin(t, conn, 60)
	r := read.New(conn)
	c, err := r.CompareStarts(t.Context(), readtest.Tenant, read.StartFilter{Version: "v0"}, read.StartFilter{Version: "v2"})
	if err != nil || len(c.Phases) < 2 || c.Phases[0].Phase != "total" {
		t.Fatalf("%+v %v", c, err)
	}
	for _, p := range c.Phases {
		if p.A != nil && p.B != nil && (*p.P50MS-(p.B.P50MS-p.A.P50MS) > 0.01 || *p.MeanMS-(p.B.MeanMS-p.A.MeanMS) > 0.01) {
			t.Errorf("%+v", p)
		}
	}
	c, err = r.CompareStarts(t.Context(), readtest.Tenant, read.StartFilter{Version: "v0"}, read.StartFilter{Version: "theirs"})
	if err != nil || c.Phases[0].A == nil || c.Phases[0].B != nil || c.Phases[0].P50MS != nil {
		t.Errorf("%+v %v", c, err)
	}
}

// TestInstances lists lives piece by piece, in both orders, with what they handled.
func TestInstances(t *testing.T) {
	for name, conn := range map[string]driver.Conn{"one": readtest.DB(t), "two shards": readtest.Cluster(t)} {
		begin(t, conn, 60)
		r := read.New(conn)
		now := readtest.At(100_000)
		for _, slowest := range []bool{false, true} {
			q := read.InstanceQuery{Slowest: slowest, Limit: 17}
			var all []read.Instance
			seen := map[string]bool{}
			for {
				list, err := r.Instances(t.Context(), readtest.Tenant, q, now)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, list.Instances...)
				if list.NextCursor == "" {
					break
				}
				if q.After, err = read.ParseInstanceCursor(list.NextCursor, slowest); err != nil {
					t.Fatal(err)
				}
			}
			requests := uint64(0)
			states := map[string]int{}
			for n, i := range all {
				seen[fmt.Sprint(i.Instance, "/", i.Life)] = true
				states[i.State]++
				if i.Life == 0 {
					requests += i.Requests
				}
				if i.Errors > i.Requests || i.Open != 0 || (i.Requests > 0) != (i.LastActiveAt != nil) || i.Version == "theirs" {
					t.Errorf("%+v", i)
				}
				if n == 0 {
					continue
				}
				before := all[n-1]
				if !slowest && i.DemandedAt.After(*before.DemandedAt) || slowest && i.StartMS != nil && (before.StartMS == nil || *i.StartMS > *before.StartMS) {
					t.Errorf("%s: %+v after %+v", name, i, before)
				}
			}
			if len(all) != 68 || len(seen) != 68 || requests != 60 {
				t.Errorf("%s: %d lives, %d different ones, %d requests", name, len(all), len(seen), requests)
			}
			want := map[string]int{"failed": 8, "stopped": 8, "ready": 52}
			if diff := gocmp.Diff(want, states); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		list, err := r.Instances(t.Context(), readtest.Tenant, read.InstanceQuery{StartFilter: read.StartFilter{Version: "v1"}, States: []string{"failed", "starting"}, Limit: 100}, now)
		if err != nil || len(list.Instances) == 0 {
			t.Fatalf("%+v %v", list, err)
		}
		for _, i := range list.Instances {
			if i.State != "failed" || i.Version != "v1" {
				t.Errorf("%+v", i)
			}
		}
	}
}

// TestImages: images and layers with what was spent on them.
func TestImages(t *testing.T) {
	for name, conn := range map[string]driver.Conn{"one": readtest.DB(t), "two shards": readtest.Cluster(t)} {
		begin(t, conn, 60)
		r := read.New(conn)
		images, err := r.Images(t.Context(), readtest.Tenant, read.StartFilter{Namespace: "n"})
		if err != nil {
			t.Fatal(err)
		}
		var starts, layers, hits, pulls uint64
		for n, i := range images.Images {
			starts, layers, hits, pulls = starts+i.Starts, layers+i.Layers, hits+i.CacheHits, pulls+i.Pulls
			if i.Functions == 0 || i.Hosts == 0 || i.Bytes == nil || i.Image != "app" || i.PullMS <= 0 || i.FirstSeen.After(*i.LastSeen) ||
				n > 0 && i.PullMS > images.Images[n-1].PullMS {
				t.Errorf("%s: %+v", name, i)
			}
		}
		// Of an image whose k is 0 both layers are the same one.
		if starts != 68 || pulls != 60 || len(images.Images) != 3 || layers <= 60 || hits*2 > layers+20 || hits == 0 {
			t.Errorf("%s: %d starts, %d layers, %d hits: %+v", name, starts, layers, hits, images)
		}
		list, err := r.ImageLayers(t.Context(), readtest.Tenant, read.StartFilter{Digest: "sha256:2"})
		if err != nil || len(list.Layers) != 2 {
			t.Fatalf("%s: %+v %v", name, list, err)
		}
		for _, l := range list.Layers {
			if l.Pulls+l.CacheHits != l.Starts || l.DownloadMS != float64(l.Pulls*10) || l.UnpackMS != float64(l.Pulls*5) || l.Bytes != 100 {
				t.Errorf("%s: %+v", name, l)
			}
		}
	}
}

// TestFunctionVersions: figures and images of each version.
func TestFunctionVersions(t *testing.T) {
	conn := readtest.DB(t)
	begin(t, conn, 80)
	r := read.New(conn)
	list, err := r.FunctionVersions(t.Context(), readtest.Tenant, "n", "f1", read.Range{})
	if err != nil || len(list.Versions) != 3 {
		t.Fatalf("%+v %v", list, err)
	}
	functions, err := r.Functions(t.Context(), readtest.Tenant, read.Range{})
	if err != nil {
		t.Fatal(err)
	}
	var all, bad uint64
	for _, v := range list.Versions {
		all, bad = all+v.Invocations, bad+v.Errors
		if len(v.Digests) != 1 || v.Digests[0].Digest != "sha256:"+v.Version[1:] || v.Digests[0].Starts == 0 || v.P50MS == nil || *v.P50MS != 1000 || v.ErrorRatio != float64(v.Errors)/float64(v.Invocations) {
			t.Errorf("%+v", v)
		}
	}
	for _, f := range functions.Functions {
		if f.Function == "f1" && (f.Invocations != all || f.Errors != bad || f.ErrorRatio != float64(bad)/float64(all)) {
			t.Errorf("%+v, and of all versions %d and %d", f, all, bad)
		}
	}
}

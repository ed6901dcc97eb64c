package docker

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/coldscope/coldscope/internal/faas"
)

func needFiles(t *testing.T) {
	t.Helper()
	if _, err := os.ReadDir("/var/lib/docker/image/overlay2"); err != nil {
		t.Skipf("needs access to the files of a daemon with overlay2: %v", err)
	}
}

// truth is what a pull's own stream says of a layer. dockerd leaves out messages
// that come too soon after each other: then the next one bounds the fact.
type truth struct{ waiting, first, downloaded, extracting, complete time.Time }

func truthOf(stream []status, digest string) truth {
	var out truth
	set := func(t *time.Time, at time.Time) {
		if t.IsZero() {
			*t = at
		}
	}
	for _, s := range stream {
		if s.id == "" || !strings.HasPrefix(digest, "sha256:"+s.id) {
			continue
		}
		switch s.text {
		case "Pulling fs layer":
			set(&out.waiting, s.at)
		case "Downloading":
			set(&out.first, s.at)
		case "Download complete", "Verifying Checksum":
			set(&out.downloaded, s.at)
		case "Extracting":
			set(&out.extracting, s.at)
		case "Pull complete":
			set(&out.complete, s.at)
		}
	}
	set(&out.complete, stream[len(stream)-1].at)
	set(&out.extracting, out.complete)
	set(&out.downloaded, out.extracting)
	set(&out.first, out.downloaded)
	set(&out.waiting, out.first)
	return out
}

func phaseOf(t *testing.T, events []faas.Event, name faas.Phase) faas.PhaseDone {
	t.Helper()
	for _, e := range events {
		if p, ok := e.Data.(faas.PhaseDone); ok && p.Name == name {
			return p
		}
	}
	t.Fatalf("no phase %s in %v", name, ids(events))
	return faas.PhaseDone{}
}

func ids(events []faas.Event) (out []string) {
	for _, e := range events {
		out = append(out, e.ID)
	}
	return out
}

func layersOf(events []faas.Event) (out []faas.LayerPulled) {
	for _, e := range events {
		if l, ok := e.Data.(faas.LayerPulled); ok {
			out = append(out, l)
		}
	}
	return out
}

// TestPull compares what the watcher makes of files with what the daemon tells
// who asked for the pull.
func TestPull(t *testing.T) {
	d := newDaemon(t)
	needFiles(t)
	r := watch(t, nil).ready()
	layers := []v1.Layer{noiseLayer(t, 20<<20), noiseLayer(t, 3<<20), noiseLayer(t, 3000), d.app}
	ref := d.push("pull", layers...)
	stream := d.pull(ref)
	asked, pulled := stream[0].at, stream[len(stream)-1].at
	createCall := time.Now()
	id := d.create(runOptions{ref: ref, args: []string{"wait"}, memory: 64 << 20})
	createReturn := time.Now()
	d.start(id)
	startReturn := time.Now()
	r.await(id, "start")
	events := r.of(id)

	resolve, pull, unpack := phaseOf(t, events, faas.PhaseResolve), phaseOf(t, events, faas.PhasePull), phaseOf(t, events, faas.PhaseUnpack)
	create, start := phaseOf(t, events, faas.PhaseCreate), phaseOf(t, events, faas.PhaseStart)
	got := layersOf(events)
	if len(got) != len(layers) {
		t.Fatalf("%d layers, want %d: %v", len(got), len(layers), got)
	}
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	ms := func(x time.Time) string { return fmt.Sprintf("%.1f", float64(x.Sub(asked).Microseconds())/1000) }
	row := func(what string, caller, watcher time.Time) {
		fmt.Fprintf(table, "%s\t%s\t%s\t%+.1f\t\n", what, ms(caller), ms(watcher), float64(watcher.Sub(caller).Microseconds())/1000)
	}
	fmt.Fprintf(table, "fact (ms from the pull call)\tcaller saw\twatcher says\tdifference\t\n")
	first, lastDownload := time.Time{}, time.Time{}
	var lines []func()
	for n, l := range got {
		digest, err := layers[n].Digest()
		if err != nil {
			t.Fatal(err)
		}
		size, err := layers[n].Size()
		if err != nil {
			t.Fatal(err)
		}
		if l.Digest != digest.String() || l.Bytes != size || l.Cache != "miss" {
			t.Errorf("layer %d: %+v, want %s of %d bytes, missed", n, l, digest, size)
		}
		tr := truthOf(stream, l.Digest)
		if first.IsZero() {
			first = tr.waiting
		}
		lastDownload = later(lastDownload, tr.downloaded)
		name := fmt.Sprintf("layer %d (%d bytes)", n, size)
		lines = append(lines, func() {
			row(name+" download begins (Pulling fs layer)", tr.waiting, l.DownloadStart)
			row(name+" download ends (Download complete)", tr.downloaded, l.DownloadEnd)
			row(name+" unpack begins (first Extracting)", tr.extracting, l.UnpackStart)
			row(name+" unpack ends (Pull complete)", tr.complete, l.UnpackEnd)
		})
		// What the watcher says of one layer lies within what the caller saw
		// before and after it, whatever the load.
		inside(t, name+" download", l.DownloadStart, l.DownloadEnd, asked, tr.downloaded)
		inside(t, name+" unpack", l.UnpackStart, l.UnpackEnd, l.DownloadEnd, tr.complete)
		if n > 0 && l.UnpackStart.Before(got[n-1].UnpackEnd.Add(-grain)) {
			t.Errorf("%s is unpacked before the one below it", name)
		}
	}
	row("resolve ends = pull begins (first Pulling fs layer)", first, pull.Start)
	row("pull ends (last Download complete)", lastDownload, pull.End)
	row("unpack begins (first Extracting)", truthOf(stream, got[0].Digest).extracting, unpack.Start)
	row("unpack ends (stream's end)", pulled, unpack.End)
	for _, l := range lines {
		l()
	}
	row("create begins (call)", createCall, create.Start)
	row("create ends (return)", createReturn, create.End)
	row("start begins (call)", createReturn, start.Start)
	row("start ends (return)", startReturn, start.End)
	table.Flush()
	t.Logf("resolve (manifest only): %s to %s\n%s", ms(resolve.Start), ms(resolve.End), text.String())

	inside(t, "resolve", resolve.Start, resolve.End, asked, first)
	inside(t, "create", create.Start, create.End, createCall, createReturn)
	inside(t, "start", start.Start, start.End, createReturn, startReturn)
	demanded := r.await(id, "demanded")
	if !demanded.Time.Equal(resolve.Start) {
		t.Errorf("demanded at %s, the manifest was asked for at %s", demanded.Time, resolve.Start)
	}
	m, _ := d.registry.Lookup("pull", "v1")
	want := faas.Demanded{
		Initialization: faas.OnDemand, Image: ref, Digest: m.Digest.String(), ImageBytes: m.Bytes,
		Registry: d.registry.Addr(), MemoryLimit: 64 << 20,
	}
	if diff := cmp.Diff(want, demanded.Data); diff != "" {
		t.Errorf("demanded (-want +got):\n%s", diff)
	}

	// The second start finds the image here.
	second := d.run(runOptions{ref: ref, args: []string{"wait"}})
	r.await(second, "start")
	events = r.of(second)
	for _, l := range layersOf(events) {
		if l.Cache != "hit" || !l.DownloadStart.IsZero() || !l.UnpackStart.IsZero() {
			t.Errorf("second start: %+v, want a hit", l)
		}
	}
	if n := len(layersOf(events)); n != len(layers) {
		t.Errorf("second start: %d layers, want %d", n, len(layers))
	}
	for _, fact := range []string{"resolve", "pull", "unpack"} {
		if r.has(second, fact) {
			t.Errorf("second start has a phase %s", fact)
		}
	}
	if at := r.await(second, "demanded").Time; at.Before(pulled) {
		t.Errorf("second start was demanded at %s, before the first", at)
	}
}

// inside checks from <= start <= end <= to, within the grain of files' stamps.
func inside(t *testing.T, what string, start, end, from, to time.Time) {
	t.Helper()
	if start.Before(from.Add(-grain)) || end.Before(start) || end.After(to.Add(grain)) {
		t.Errorf("%s: %s to %s is not within %s to %s", what, start, end, from, to)
	}
}

// TestParallelPulls pulls two images at once that share their lowest layer.
func TestParallelPulls(t *testing.T) {
	d := newDaemon(t)
	needFiles(t)
	r := watch(t, nil).ready()
	shared := noiseLayer(t, 6<<20)
	own := [][]v1.Layer{
		{shared, noiseLayer(t, 4<<20), d.app},
		{shared, noiseLayer(t, 4<<20+77), noiseLayer(t, 2<<20), buildApp(t, 99)},
	}
	refs := []string{d.push("left", own[0]...), d.push("right", own[1]...)}
	streams := make([][]status, 2)
	var pulls sync.WaitGroup
	for n := range refs {
		pulls.Go(func() { streams[n] = d.pull(refs[n]) })
	}
	pulls.Wait()
	if t.Failed() {
		t.FailNow()
	}
	for n, ref := range refs {
		id := d.run(runOptions{ref: ref, args: []string{"wait"}})
		r.await(id, "start")
		got := layersOf(r.of(id))
		if len(got) != len(own[n]) {
			t.Fatalf("image %d: %d layers, want %d", n, len(got), len(own[n]))
		}
		asked := streams[n][0].at
		pull := phaseOf(t, r.of(id), faas.PhasePull)
		for i, l := range got {
			size, err := own[n][i].Size()
			if err != nil {
				t.Fatal(err)
			}
			tr := truthOf(streams[n], l.Digest)
			t.Logf("image %d layer %d (%d bytes): download ends %+.1f ms, unpack ends %+.1f ms from what the caller saw", n, i, size,
				float64(l.DownloadEnd.Sub(tr.downloaded).Microseconds())/1000, float64(l.UnpackEnd.Sub(tr.complete).Microseconds())/1000)
			if l.Bytes != size || l.Cache != "miss" {
				t.Errorf("image %d layer %d: %+v, want %d bytes, missed", n, i, l, size)
			}
			inside(t, fmt.Sprintf("image %d layer %d download", n, i), l.DownloadStart, l.DownloadEnd, asked, tr.downloaded)
			inside(t, fmt.Sprintf("image %d layer %d unpack", n, i), l.UnpackStart, l.UnpackEnd, l.DownloadEnd, tr.complete)
			inside(t, fmt.Sprintf("image %d layer %d in pull", n, i), l.DownloadStart, l.DownloadEnd, pull.Start, pull.End)
		}
	}
}

// TestUnreadable has everything but pulls when the daemon's files cannot be read.
func TestUnreadable(t *testing.T) {
	d := newDaemon(t)
	ref := d.push("unreadable", d.app)
	d.pull(ref)
	nowhere := t.TempDir()
	r := watch(t, func(o *Options) { o.DataRoot = nowhere })
	id := d.run(runOptions{ref: ref, args: []string{"exit", "0"}})
	r.await(id, "stopped")
	demanded := r.await(id, "demanded").Data.(faas.Demanded)
	if demanded.Digest == "" || demanded.Digest != digestOf(ref) {
		t.Errorf("digest %q, want that of %s", demanded.Digest, ref)
	}
	facts := r.facts(id)
	if slices.ContainsFunc(facts, func(f string) bool { return strings.HasPrefix(f, "layer/") || f == "pull" }) {
		t.Errorf("facts of files that cannot be read: %v", facts)
	}
}

package containerd

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestCases replays recorded streams. A case has lines "MILLISECOND WHAT …":
//
//	image M A=BYTES B=BYTES          an image's manifest and its layers
//	T lease L holds X Y              a poll sees a lease with blobs; its first line's time is its creation
//	T no-lease L                     a poll sees that it is gone
//	T downloading A@T B@T            a poll sees these downloads, begun then
//	T prepare A, T unpacked A        snapshots of a layer
//	T stored X                       a blob is in the content store
//	T dropped X                      and is no more
//	T named M                        an image gets a name
//	T container M [sandbox T] [lazy] [missed]
//
// After each container, the lines that begin with ">" say what is told.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var kept []string
			p := player{pulls: newPulls(), leases: map[string]lease{}, stored: map[string]time.Time{}, unpacked: map[string]time.Time{}, images: map[string][]layerFacts{}}
			for line := range strings.Lines(string(raw)) {
				if line = strings.TrimRight(line, "\n"); strings.HasPrefix(line, ">") {
					continue
				}
				kept = append(kept, line)
				if fields := strings.Fields(line); len(fields) > 0 && fields[0] != "#" {
					kept = append(kept, p.play(t, fields)...)
				}
			}
			if diff := cmp.Diff(strings.Split(strings.TrimRight(string(raw), "\n"), "\n"), kept); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

type player struct {
	pulls            *pulls
	leases           map[string]lease
	stored, unpacked map[string]time.Time
	images           map[string][]layerFacts
}

var caseZero = time.Unix(1_800_000_000, 0)

func caseTime(t *testing.T, s string) time.Time {
	ms, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return caseZero.Add(time.Duration(ms * 1e6))
}

func (p *player) play(t *testing.T, f []string) (told []string) {
	if f[0] == "image" {
		for _, l := range f[2:] {
			name, size, _ := strings.Cut(l, "=")
			bytes, _ := strconv.ParseInt(size, 10, 64)
			p.images[f[1]] = append(p.images[f[1]], layerFacts{digest: name, bytes: bytes})
		}
		return nil
	}
	at, args := caseTime(t, f[0]), f[2:]
	switch f[1] {
	case "lease":
		l, ok := p.leases[args[0]]
		if !ok {
			l.created = at
		}
		l.contents = args[2:]
		p.leases[args[0]] = l
		p.pulls.held("", p.leases, at)
	case "no-lease":
		delete(p.leases, args[0])
		p.pulls.held("", p.leases, at)
	case "downloading":
		started := map[string]time.Time{}
		for _, a := range args {
			name, since, _ := strings.Cut(a, "@")
			started[name] = caseTime(t, since)
		}
		p.pulls.statuses("", started, at)
	case "prepare":
		p.pulls.prepared.put(object{"", args[0]}, at)
	case "unpacked":
		p.unpacked[args[0]] = at
	case "stored":
		p.stored[args[0]] = at
	case "dropped":
		delete(p.stored, args[0])
	case "named":
		p.pulls.named("", args[0], at)
	case "container":
		return p.container(t, at, args)
	default:
		t.Fatalf("unknown line %v", f)
	}
	return nil
}

func (p *player) container(t *testing.T, at time.Time, args []string) []string {
	f := startFacts{created: at, manifest: p.stored[args[0]]}
	for i, a := range args {
		switch a {
		case "sandbox":
			f.sandboxed = caseTime(t, args[i+1])
		case "lazy":
			f.lazy = true
		case "missed":
			f.missed = true
		}
	}
	made, unknown := p.pulls.claim("", args[0], at)
	f.pull, f.missed = made, f.missed && unknown
	for _, l := range p.images[args[0]] {
		o := object{"", l.digest}
		seen, _ := p.pulls.downloads.get(o)
		l.ingested, l.gone = seen.started, seen.gone
		l.prepared, _ = p.pulls.prepared.get(o)
		l.stored, l.unpacked = p.stored[l.digest], p.unpacked[l.digest]
		f.layers = append(f.layers, l)
	}
	r := reconstruct(&f)
	if f.missed && !r.from.IsZero() {
		p.pulls.missed("", args[0], at)
	}
	ms := func(t time.Time) string {
		if t.IsZero() {
			return "?"
		}
		return strconv.FormatFloat(float64(t.Sub(caseZero).Microseconds())/1000, 'f', -1, 64)
	}
	out := []string{"> demanded " + ms(r.demanded)}
	for _, l := range r.layers {
		line := fmt.Sprintf("> layer %s %d %s", l.Digest, l.Bytes, l.Cache)
		if !l.DownloadEnd.IsZero() {
			line += " download " + ms(l.DownloadStart) + "-" + ms(l.DownloadEnd)
		}
		if !l.UnpackEnd.IsZero() {
			line += " unpack " + ms(l.UnpackStart) + "-" + ms(l.UnpackEnd)
		}
		out = append(out, line)
	}
	for _, ph := range r.phases {
		line := "> phase " + string(ph.Name) + " " + ms(ph.Start) + "-" + ms(ph.End)
		if b := ph.Attributes["bytes"]; b != "" {
			line += " bytes " + b
		}
		out = append(out, line)
	}
	return out
}

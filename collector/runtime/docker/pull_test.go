package docker

import (
	"bufio"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// TestReconstruct runs the cases in testdata/pulls. A case's files say when
// what happened, in seconds:
//
//	image     stored AT [manifest START END]
//	          NAME [size N] unpack START END     a layer, lowest first
//	blobs     SIZE CREATED WRITTEN REMOVED
//	want      what reconstruct makes of it
func TestReconstruct(t *testing.T) {
	cases, err := filepath.Glob("testdata/pulls/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			part := map[string]string{}
			for _, f := range archive.Files {
				part[f.Name] = string(f.Data)
			}
			img := readImage(t, part["image"])
			got := writePull(reconstruct(&img, readBlobs(t, part["blobs"])))
			if diff := cmp.Diff(part["want"], got); diff != "" {
				t.Errorf("%s(-want +got):\n%s", archive.Comment, diff)
			}
		})
	}
}

var zero = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	if text == "-" {
		return time.Time{}
	}
	s, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return zero.Add(time.Duration(s * 1e9).Round(time.Millisecond))
}

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func fieldsOf(text string) (all [][]string) {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) > 0 {
			all = append(all, f)
		}
	}
	return all
}

func readImage(t *testing.T, text string) (img imageFiles) {
	t.Helper()
	for _, f := range fieldsOf(text) {
		switch f[0] {
		case "stored":
			img.stored = at(t, f[1])
			if len(f) > 2 {
				img.manifest = interval{at(t, f[3]), at(t, f[4])}
			}
		default:
			l := layerFile{digest: f[0]}
			if f[1] == "size" {
				l.bytes = number(t, f[2])
				f = f[2:]
			}
			l.unpack = interval{at(t, f[2]), at(t, f[3])}
			img.layers = append(img.layers, l)
		}
	}
	return img
}

func readBlobs(t *testing.T, text string) (blobs []blob) {
	t.Helper()
	for _, f := range fieldsOf(text) {
		blobs = append(blobs, blob{size: number(t, f[0]), created: at(t, f[1]), written: at(t, f[2]), removed: at(t, f[3])})
	}
	return blobs
}

func writePull(p *pull) string {
	if p == nil {
		return "no pull\n"
	}
	sec := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return strconv.FormatFloat(t.Sub(zero).Seconds(), 'f', 3, 64)
	}
	var b strings.Builder
	for _, i := range []struct {
		name string
		interval
	}{{"resolve", p.resolve}, {"pull", p.pull}, {"unpack", p.unpack}} {
		fmt.Fprintf(&b, "%s %s %s\n", i.name, sec(i.start), sec(i.end))
	}
	for _, l := range p.layers {
		fmt.Fprintf(&b, "%s %s", l.Digest, l.Cache)
		if l.Cache == "miss" {
			fmt.Fprintf(&b, " %d download %s %s unpack %s %s", l.Bytes, sec(l.DownloadStart), sec(l.DownloadEnd), sec(l.UnpackStart), sec(l.UnpackEnd))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

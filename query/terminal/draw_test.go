package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/query/read"
)

// load reads an answer that the API's own golden files hold.
func load[T any](t *testing.T, name string) *T {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "api", "testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		t.Fatal(err)
	}
	return v
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if os.Getenv("COLDSCOPE_UPDATE") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; look at it, then COLDSCOPE_UPDATE=1 go test ./query/terminal (-want +got):\n%s", path, diff)
	}
}

func TestDraw(t *testing.T) {
	for _, o := range []Options{{Width: 40}, {Width: 80}, {Width: 140}, {Width: 140, Color: true}} {
		suffix := fmt.Sprintf("_%d", o.Width)
		if o.Color {
			suffix += "_color"
		}
		draw := func(name string, f func(*bytes.Buffer) error) {
			t.Run(name+suffix, func(t *testing.T) {
				var out bytes.Buffer
				if err := f(&out); err != nil {
					t.Fatal(err)
				}
				for line := range strings.Lines(uncoloured(out.String())) {
					if w := textWidth(strings.TrimSuffix(line, "\n")); w > o.Width {
						t.Errorf("%d columns: %q", w, line)
					}
				}
				if o.Color == !strings.Contains(out.String(), "\x1b") {
					t.Errorf("colour: %v", !o.Color)
				}
				golden(t, name+suffix, out.String())
			})
		}
		for _, name := range []string{"request_cold", "request_waiter", "request_failed", "request_running", "request_twice", "request_no_start"} {
			draw(name, func(b *bytes.Buffer) error { return Request(b, load[read.Page](t, name), o) })
		}
		for _, name := range []string{"coldstarts", "coldstarts_none"} {
			draw(name, func(b *bytes.Buffer) error { return ColdStarts(b, load[read.ColdStartStats](t, name), o) })
		}
	}
}

// uncoloured takes the colours away that the package itself writes.
func uncoloured(text string) string {
	for {
		at := strings.Index(text, "\x1b[")
		if at < 0 {
			return text
		}
		end := strings.IndexByte(text[at:], 'm')
		text = text[:at] + text[at+end+1:]
	}
}

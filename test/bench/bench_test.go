package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coldscope/coldscope/test/loss/rig"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == rig.SinkCommand {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err := rig.SinkMain(ctx, os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestFigures: the command gives figures of today's collector. What they are
// is for `make bench` on a machine that does nothing else.
func TestFigures(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and measures the collector")
	}
	file := filepath.Join(t.TempDir(), "figures.json")
	var table strings.Builder
	err := run(t.Context(), []string{"-run", "^(docker|cri|steady)$", "-size", "2", "-seconds", "1s", "-dir", t.TempDir(), "-o", file}, &table, io.Discard)
	if err != nil {
		t.Fatalf("%v\n%s", err, table.String())
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got Figures
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	positive := map[string]bool{}
	for _, r := range got.Results {
		positive[r.Unit] = positive[r.Unit] || r.Figure > 0
	}
	for _, unit := range []string{"CPU s/GB", "MB peak RSS", "cores", "ms"} {
		if !positive[unit] {
			t.Errorf("no figure in %s:\n%s", unit, table.String())
		}
	}
	for _, want := range []string{"machine: ", "cores", "vlagent", "read CRI"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, table.String())
		}
	}
}

package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/coldscope/coldscope/internal/clickhouse/embedded"
)

func TestMain(m *testing.M) {
	embedded.RunChildIfAsked()
	os.Exit(m.Run())
}

// TestRun measures every variant on a handful of lines. The run compares their
// answers.
func TestRun(t *testing.T) {
	var out, progress bytes.Buffer
	if err := run(t.Context(), []string{"-lines", "5000", "-block", "2500", "-asked", "1", "-calm", "10ms", "-dir", t.TempDir()}, &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	for _, v := range variants() {
		if !strings.Contains(out.String(), fmt.Sprintf("| %s | %s |", v.name, v.about)) {
			t.Errorf("the report has no %s:\n%s", v.name, out.String())
		}
	}
	t.Log(out.String())
}

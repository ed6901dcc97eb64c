package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"
)

// machine says on what the figures were had.
func machine() string {
	model := runtime.GOARCH
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel := runtime.GOOS
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	load := "?"
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		load, _, _ = strings.Cut(string(b), " ")
	}
	return fmt.Sprintf("%d cores, %s, %s, %s, load %s", runtime.NumCPU(), model, kernel, runtime.Version(), load)
}

// published are figures of others, from their own machines: they say what is
// usual, not who wins. Processor seconds per GB of log file: one core for 1 GB
// of files at the rate that each was published with.
const published = `context, published by others for their own machines (CPU s/GB of file):
  vlagent 5.8 (docker) 8.2 (CRI) · Fluent Bit 12-17 · OpenTelemetry Collector 35 · Promtail 54-64
`

func (b *bench) print(w io.Writer, machine string) {
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "what\tfigure\tunit\ttarget\tratio\tstate\tnote")
	for _, r := range b.results {
		figure, target, ratio := "-", "-", "-"
		if r.Unit != "" {
			figure = short(r.Figure)
		}
		if r.AtLeast > 0 {
			target = "≥ " + short(r.AtLeast)
			ratio = fmt.Sprintf("%.2f", r.Figure/r.AtLeast)
		}
		if r.Target > 0 {
			target = short(r.Target)
			if r.Unit != "" {
				ratio = fmt.Sprintf("%.2f", r.Figure/r.Target)
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, figure, r.Unit, target, ratio, r.State, r.Note)
	}
	_ = t.Flush() // to a terminal
	fmt.Fprintf(w, "\n%smachine: %s\n", published, machine)
}

func short(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

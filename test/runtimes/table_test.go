package runtimes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coldscope/coldscope/internal/faas"
)

// TablesEnv names a directory into which the tables are written as Markdown.
const TablesEnv = "COLDSCOPE_TABLES"

// What both say may differ by: a machine with two loaded cores stamps late.
const (
	slack      = 500 * time.Millisecond
	slackShare = 0.25 // of how long the fact took
)

// comparison puts what a platform said of an instance and what was seen from
// outside side by side.
type comparison struct {
	rows     [][5]string // fact, part, platform, runtime, difference
	last     string      // the last row's fact
	missing  []string    // what must be seen from outside and was not
	wrong    []string    // what is not the same
	grossly  []string    // times that differ by more than slack
	origin   time.Time
	platform []faas.Event
	runtime  []faas.Event
}

const nothing = "–"

// compare compares the accounts of one start. needed are the facts that must be
// visible from outside; apart from them, what only the platform can know may
// be missing. Phases in different are not the same interval for both, and are
// shown, but not held against each other.
func compare(platform, runtime []faas.Event, needed, different []faas.Phase) *comparison {
	c := &comparison{platform: platform, runtime: runtime}
	_, c.origin, _ = one[faas.Demanded](platform, "demanded")
	c.demanded()
	for _, name := range faas.Phases {
		c.phase(name, slices.Contains(needed, name), slices.Contains(different, name))
	}
	c.image()
	c.layers()
	c.ready()
	c.stopped()
	return c
}

func (c *comparison) row(fact, part, platform, runtime, difference string) {
	shown := fact
	if fact == c.last {
		shown = ""
	}
	c.last = fact
	c.rows = append(c.rows, [5]string{shown, part, platform, runtime, difference})
}

// value compares something that has to be the same. A platform that says
// nothing of it is no contradiction.
func value[T comparable](c *comparison, fact, part string, platform, runtime T) {
	var zero T
	show := func(v T) string {
		if v == zero {
			return nothing
		}
		return short(fmt.Sprint(v))
	}
	difference := ""
	switch {
	case platform == runtime:
	case platform == zero:
		difference = "runtime only"
	case runtime == zero:
		difference = "platform only"
		c.missing = append(c.missing, fact+": "+part)
	default:
		difference = "differs"
		c.wrong = append(c.wrong, fmt.Sprintf("%s: %s is %v for the platform and %v for the runtime", fact, part, platform, runtime))
	}
	c.row(fact, part, show(platform), show(runtime), difference)
}

// short keeps of a digest what tells it from others.
func short(s string) string {
	if at := strings.Index(s, "sha256:"); at >= 0 && len(s) >= at+19 {
		return s[:at+19]
	}
	return s
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond))
}

func signed(d time.Duration) string {
	return fmt.Sprintf("%+.1f", float64(d)/float64(time.Millisecond))
}

// at shows a time as milliseconds since the platform's demand.
func (c *comparison) at(t time.Time) string {
	if t.IsZero() {
		return nothing
	}
	return milliseconds(t.Sub(c.origin))
}

// times compares two times of a fact that took so long.
func (c *comparison) times(fact, part string, platform, runtime time.Time, took time.Duration, held bool) {
	difference := nothing
	if !platform.IsZero() && !runtime.IsZero() {
		d := runtime.Sub(platform)
		difference = signed(d)
		if held && d.Abs() > slack+time.Duration(slackShare*float64(took)) {
			c.grossly = append(c.grossly, fmt.Sprintf("%s: %s differs by %v", fact, part, d))
		}
	}
	c.row(fact, part, c.at(platform), c.at(runtime), difference)
}

// interval compares when something began and ended.
func (c *comparison) interval(fact, what string, p, r [2]time.Time, held bool) {
	took := p[1].Sub(p[0])
	c.times(fact, what+"begin", p[0], r[0], took, held)
	c.times(fact, what+"end", p[1], r[1], took, held)
	show, difference := [2]string{nothing, nothing}, nothing
	for n, i := range [][2]time.Time{p, r} {
		if !i[0].IsZero() && !i[1].IsZero() {
			show[n] = milliseconds(i[1].Sub(i[0]))
		}
	}
	if show[0] != nothing && show[1] != nothing {
		d := r[1].Sub(r[0]) - took
		difference = signed(d)
		if held && d.Abs() > slack+time.Duration(slackShare*float64(took)) {
			c.grossly = append(c.grossly, fmt.Sprintf("%s: it took %v longer for the runtime than for the platform (%v)", fact, d, took))
		}
	}
	c.row(fact, what+"took", show[0], show[1], difference)
}

func (c *comparison) demanded() {
	p, _, _ := one[faas.Demanded](c.platform, "demanded")
	r, at, ok := one[faas.Demanded](c.runtime, "demanded")
	if !ok {
		c.missing = append(c.missing, "demanded")
	}
	// The first that is seen from outside comes behind all that the platform does by itself.
	c.times("demanded", "at", c.origin, at, 0, false)
	if ok && at.Before(c.origin.Add(-slack)) {
		c.grossly = append(c.grossly, fmt.Sprintf("demanded: %v before the platform's", c.origin.Sub(at)))
	}
	value(c, "demanded", "initialization", p.Initialization, r.Initialization)
	value(c, "demanded", "digest", p.Digest, r.Digest)
	value(c, "demanded", "image bytes", p.ImageBytes, r.ImageBytes)
	value(c, "demanded", "registry", p.Registry, r.Registry)
	value(c, "demanded", "memory limit", p.MemoryLimit, r.MemoryLimit)
	c.row("demanded", "request", yes(p.RequestID != ""), yes(r.RequestID != ""), "platform only")
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return nothing
}

func (c *comparison) phase(name faas.Phase, needed, different bool) {
	p, _, isP := one[faas.PhaseDone](c.platform, string(name))
	r, _, isR := one[faas.PhaseDone](c.runtime, string(name))
	switch {
	case !isP && !isR && !needed:
		c.row(string(name), "", nothing, nothing, "neither says")
		return
	case !isR && needed:
		c.missing = append(c.missing, "phase "+string(name))
	}
	c.interval(string(name), "", [2]time.Time{p.Start, p.End}, [2]time.Time{r.Start, r.End}, !different)
	if !isR && !needed {
		c.rows[len(c.rows)-3][4] = "platform only"
	}
}

// image compares from when to when the image was brought here, whatever each
// calls a part of that: a platform's pull contains how the runtime resolves,
// and may contain how it unpacks.
func (c *comparison) image() {
	span := func(events []faas.Event, phases ...faas.Phase) (at [2]time.Time) {
		for _, name := range phases {
			d, _, ok := one[faas.PhaseDone](events, string(name))
			if ok && at[0].IsZero() {
				at[0] = d.Start
			}
			if ok && d.End.After(at[1]) {
				at[1] = d.End
			}
		}
		return at
	}
	p := span(c.platform, faas.PhasePull, faas.PhaseUnpack)
	r := span(c.runtime, faas.PhaseResolve, faas.PhasePull, faas.PhaseUnpack)
	if !r[0].IsZero() {
		c.interval("image here", "", p, r, true)
	}
}

func (c *comparison) layers() {
	layers := func(events []faas.Event) (digests []string, of map[string]faas.LayerPulled) {
		of = map[string]faas.LayerPulled{}
		for _, e := range events {
			if d, ok := e.Data.(faas.LayerPulled); ok {
				if _, again := of[d.Digest]; !again {
					digests = append(digests, d.Digest)
				}
				of[d.Digest] = d
			}
		}
		return digests, of
	}
	digests, platform := layers(c.platform)
	seen, runtime := layers(c.runtime)
	if len(seen) == 0 {
		c.missing = append(c.missing, "layers")
	}
	for _, d := range seen {
		if _, ok := platform[d]; !ok && len(digests) > 0 {
			c.wrong = append(c.wrong, "layer "+d+": the platform knows of none such")
		}
	}
	if len(digests) == 0 {
		digests = seen // this platform knows of none
	}
	for n, d := range digests {
		p, isP := platform[d]
		r, isR := runtime[d]
		if !isR {
			c.missing = append(c.missing, "layer "+d)
		}
		fact := fmt.Sprintf("layer %d", n+1)
		value(c, fact, "digest", p.Digest, r.Digest)
		value(c, fact, "bytes", p.Bytes, r.Bytes)
		if r.Bytes == 0 {
			c.missing = append(c.missing, fact+": bytes")
		}
		value(c, fact, "cache", p.Cache, r.Cache)
		if r.Cache == "hit" && (!isP || p.Cache == "hit") {
			continue
		}
		c.interval(fact, "download ", [2]time.Time{p.DownloadStart, p.DownloadEnd}, [2]time.Time{r.DownloadStart, r.DownloadEnd}, true)
		c.interval(fact, "unpack ", [2]time.Time{p.UnpackStart, p.UnpackEnd}, [2]time.Time{r.UnpackStart, r.UnpackEnd}, true)
		if isR && (r.DownloadEnd.IsZero() || r.UnpackEnd.IsZero()) {
			c.missing = append(c.missing, fact+": times")
		}
	}
}

func (c *comparison) ready() {
	_, p, _ := one[faas.Ready](c.platform, "ready")
	_, r, ok := one[faas.Ready](c.runtime, "ready")
	if !ok {
		c.missing = append(c.missing, "ready")
	}
	c.times("ready", "at", p, r, p.Sub(c.origin), true)
}

func (c *comparison) stopped() {
	p, atP, _ := one[faas.Stopped](c.platform, "stopped")
	r, atR, ok := one[faas.Stopped](c.runtime, "stopped")
	if !ok {
		c.missing = append(c.missing, "stopped")
		return
	}
	c.times("stopped", "at", atP, atR, 2*time.Second, true) // the platform's is when its call has returned
	code := func(s faas.Stopped) string {
		if s.ExitCode == nil {
			return ""
		}
		return strconv.Itoa(*s.ExitCode)
	}
	c.row("stopped", "reason", p.Reason, r.Reason, "")
	value(c, "stopped", "exit code", code(p), code(r))
	value(c, "stopped", "out of memory", p.OOM, r.OOM)
	difference := nothing
	if p.MemoryPeak > 0 {
		difference = fmt.Sprintf("%+d", r.MemoryPeak-p.MemoryPeak)
		if r.MemoryPeak < p.MemoryPeak*3/4 || r.MemoryPeak > p.MemoryPeak*4/3+8<<20 {
			c.wrong = append(c.wrong, fmt.Sprintf("stopped: memory peak is %d for the platform and %d for the runtime", p.MemoryPeak, r.MemoryPeak))
		}
	}
	if r.MemoryPeak == 0 {
		c.missing = append(c.missing, "stopped: memory peak")
	}
	if r.ExitCode == nil {
		c.missing = append(c.missing, "stopped: exit code")
	}
	c.row("stopped", "memory peak", strconv.FormatInt(p.MemoryPeak, 10), strconv.FormatInt(r.MemoryPeak, 10), difference)
	c.row("stopped", "CPU seconds", fmt.Sprintf("%.2f", p.CPUTime), fmt.Sprintf("%.2f", r.CPUTime), "")
}

// report fails the test for what is missing or not the same, logs the table,
// and writes it where TablesEnv says.
func (c *comparison) report(t *testing.T, title string) {
	t.Helper()
	head := [5]string{"fact", "", "platform", "runtime", "difference"}
	t.Logf("%s (times in ms since the platform's demand)\n%s", title, aligned(head, c.rows))
	for what, found := range map[string][]string{"not seen from outside": c.missing, "not the same": c.wrong, "grossly different": c.grossly} {
		for _, f := range found {
			t.Errorf("%s: %s: %s", title, what, f)
		}
	}
	dir := os.Getenv(TablesEnv)
	if dir == "" {
		return
	}
	name := strings.Map(func(r rune) rune {
		if r == ' ' || r == '/' {
			return '-'
		}
		return r
	}, title) + ".md"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(markdown(title, head, c.rows)), 0o644); err != nil {
		t.Error(err)
	}
}

// aligned puts the numbers' columns to the right.
func aligned(head [5]string, rows [][5]string) string {
	var width [5]int
	for _, r := range append([][5]string{head}, rows...) {
		for n, cell := range r {
			width[n] = max(width[n], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, r := range append([][5]string{head}, rows...) {
		for n, cell := range r {
			pad := strings.Repeat(" ", width[n]-utf8.RuneCountInString(cell))
			if n < 2 {
				b.WriteString(cell + pad + "  ")
			} else {
				b.WriteString(pad + cell + "  ")
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func markdown(title string, head [5]string, rows [][5]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nTimes in milliseconds since the platform's demand.\n\n", title)
	fmt.Fprintf(&b, "| %s |\n|---|---|--:|--:|--:|\n", strings.Join(head[:], " | "))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(r[:], " | "))
	}
	return b.String()
}

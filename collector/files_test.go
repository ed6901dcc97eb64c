package collector

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/coldscope/coldscope/collector/discover"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// compress replaces path by path+".gz", as runtimes do when they rotate.
func compress(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(text)
	w.Close()
	if err := os.WriteFile(path+".gz", b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// sent gives the data of the collector's own events of type T.
func sent[T faas.Data](t *testing.T, s *store) (out []T) {
	t.Helper()
	for _, e := range s.get() {
		if !strings.Contains(e.Labels, `stream="platform"`) {
			continue
		}
		event, err := wire.DecodeEvent([]byte(e.Body), "default")
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := event.Data.(T); ok {
			out = append(out, d)
		}
	}
	return out
}

// A generation that was compressed is not read twice while it is open, goes on
// where it was left after a restart, and is read whole if it was never seen.
func TestCompressed(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.StopTimeout = 50 * time.Millisecond
	s := newStore()
	down := s.breakable()
	logs := []*logFile{newCRI(t, cfg.CRI[0], "hello", "uid"), newDocker(t, cfg.Docker[0], "world", strings.Repeat("a", 64))}
	write := func(n int) {
		for i := range n {
			for _, l := range logs {
				l.line("stdout", fmt.Sprintf("line %d of %d", i, n))
			}
		}
	}
	rotate := func(n int) {
		for _, l := range logs {
			suffix := fmt.Sprintf(".20261123-%06d", n)
			if l.docker {
				suffix = fmt.Sprintf(".%d", 10-n)
			}
			l.rotate(suffix)
			compress(t, l.path+suffix)
		}
	}
	write(50)
	rotate(1) // never seen
	write(60)
	c, stop := start(t, cfg, Deps{Sink: s})
	settle(t, c)
	rotate(2) // open
	write(70)
	settle(t, c)
	if s.twice > 0 {
		t.Errorf("%d lines came twice", s.twice)
	}
	down.Store(true)
	write(80) // 70 of 150 lines of this generation are stored
	stop()
	rotate(3)
	write(90)
	down.Store(false)
	c, stop = start(t, cfg, Deps{Sink: s})
	settle(t, c)
	stop()
	if n := check(t, s, logs...); n != 2*(50+60+70+80+90) {
		t.Errorf("%d lines", n)
	}
	if s.twice > 0 {
		t.Errorf("%d lines came twice after a restart", s.twice)
	}
	start(t, cfg, Deps{Sink: s})
	eventually(t, "all is acknowledged", func() bool { return s.twice == 0 })
}

// copytruncate: what the copy has and the file has no more is not lost.
func TestCopyTruncate(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	s := newStore()
	c, _ := start(t, cfg, Deps{Sink: s})
	l := newCRI(t, cfg.CRI[0], "hello", "uid")
	for n := range 3 {
		for i := range 100 {
			l.line("stdout", fmt.Sprintf("line %d", i))
		}
		settle(t, c)
		for i := range 100 { // not read before the file is cut
			l.line("stdout", fmt.Sprintf("and line %d", i))
		}
		text, err := os.ReadFile(l.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(fmt.Sprintf("%s.20261123-%06d", l.path, n), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := l.f.Truncate(0); err != nil {
			t.Fatal(err)
		}
		l.id, l.offset = "", 0
	}
	l.line("stdout", "last")
	settle(t, c)
	eventually(t, "copies are read", func() bool { return len(s.get()) >= len(l.want) })
	check(t, s, l)
}

// Deleted files may hold so much and no more. What is lost is said.
func TestPinned(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.PinnedBytes, cfg.MaxUnacknowledged = 1<<20, 1<<20
	s := newStore()
	down := s.breakable()
	down.Store(true)
	reg := prometheus.NewRegistry()
	c, _ := start(t, cfg, Deps{Sink: s, Registerer: reg})
	l := newCRI(t, cfg.CRI[0], "hello", "uid")
	for i := range 30_000 {
		l.line("stdout", fmt.Sprintf("line %d", i))
	}
	eventually(t, "memory is full", func() bool { return c.Status().Unacknowledged > 400_000 })
	if err := os.RemoveAll(filepath.Dir(l.path)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file is given up", func() bool {
		return testutil.ToFloat64(c.metrics.missed.WithLabelValues("pinned")) > 0
	})
	down.Store(false)
	eventually(t, "the rest is stored", func() bool { return len(logsOf(c)) == 0 })
	settle(t, c)
	gaps := sent[faas.Gap](t, s)
	if len(gaps) != 1 || gaps[0].Reason != faas.GapPinned || gaps[0].Offset+gaps[0].Bytes != l.offset || gaps[0].FileID != l.id {
		t.Fatalf("gaps %+v", gaps)
	}
	got, want := 0, 0
	for p := range l.want {
		if p.Offset < gaps[0].Offset {
			want++
		}
		if _, ok := s.get()[p]; ok {
			got++
		}
	}
	if got != want {
		t.Errorf("%d lines, want those %d before the gap", got, want)
	}
	for _, d := range sent[faas.Ledger](t, s) {
		if d.Complete && (d.LostBytes != gaps[0].Bytes || d.Lines != int64(want)) {
			t.Errorf("ledger %+v", d)
		}
	}
}

// With a spool a file that was deleted while the sink was down outlives the
// collector.
func TestSpool(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.SpoolBytes, cfg.StopTimeout = 10<<20, 50*time.Millisecond
	s := newStore()
	down := s.breakable()
	c, stop := start(t, cfg, Deps{Sink: s})
	l := newDocker(t, cfg.Docker[0], "world", strings.Repeat("c", 64))
	l.line("stdout", "stored")
	settle(t, c)
	down.Store(true)
	for i := range 1000 {
		l.line("stdout", fmt.Sprintf("line %d", i))
	}
	l.piece("stderr", "without end", false)
	l.want[l.at["stderr"]] = "without end"
	if err := os.RemoveAll(filepath.Dir(l.path)); err != nil {
		t.Fatal(err)
	}
	spool := filepath.Join(cfg.DataDir, "spool", l.id+discover.SavedSuffix)
	eventually(t, "a copy is made", func() bool { _, err := os.Stat(spool); return err == nil })
	stop()
	for _, g := range c.Leftover() { // nobody inherits them
		g.File.Close()
	}
	down.Store(false)
	c, _ = start(t, cfg, Deps{Sink: s})
	eventually(t, "the copy is removed", func() bool { _, err := os.Stat(spool); return err != nil })
	eventually(t, "and forgotten", func() bool { return len(logsOf(c)) == 0 })
	check(t, s, l)
	if s.twice > 0 {
		t.Errorf("%d lines came twice", s.twice)
	}
}

// The next collector of a process goes on with files that only their open
// descriptors keep.
func TestInherited(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.StopTimeout = 50 * time.Millisecond
	s := newStore()
	down := s.breakable()
	down.Store(true)
	c, stop := start(t, cfg, Deps{Sink: s})
	l := newCRI(t, cfg.CRI[0], "hello", "uid")
	for i := range 1000 {
		l.line("stdout", fmt.Sprintf("line %d", i))
	}
	eventually(t, "read", func() bool { f := logsOf(c); return len(f) == 1 && f[0].Read == l.offset })
	if err := os.RemoveAll(filepath.Dir(l.path)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "deleted", func() bool { f := logsOf(c); return len(f) == 1 && f[0].Deleted })
	stop()
	down.Store(false)
	if len(c.Leftover()) != 1 {
		t.Fatalf("left over: %d", len(c.Leftover()))
	}
	c, _ = start(t, cfg, Deps{Sink: s, Inherited: c.Leftover()})
	settle(t, c)
	check(t, s, l)
	eventually(t, "closed", func() bool { return len(logsOf(c)) == 0 })
}

// The ledger counts each line once, restarts included, and says when all is there.
func TestLedger(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.LineBytes = 1024
	s := newStore()
	l := newCRI(t, cfg.CRI[0], "hello", "uid")
	for n := range 3 {
		c, stop := start(t, cfg, Deps{Sink: s})
		for i := range 10 {
			l.line("stdout", fmt.Sprintf("line %d", i))
		}
		l.line("stderr", strings.Repeat("x", 1024+n))
		settle(t, c)
		stop()
	}
	end := l.offset
	l.rotate(".20261123-000000")
	l.line("stdout", "in the next file")
	c, _ := start(t, cfg, Deps{Sink: s})
	settle(t, c)
	var got faas.Ledger
	eventually(t, "the first file is complete", func() bool {
		for _, d := range sent[faas.Ledger](t, s) {
			if d.Complete {
				got = d
			}
		}
		return got.Complete
	})
	if got.Lines != 33 || got.Bytes != end || got.TruncatedLines != 2 || got.TruncatedBytes != 3 || got.LateLines != 33 || got.LostBytes != 0 ||
		!got.To.Equal(l.clock.Add(-1234567*time.Nanosecond)) {
		t.Errorf("ledger %+v of %d bytes until %s", got, end, l.clock)
	}
}

// Plain files have names of their own, whatever they begin with.
func TestPlainFiles(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	dir := t.TempDir()
	cfg.Files = []discover.Files{{Paths: []string{dir + "/*.log"}, Namespace: "files"}}
	s := newStore()
	banner := strings.Repeat("the same banner in all files\n", 50)
	lines := map[string]int{} // by text; banners count
	write := func(path, text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text) {
			lines[strings.TrimSuffix(line, "\n")]++
		}
	}
	verify := func(when string) {
		t.Helper()
		got := map[string]int{}
		for _, e := range s.get() {
			if !strings.Contains(e.Labels, "platform") {
				got[e.Body]++
			}
		}
		for text, n := range lines {
			if got[text] != n {
				t.Errorf("%s: %q is there %d times, want %d", when, text, got[text], n)
			}
		}
		if len(got) != len(lines) || s.twice > 0 {
			t.Errorf("%s: %d texts, want %d; %d lines came twice", when, len(got), len(lines), s.twice)
		}
	}
	c, stop := start(t, cfg, Deps{Sink: s})
	for i := range 50 {
		write(fmt.Sprintf("%s/%d.log", dir, i), banner+fmt.Sprintf("own line of %d\n", i))
	}
	settle(t, c)
	verify("50 files with one beginning")

	// Rotated by rename; the next one begins alike.
	if err := os.Rename(dir+"/0.log", dir+"/0.log.1"); err != nil {
		t.Fatal(err)
	}
	write(dir+"/0.log", banner+"behind the rotation\n")
	settle(t, c)
	verify("renamed")
	stop()

	// While nobody looks: appended, compressed, copied and cut.
	write(dir+"/1.log", "more\n")
	write(dir+"/0.log.1", "more in the rotated one\n")
	compress(t, dir+"/0.log.1")
	text, err := os.ReadFile(dir + "/2.log")
	if err != nil {
		t.Fatal(err)
	}
	write(dir+"/2.log.1", "")
	if err := os.WriteFile(dir+"/2.log.1", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(dir+"/2.log", 0); err != nil {
		t.Fatal(err)
	}
	write(dir+"/2.log", banner+"behind the cut\n")
	c, stop = start(t, cfg, Deps{Sink: s})
	settle(t, c)
	eventually(t, "the compressed one is read", func() bool { _, _, ok := s.lineWith("more in the rotated one"); return ok })
	verify("after a restart")
	stop()
	c, _ = start(t, cfg, Deps{Sink: s})
	settle(t, c)
	verify("after another one")
}

// A line that begins in one file and ends in the next is one line, also for a
// collector that is started in between.
func TestLineOverRotation(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		cfg := testConfig(t)
		s := newStore()
		c, stop := start(t, cfg, Deps{Sink: s})
		logs := []*logFile{newCRI(t, cfg.CRI[0], "hello", "uid"), newDocker(t, cfg.Docker[0], "world", strings.Repeat("9", 64))}
		for n := range 5 {
			for _, l := range logs {
				l.line("stdout", "whole")
				l.piece("stdout", "begins, ", false)
				l.piece("stderr", "and another one, ", false)
			}
			settle(t, c)
			if restart && n%2 == 0 {
				stop()
				c, stop = start(t, cfg, Deps{Sink: s})
			}
			for _, l := range logs {
				suffix := fmt.Sprintf(".20261123-%06d", n)
				if l.docker {
					suffix = fmt.Sprintf(".%d", 10-n)
				}
				l.rotate(suffix)
				l.piece("stderr", "goes on, ", false)
				l.piece("stdout", "ends", true)
				l.line("stdout", "in between")
				l.piece("stderr", "and ends", true)
			}
			settle(t, c)
			if restart && n%2 == 1 {
				stop()
				c, stop = start(t, cfg, Deps{Sink: s})
			}
		}
		eventually(t, "all is acknowledged", func() bool {
			for _, f := range logsOf(c) {
				if f.Lag > 0 {
					return false
				}
			}
			return true
		})
		check(t, s, logs...)
		stop()
	}
}

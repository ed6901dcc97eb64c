package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if _, err := ReadFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("missing file: %v", err)
	}
	for _, payload := range []string{"", "one", "line\nline\n", strings.Repeat("x", 1<<20)} {
		if err := WriteFile(path, []byte(payload), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := ReadFile(path)
		if err != nil || string(got) != payload {
			t.Fatalf("got %d bytes and %v, want %d", len(got), err, len(payload))
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

func TestFileDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := WriteFile(path, []byte("payload"), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1
		for _, b := range [][]byte{damaged, whole[:i]} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadFile(path); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%q is taken: %v", b, err)
			}
		}
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	l, err := LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockDir(dir); !errors.Is(err, ErrInUse) {
		t.Fatalf("second lock: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	l, err = LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Release()
}

// payloads reads all records of dir, without headers.
func payloads(t *testing.T, dir string) []string {
	t.Helper()
	segments, err := Segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, path := range segments {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			p, ok := Record(bytes.TrimSuffix(line, []byte("\n")))
			if !ok {
				t.Fatalf("%s: bad record %q", path, line)
			}
			if !Header(p) {
				out = append(out, string(p))
			}
		}
	}
	return out
}

func TestLogConcurrent(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLog(dir, LogOptions{SegmentBytes: 2000})
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := l.Append(fmt.Appendf(nil, "w%d-%d a", w, i), fmt.Appendf(nil, "w%d-%d b", w, i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got := payloads(t, dir)
	if len(got) != 2*writers*each {
		t.Fatalf("%d records", len(got))
	}
	next := map[string]int{}
	for i := 0; i < len(got); i += 2 {
		var w, n int
		_, _ = fmt.Sscanf(got[i], "w%d-%d", &w, &n)
		key := strconv.Itoa(w)
		if got[i] != fmt.Sprintf("w%d-%d a", w, next[key]) || got[i+1] != fmt.Sprintf("w%d-%d b", w, next[key]) {
			t.Fatalf("record %d is %q, then %q", i, got[i], got[i+1])
		}
		next[key]++
	}
	if err := l.Append([]byte("x")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("append to a closed log: %v", err)
	}
}

func TestLogGroupCommit(t *testing.T) {
	l, err := OpenLog(t.TempDir(), LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// Everyone who has written while one fsync runs is served by the next one.
	l.mu.Lock()
	for _, p := range []string{"a", "b", "c"} {
		if err := l.write(AppendRecord(nil, []byte(p))); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.commit(1); err != nil {
		t.Fatal(err)
	}
	if l.synced != 3 {
		t.Errorf("one fsync served %d of 3 appends", l.synced)
	}
	l.mu.Unlock()
}

func TestLogReopen(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLog(dir, LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]byte("one"), []byte("two")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	segments, _ := Segments(dir)
	f, err := os.OpenFile(segments[0], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString("0badbeef torn\x00\x00")
	f.Close()
	if l, err = OpenLog(dir, LogOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]byte("three")); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := strings.Join(payloads(t, dir), " "); got != "one two three" {
		t.Errorf("got %q", got)
	}
	// A place in a segment is never used twice.
	if now, _ := Segments(dir); len(now) != 2 || now[0] != segments[0] {
		t.Errorf("segments %v", now)
	}
	if removed, err := l.Remove(segments[0]); !removed || err != nil {
		t.Errorf("remove: %v, %v", removed, err)
	}
	now, _ := Segments(dir)
	if removed, err := l.Remove(now[0]); removed || err != nil {
		t.Errorf("remove the active segment: %v, %v", removed, err)
	}
	info, err := os.Stat(now[0])
	if err != nil || l.Size() != info.Size() {
		t.Errorf("size %d, %v", l.Size(), err)
	}
}

func TestLogFull(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLog(dir, LogOptions{MaxBytes: 1000, SegmentBytes: 300})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := 0
	for {
		if err := l.Append(bytes.Repeat([]byte("x"), 90)); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			break
		}
		n++
	}
	if n < 5 || l.Size() > 1100 || len(payloads(t, dir)) != n {
		t.Errorf("%d records, %d bytes", n, l.Size())
	}
	segments, _ := Segments(dir)
	if _, err := l.Remove(segments[0]); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]byte("fits again")); err != nil {
		t.Error(err)
	}
}

func TestLogBadPayload(t *testing.T) {
	l, err := OpenLog(t.TempDir(), LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, p := range []string{"", "#x", "a\nb"} {
		if err := l.Append([]byte("good"), []byte(p)); err == nil {
			t.Errorf("%q is taken", p)
		}
	}
	if l.Size() != 0 {
		t.Error("something was appended")
	}
}

// A failed fsync fails all who waited for it, and leaves the segment.
func TestLogSyncFails(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLog(dir, LogOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Append([]byte("one")); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	broken := l.active
	l.mu.Unlock()
	broken.Close()
	if err := l.Append([]byte("two")); err == nil {
		t.Fatal("append to a closed file succeeded")
	}
	if err := l.Append([]byte("three")); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(payloads(t, dir), " "); got != "one three" {
		t.Errorf("got %q", got)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte("00000000 "))
	f.Add(AppendRecord(nil, []byte(`{"a":1}`)))
	f.Add([]byte("zz"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := Record(b); ok {
			again := AppendRecord(nil, p)
			if !strings.EqualFold(string(again[:len(again)-1]), string(b)) {
				t.Errorf("%q becomes %q", b, again)
			}
		}
		line := AppendRecord(nil, b)
		if p, ok := Record(line[:len(line)-1]); !ok || !bytes.Equal(p, b) {
			t.Errorf("%q does not come back", b)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	l, err := OpenLog(b.TempDir(), LogOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	p := bytes.Repeat([]byte("x"), 300)
	b.SetParallelism(32)
	begin := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Append(p); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "appends/s")
}

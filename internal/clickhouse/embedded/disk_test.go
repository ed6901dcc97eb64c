package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFullDisk: when the disk was full the engine is started again, and has all
// that was acknowledged.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a disk of its own can be mounted by root only")
	}
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=512m,mode=0700"); err != nil {
		t.Skipf("no disk can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	e := startEngine(t, Options{DataDir: filepath.Join(disk, "data")})
	defer closeEngine(t, e)
	conn := open(t, e.DSN())
	if err := conn.Exec(t.Context(), "CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Exec(t.Context(), "INSERT INTO t SELECT number FROM numbers(1000)"); err != nil {
		t.Fatal(err)
	}
	before := e.PID()
	filler := filepath.Join(disk, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 1<<20); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := conn.Exec(t.Context(), "INSERT INTO t SELECT number FROM numbers(1000)"); err == nil {
		t.Error("a full disk takes rows")
	}
	for end := time.Now().Add(10 * time.Second); ; <-time.After(diskTick) { // the watch has to see it full once
		err := conn.Exec(t.Context(), "OPTIMIZE TABLE t FINAL")
		if err != nil && strings.Contains(err.Error(), "Cancelled") {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("a full disk lets parts be merged: %v", err)
		}
	}
	if err := errors.Join(f.Close(), os.Remove(filler)); err != nil { // an open file would keep its place
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		var n uint64
		if pid := e.PID(); pid != 0 && pid != before {
			if err := conn.QueryRow(t.Context(), "SELECT count() FROM t").Scan(&n); err == nil && n == 1000 {
				if err := conn.Exec(t.Context(), "OPTIMIZE TABLE t FINAL"); err != nil {
					t.Errorf("with room again: %v", err)
				}
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("the engine is process %d, before %d, and has %d rows", e.PID(), before, n)
		}
	}
}

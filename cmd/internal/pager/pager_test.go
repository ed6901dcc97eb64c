package pager

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommand(t *testing.T) {
	less := ""
	if _, err := exec.LookPath("less"); err == nil {
		less = "less"
	}
	for pager, want := range map[string]string{"unset": less, "": "", " ": "", "cat": "", "more -s": "more -s"} {
		got := Command(func(string) (string, bool) { return pager, pager != "unset" })
		if got != want {
			t.Errorf("PAGER=%q: %q, want %q", pager, got, want)
		}
	}
}

// show pages text through command and gives what comes out.
func show(t *testing.T, command string, text string) (string, error) {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p, err := Start(command, out, out)
	if err != nil {
		return "", err
	}
	_, err = p.Write([]byte(text))
	for err == nil && text == "" { // until nobody reads any more
		_, err = p.Write(make([]byte, 1<<16))
	}
	if waited := p.Wait(); waited != nil {
		err = waited
	}
	shown, readErr := os.ReadFile(out.Name())
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(shown), err
}

func TestPager(t *testing.T) {
	t.Setenv("LESS", "")
	if err := os.Unsetenv("LESS"); err != nil {
		t.Fatal(err)
	}
	if got, err := show(t, "sed s/a/b/", "a\n"); err != nil || got != "b\n" {
		t.Errorf("%q %v", got, err)
	}
	if got, err := show(t, `sh -c 'cat; echo $LESS'`, "x\n"); err != nil || got != "x\nFRX\n" {
		t.Errorf("%q %v", got, err)
	}
	if _, err := show(t, "true", ""); !errors.Is(err, ErrClosed) {
		t.Errorf("a pager that was left: %v", err)
	}
	if _, err := show(t, "kill -INT $$", "x"); err != nil && !errors.Is(err, ErrClosed) {
		t.Errorf("a pager that was interrupted: %v", err)
	}
	for _, missing := range []string{"/nowhere/pager", "/nowhere/pager | cat; exit 127"} {
		if _, err := show(t, missing, ""); err == nil || !strings.Contains(err.Error(), "pager") {
			t.Errorf("%q: %v", missing, err)
		}
	}
}

package ship

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// Over HTTP: a peer that takes small bodies only, refuses some lines for ever,
// and fails before and after it has stored others, ends up with every line that
// it can take, and the dead-letter file with the rest.
func TestOverHTTP(t *testing.T) {
	var mu sync.Mutex
	got := map[string]int{}
	requests := 0
	peer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		req, err := wire.DecodePush(body, r.Header.Get("Content-Type"))
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		requests++
		var lines []string
		for _, s := range req.Streams {
			for _, e := range s.Entries {
				lines = append(lines, e.Line)
			}
		}
		switch {
		case requests%7 == 0:
			http.Error(w, "later", http.StatusBadGateway)
			return
		case requests%11 == 0:
			panic(http.ErrAbortHandler)
		case len(body) > 2000:
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		case strings.Contains(strings.Join(lines, ""), "bad"):
			http.Error(w, "bad line", http.StatusUnprocessableEntity)
			return
		}
		for _, l := range lines {
			got[l]++
		}
		if requests%5 == 0 {
			panic(http.ErrAbortHandler) // stored, but nobody learns of it
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer peer.Close()
	client, err := wire.NewClient(peer.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	path := filepath.Join(t.TempDir(), "dead")
	dead := NewDeadLetters(path, 1<<20)
	defer dead.Close()
	opts := Options{BatchBytes: 20_000, MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond}
	s, err := New(opts, []Target{{"peer", client}}, dead, quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer running(s)()
	const files, lines = 3, 400
	var all []*File
	var writing sync.WaitGroup
	for i := range files {
		f := NewFile(uint64(i), 0)
		all = append(all, f)
		writing.Go(func() {
			w := s.Writer(f)
			to := NewStream(faas.Ref{Instance: fmt.Sprint("i", i)}, faas.Stdout, "h")
			for k := range lines {
				body := fmt.Sprintf("%d/%d good", i, k)
				if k%100 == 37 {
					body = fmt.Sprintf("%d/%d bad", i, k)
				}
				if err := w.Add(t.Context(), to, line(k, body)); err != nil {
					t.Error(err)
				}
			}
			if err := w.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	writing.Wait()
	if err := s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, f := range all {
		if f.Committed() != 10*lines || f.Refused() != lines/100 {
			t.Errorf("file %d: committed %d, %d refused", i, f.Committed(), f.Refused())
		}
	}
	if want := files * (lines - lines/100); len(got) != want {
		t.Errorf("%d lines arrived, want %d", len(got), want)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	letters := map[string]bool{}
	for text := range strings.Lines(string(content)) {
		var l Letter
		if err := json.Unmarshal([]byte(text), &l); err != nil || l.Reason != "http_422" || !strings.HasSuffix(l.Line, " bad") {
			t.Errorf("letter %s: %v", text, err)
		}
		letters[l.Line] = true
	}
	if len(letters) != files*lines/100 {
		t.Errorf("%d letters", len(letters))
	}
}

package kubernetes

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// apiServer speaks list and watch as an API server does (there is none to be
// had here): resource versions, pages, bookmarks, 410, field selectors.
type apiServer struct {
	*httptest.Server

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at each change
	version  int
	oldest   int // versions before it are forgotten
	kinds    map[string]*collection
	token    string // wanted; empty: any
	requests []string
	refused  map[string]int // path → status
	cut      map[string]int // path → watches to end in the middle of their next object
	end      map[string]int // path → watches to end in good order after their next object
	pageSize int            // 0: the client's
}

type collection struct {
	objects map[string]map[string]any // by UID
	log     []logged
}

type logged struct {
	version int
	kind    string
	object  map[string]any
}

func newAPIServer(t *testing.T) *apiServer {
	s := &apiServer{
		changed: make(chan struct{}), version: 100, kinds: map[string]*collection{},
		refused: map[string]int{}, cut: map[string]int{}, end: map[string]int{},
	}
	for _, path := range []string{"/api/v1/pods", "/api/v1/events"} {
		s.kinds[path] = &collection{objects: map[string]map[string]any{}}
	}
	s.kinds["/apis/events.k8s.io/v1/events"] = s.kinds["/api/v1/events"]
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // connections that end with their tests
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// locked changes the server's state and wakes its watches.
func (s *apiServer) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// put adds or changes an object given as JSON.
func (s *apiServer) put(t testing.TB, path, raw string) {
	t.Helper()
	s.change(t, path, raw, false)
}

func (s *apiServer) remove(t testing.TB, path, raw string) {
	t.Helper()
	s.change(t, path, raw, true)
}

func (s *apiServer) change(t testing.TB, path, raw string, remove bool) {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(raw), &object); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	meta := object["metadata"].(map[string]any)
	uid := meta["uid"].(string)
	s.locked(func() {
		s.version++
		meta["resourceVersion"] = strconv.Itoa(s.version)
		c := s.kinds[path]
		kind := "ADDED"
		if _, ok := c.objects[uid]; ok {
			kind = "MODIFIED"
		}
		c.objects[uid] = object
		if remove {
			kind = "DELETED"
			delete(c.objects, uid)
		}
		c.log = append(c.log, logged{s.version, kind, object})
	})
}

// until waits for what a request brings about.
func (s *apiServer) until(t *testing.T, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("not yet: %q", s.requests)
		}
	}
}

// asked counts the requests with part in them.
func (s *apiServer) asked(part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if strings.Contains(r, part) {
			n++
		}
	}
	return n
}

func status(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"%s.","reason":"%s","code":%d}`, reason, reason, code)
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.URL.Path+"?"+r.URL.RawQuery)
	token, refused, c := s.token, s.refused[r.URL.Path], s.kinds[r.URL.Path]
	s.mu.Unlock()
	switch {
	case token != "" && r.Header.Get("Authorization") != "Bearer "+token:
		status(w, http.StatusUnauthorized, "Unauthorized")
	case refused != 0:
		status(w, refused, "Forbidden")
	case c == nil:
		status(w, http.StatusNotFound, "NotFound")
	case r.FormValue("watch") == "1":
		s.watch(w, r, c)
	default:
		s.list(w, r, c)
	}
}

func (s *apiServer) list(w http.ResponseWriter, r *http.Request, c *collection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	uids := make([]string, 0, len(c.objects))
	for uid := range c.objects {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	version, limit := s.version, len(uids)
	if n, err := strconv.Atoi(r.FormValue("limit")); err == nil {
		limit = n
	}
	if s.pageSize > 0 {
		limit = s.pageSize
	}
	if token := r.FormValue("continue"); token != "" {
		v, after, _ := strings.Cut(token, "/")
		version, _ = strconv.Atoi(v)
		if version < s.oldest {
			status(w, http.StatusGone, "Expired")
			return
		}
		i, _ := slices.BinarySearch(uids, after)
		uids = uids[i:]
	}
	meta := map[string]any{"resourceVersion": strconv.Itoa(version)}
	if limit < len(uids) {
		meta["continue"] = fmt.Sprintf("%d/%s", version, uids[limit])
		uids = uids[:limit]
	}
	items := make([]any, 0, len(uids))
	for _, uid := range uids {
		items = append(items, c.objects[uid])
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"kind": "List", "apiVersion": "v1", "metadata": meta, "items": items})
}

func (s *apiServer) watch(w http.ResponseWriter, r *http.Request, c *collection) {
	version, _ := strconv.Atoi(r.FormValue("resourceVersion"))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	send := func(kind string, object any) []byte {
		b, _ := json.Marshal(map[string]any{"type": kind, "object": object})
		return append(b, '\n')
	}
	for {
		s.mu.Lock()
		if version < s.oldest {
			s.mu.Unlock()
			w.Write(send("ERROR", map[string]any{"kind": "Status", "code": http.StatusGone, "reason": "Expired", "message": "too old resource version"}))
			return
		}
		var pending []logged
		for _, l := range c.log {
			if l.version > version {
				pending = append(pending, l)
			}
		}
		if len(pending) == 0 && version < s.version && r.FormValue("allowWatchBookmarks") != "" {
			version = s.version
			pending = append(pending, logged{version, "BOOKMARK", map[string]any{
				"kind": "Pod", "metadata": map[string]any{"resourceVersion": strconv.Itoa(version), "creationTimestamp": nil},
			}})
		}
		changed := s.changed
		cut, end := false, false
		if len(pending) > 0 {
			if cut = s.cut[r.URL.Path] > 0; cut {
				s.cut[r.URL.Path]--
			}
			if end = s.end[r.URL.Path] > 0; end {
				s.end[r.URL.Path]--
			}
		}
		s.mu.Unlock()
		for _, l := range pending {
			b := send(l.kind, l.object)
			if cut {
				w.Write(b[:len(b)/2])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			w.Write(b)
			version = l.version
			if end {
				return
			}
		}
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

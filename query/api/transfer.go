package api

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/gzhttp"
)

// transfer is how answers travel: compressed where the client takes zstd or
// gzip and it is worth it, and with a tag by which a client that has the answer
// already need not be sent it again. A tail is sent as it is, line by line.
func transfer(next http.Handler) (http.Handler, error) {
	compress, err := gzhttp.NewWrapper(gzhttp.MinSize(1024), gzhttp.EnableZstd(true), gzhttp.PreferZstd(true),
		gzhttp.ExceptContentTypes([]string{"application/vnd.apache.parquet", "text/event-stream"}))
	if err != nil {
		return nil, fmt.Errorf("compress answers: %w", err)
	}
	compressed := compress(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// What is one tenant's or one user's is no other's, in no cache.
		w.Header().Set("Cache-Control", "private, no-cache")
		w.Header().Add("Vary", "Authorization, X-Scope-OrgID")
		t := &tagged{ResponseWriter: w, asked: r.Header.Get("If-None-Match"), code: http.StatusOK}
		next.ServeHTTP(t, r)
		t.finish()
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == TailPath {
			next.ServeHTTP(w, r)
			return
		}
		compressed.ServeHTTP(w, r)
	}), nil
}

// maxTagged is how long an answer may be to get a tag: it is held until its end.
const maxTagged = 8 << 20 // bytes

// tagged holds an answer until it knows its tag. What is no JSON, or too long,
// goes on at once.
type tagged struct {
	http.ResponseWriter
	asked string // the tags that the client has
	code  int
	held  bytes.Buffer
	sent  bool // the answer goes on at once
}

// WriteHeader remembers the code.
func (t *tagged) WriteHeader(code int) {
	t.code = code
	if code != http.StatusOK {
		t.pass()
	}
}

// Write holds what can be tagged.
func (t *tagged) Write(b []byte) (int, error) {
	if !t.sent && (!strings.HasPrefix(t.Header().Get("Content-Type"), "application/json") || t.held.Len()+len(b) > maxTagged) {
		t.pass()
	}
	if t.sent {
		return t.ResponseWriter.Write(b)
	}
	return t.held.Write(b)
}

// Flush sends what there is.
func (t *tagged) Flush() {
	t.pass()
	_ = http.NewResponseController(t.ResponseWriter).Flush() // where it can be
}

// Unwrap serves http.ResponseController.
func (t *tagged) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// pass sends what was held, and from now on all at once.
func (t *tagged) pass() {
	if t.sent {
		return
	}
	t.sent = true
	t.ResponseWriter.WriteHeader(t.code)
	if t.held.Len() > 0 {
		_, _ = t.ResponseWriter.Write(t.held.Bytes()) // the next write says so, too
	}
}

// finish sends an answer that was held, or says that the client has it.
func (t *tagged) finish() {
	if t.sent {
		return
	}
	tag := fmt.Sprintf(`W/"%016x"`, xxhash.Sum64(t.held.Bytes()))
	t.Header().Set("ETag", tag)
	if has(t.asked, tag) {
		t.Header().Del("Content-Type")
		t.sent = true
		t.ResponseWriter.WriteHeader(http.StatusNotModified)
		return
	}
	t.pass()
}

// has says whether a list of tags has one, strong or weak.
func has(list, tag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

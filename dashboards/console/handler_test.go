package console

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

func built() fstest.MapFS {
	return fstest.MapFS{
		"placeholder.html":     {Data: []byte("not built")},
		"index.html":           {Data: []byte("<!doctype html>console")},
		"index.html.gz":        {Data: []byte("packed index")},
		"favicon.svg":          {Data: []byte("<svg/>")},
		"assets/index-abc.js":  {Data: []byte("export {}")},
		"assets/_x-def.css":    {Data: []byte("a{}")},
		"assets/_x-def.css.gz": {Data: []byte("packed css")},
	}
}

func get(t *testing.T, h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestServe(t *testing.T) {
	h := newHandler(built())
	const (
		page  = "<!doctype html>console"
		fixed = "public, max-age=31536000, immutable"
	)
	for _, c := range []struct {
		path, body, contentType, cache string
		status                         int
	}{
		{"/", page, "text/html; charset=utf-8", "no-cache", 200},
		{"/index.html", page, "text/html; charset=utf-8", "no-cache", 200},
		{"/requests/0b1c", page, "text/html; charset=utf-8", "no-cache", 200},
		{"/requests/a.b", page, "text/html; charset=utf-8", "no-cache", 200},
		{"/requests/a%2Fb", page, "text/html; charset=utf-8", "no-cache", 200},
		{"/some/later/view", page, "text/html; charset=utf-8", "no-cache", 200},
		{"/apiary", page, "text/html; charset=utf-8", "no-cache", 200},
		{"/favicon.svg", "<svg/>", "image/svg+xml", "no-cache", 200},
		{"/assets/index-abc.js", "export {}", "text/javascript; charset=utf-8", fixed, 200},
		{"/assets/_x-def.css", "a{}", "text/css; charset=utf-8", fixed, 200},
		{"/assets/gone-123.js", "", "", "no-store", 404},
		{"/assets/_x-def.css.gz", "", "", "no-store", 404},
		{"/robots.txt", "", "", "no-store", 404},
		{"/placeholder.html", "", "", "no-store", 404},
		{"/api/v1/nothing", "", "", "no-store", 404},
		{"/api", "", "", "no-store", 404},
		{"/v1/events", "", "", "no-store", 404},
		{"/loki/api/v1/push", "", "", "no-store", 404},
		{"/-/healthy", "", "", "no-store", 404},
		{"/../../etc/passwd", page, "text/html; charset=utf-8", "no-cache", 200},
	} {
		t.Run(c.path, func(t *testing.T) {
			w := get(t, h, c.path)
			if w.Code != c.status {
				t.Fatalf("status %d, want %d", w.Code, c.status)
			}
			if got := w.Header().Get("Cache-Control"); got != c.cache {
				t.Errorf("Cache-Control %q, want %q", got, c.cache)
			}
			if got := w.Header().Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("X-Content-Type-Options %q", got)
			}
			if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, "frame-ancestors 'none'") || strings.Contains(got, "unsafe") {
				t.Errorf("Content-Security-Policy %q", got)
			}
			if c.status != http.StatusOK {
				return
			}
			if got := w.Body.String(); got != c.body {
				t.Errorf("body %q, want %q", got, c.body)
			}
			if got := w.Header().Get("Content-Type"); got != c.contentType {
				t.Errorf("Content-Type %q, want %q", got, c.contentType)
			}
		})
	}
}

func TestGzip(t *testing.T) {
	h := newHandler(built())
	for accept, want := range map[string]string{
		"":                   "a{}",
		"br, gzip;q=0.8":     "packed css",
		"GZIP":               "packed css",
		"gzip;q=0":           "a{}",
		"gzip; q=0.0, br":    "a{}",
		"deflate, x-gzipped": "a{}",
	} {
		w := get(t, h, "/assets/_x-def.css", "Accept-Encoding", accept)
		if got := w.Body.String(); got != want {
			t.Errorf("Accept-Encoding %q: body %q, want %q", accept, got, want)
		}
		if got, packed := w.Header().Get("Content-Encoding"), want != "a{}"; (got == "gzip") != packed {
			t.Errorf("Accept-Encoding %q: Content-Encoding %q", accept, got)
		}
		if got := w.Header().Get("Vary"); got != "Accept-Encoding" {
			t.Errorf("Accept-Encoding %q: Vary %q", accept, got)
		}
	}
}

func TestNotModified(t *testing.T) {
	h := newHandler(built())
	etag := get(t, h, "/").Header().Get("ETag")
	packed := get(t, h, "/", "Accept-Encoding", "gzip").Header().Get("ETag")
	if etag == "" || etag == packed {
		t.Fatalf("ETags %q and %q must differ", etag, packed)
	}
	for _, have := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
		w := get(t, h, "/", "If-None-Match", have)
		if w.Code != http.StatusNotModified || w.Body.Len() != 0 {
			t.Errorf("If-None-Match %s: status %d, %d bytes", have, w.Code, w.Body.Len())
		}
	}
	if w := get(t, h, "/", "If-None-Match", packed); w.Code != http.StatusOK {
		t.Errorf("the gzip form's ETag for the plain form: status %d", w.Code)
	}
}

func TestMethods(t *testing.T) {
	h := newHandler(built())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/", nil))
	if w.Code != http.StatusOK || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "22" {
		t.Errorf("HEAD: status %d, %d bytes, Content-Length %s", w.Code, w.Body.Len(), w.Header().Get("Content-Length"))
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: status %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestNotBuilt(t *testing.T) {
	h := newHandler(fstest.MapFS{"placeholder.html": {Data: []byte("make build")}})
	for _, path := range []string{"/", "/requests/x"} {
		if w := get(t, h, path); w.Code != http.StatusOK || w.Body.String() != "make build" {
			t.Errorf("%s: status %d, body %q", path, w.Code, w.Body.String())
		}
	}
}

// TestEmbedded holds whatever was embedded against the content security policy.
func TestEmbedded(t *testing.T) {
	w := get(t, Handler(), "/")
	if w.Code != http.StatusOK {
		t.Fatalf("status %d", w.Code)
	}
	page := w.Body.String()
	if !Built() {
		if !strings.Contains(page, "make build") {
			t.Errorf("the placeholder does not say how to get the console:\n%s", page)
		}
		t.Skip("the console is not built: its page cannot be checked")
	}
	if inline := regexp.MustCompile(`<script(>| [^>]*>)[^<]|<style|\son\w+=|\sstyle=`).FindString(page); inline != "" {
		t.Errorf("inline code or style in index.html: %s", inline)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(m[1], "/") {
			t.Errorf("index.html loads %s from elsewhere", m[1])
			continue
		}
		if w := get(t, Handler(), m[1]); w.Code != http.StatusOK {
			t.Errorf("index.html refers to %s: status %d", m[1], w.Code)
		}
	}
}

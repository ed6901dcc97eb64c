package console

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

const (
	indexFile       = "index.html"
	placeholderFile = "placeholder.html"
	assets          = "assets/" // names in here contain a hash of their content
)

// contentSecurityPolicy allows what the console consists of and nothing else:
// a log line that got itself taken for markup could still not run or load anything.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Content types are written down, since Go would ask the machine's MIME tables.
var contentTypes = map[string]string{
	".css":   "text/css; charset=utf-8",
	".html":  "text/html; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json",
	".png":   "image/png",
	".svg":   "image/svg+xml",
	".txt":   "text/plain; charset=utf-8",
	".woff2": "font/woff2",
}

// elsewhere are the paths of the product's other parts. What none of them
// answers is an error, never the console's page.
var elsewhere = []string{"/api/", "/loki/", "/v1/", "/metrics", "/ready", "/-/"}

// file is one file of the console, with its gzip form if that is worth it.
type file struct {
	contentType  string
	cacheControl string
	etag         string
	plain        []byte
	gzip         []byte
}

type handler struct {
	files map[string]*file // by path below the root, without a leading slash
	index *file
}

// newHandler reads files, which must hold placeholder.html, into memory.
func newHandler(files fs.FS) *handler {
	h := &handler{files: map[string]*file{}}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(name, ".gz") {
			return err
		}
		plain, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		f := newFile(name, plain)
		if packed, err := fs.ReadFile(files, name+".gz"); err == nil {
			f.gzip = packed
		}
		h.files[name] = f
		return nil
	})
	if err != nil {
		panic("console: read embedded files: " + err.Error()) // they are in memory
	}
	h.index = h.files[indexFile]
	if h.index == nil {
		h.index = h.files[placeholderFile]
	}
	delete(h.files, placeholderFile)
	return h
}

func newFile(name string, plain []byte) *file {
	sum := sha256.Sum256(plain)
	f := &file{
		contentType:  contentTypes[path.Ext(name)],
		cacheControl: "no-cache", // ask again each time; the ETag makes that cheap
		etag:         hex.EncodeToString(sum[:8]),
		plain:        plain,
	}
	if f.contentType == "" {
		f.contentType = "application/octet-stream"
	}
	if strings.HasPrefix(name, assets) {
		f.cacheControl = "public, max-age=31536000, immutable"
	}
	return f
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", contentSecurityPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY") // for browsers without frame-ancestors
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")

	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f := h.find(r.URL.Path)
	if f == nil {
		header.Set("Cache-Control", "no-store")
		http.NotFound(w, r)
		return
	}
	f.serve(w, r)
}

// find gives the file at a path, the console's page for what looks like one of
// its views, and nil for all else.
func (h *handler) find(urlPath string) *file {
	name := strings.TrimPrefix(urlPath, "/")
	if f := h.files[name]; f != nil {
		return f
	}
	for _, prefix := range elsewhere {
		if strings.HasPrefix(urlPath+"/", strings.TrimSuffix(prefix, "/")+"/") {
			return nil
		}
	}
	// A request ID may contain a dot; any other path with one is a file that is not there.
	if path.Ext(name) != "" && !strings.HasPrefix(name, "requests/") {
		return nil
	}
	return h.index
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	body, etag := f.plain, `"`+f.etag+`"`
	header := w.Header()
	if f.gzip != nil {
		header.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			body, etag = f.gzip, `"`+f.etag+`-gzip"`
			header.Set("Content-Encoding", "gzip")
		}
	}
	header.Set("Cache-Control", f.cacheControl)
	header.Set("ETag", etag)
	if matches(r.Header.Get("If-None-Match"), etag) {
		header.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", f.contentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client may have gone
	}
}

// acceptsGzip reads an Accept-Encoding header; q=0 refuses.
func acceptsGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		coding, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q := strings.TrimPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			weight, err := strconv.ParseFloat(q, 64)
			return err != nil || weight > 0
		}
	}
	return false
}

func matches(ifNoneMatch, etag string) bool {
	for part := range strings.SplitSeq(ifNoneMatch, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part == "*" || part == etag {
			return true
		}
	}
	return false
}

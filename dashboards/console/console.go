// Package console serves the web console: the page on which people look at
// requests, their lines and their cold starts. The page is built from this
// directory's sources with `npm ci && npm run build` (which `make build` does)
// into dist and embedded from there, so that a binary needs no file beside it.
// A binary built without that step serves a page that says how to get it.
package console

import (
	"embed"
	"io/fs"
	"net/http"
)

// dist always holds placeholder.html, so that `go build` alone works; the rest
// is there once the console was built. Names may begin with _, hence all.
//
//go:embed all:dist
var dist embed.FS

// Handler serves the console at every path that is not known to be something
// else: mount it at "/" below the API's routes. It answers GET and HEAD.
func Handler() http.Handler {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("console: " + err.Error()) // dist is a constant and a valid path
	}
	return newHandler(files)
}

// Built reports whether the console itself is in the binary, and not only its placeholder.
func Built() bool {
	_, err := fs.Stat(dist, "dist/"+indexFile)
	return err == nil
}

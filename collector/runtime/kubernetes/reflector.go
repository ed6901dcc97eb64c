package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// changeKind says what happened to an object.
type changeKind uint8

const (
	applied changeKind = iota + 1 // it is new or has changed, or is told again
	deleted
	listing // without an object: all that exist will be told from here on
	synced  // without an object: all that exist have been told since listing
)

// reflector tells one resource's objects: lists them, watches from the list's
// version on, and lists again where the server has forgotten that version.
type reflector[T any] struct {
	client *client
	log    *slog.Logger
	// paths and their field selectors, of which the first that the server knows
	// and allows is used.
	paths, selectors []string
	cached           bool // the server has them in memory: a first list may come from there
	meta             func(*T) *objectMeta
	// deliver hands an object over. Its error is ctx's.
	deliver func(context.Context, changeKind, *T) error

	version  string // up to which objects are told; empty: they have to be listed
	api      int    // index into paths
	failures int    // in a row
	warned   bool   // of these
}

const (
	pageSize      = 500
	firstBackoff  = 500 * time.Millisecond
	lastBackoff   = 30 * time.Second
	listTimeout   = 2 * time.Minute
	minWatch      = 5 * time.Minute // up to twice that, so that the node's collectors don't come all at once
	watchGrace    = 30 * time.Second
	maxObject     = 4 << 20 // bytes; etcd takes 1.5 MiB
	healthyWatch  = 10 * time.Second
	forbiddenWait = 2 * time.Minute
	warnFailures  = 4 // in a row
)

// errShort is a watch that the server ended at once.
var errShort = errors.New("the server ended the watch at once")

// run lists and watches until ctx ends.
func (r *reflector[T]) run(ctx context.Context) error {
	for first := r.cached; ; first = false {
		var err error
		if r.version == "" {
			r.version, err = r.list(ctx, first)
		} else {
			err = r.watchOnce(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			if r.warned {
				r.log.InfoContext(ctx, "API server is back")
				r.warned = false
			}
			continue
		}
		if err := pause(ctx, r.failed(ctx, err)); err != nil {
			return err
		}
	}
}

// watchOnce is one watch. Only a watch that lasted ends a row of failures: a
// server may list well and still end each watch at once.
func (r *reflector[T]) watchOnce(ctx context.Context) error {
	begun := time.Now()
	version, err := r.watch(ctx, r.version)
	r.version = version
	switch {
	case time.Since(begun) >= healthyWatch:
		r.failures = 0
	case err == nil:
		return errShort
	}
	return err
}

// failed decides where to go on after err, and how long to wait before.
func (r *reflector[T]) failed(ctx context.Context, err error) time.Duration {
	r.failures++
	wait := backoff(r.failures)
	if gone(err) {
		r.version = ""
		if r.failures == 1 {
			wait = 0
		}
	}
	refused := hasCode(err, http.StatusForbidden) || hasCode(err, http.StatusNotFound)
	if refused {
		r.api, r.version = (r.api+1)%len(r.paths), ""
		if r.failures >= len(r.paths) {
			wait = forbiddenWait
		}
	}
	if s, ok := errors.AsType[*statusError](err); ok {
		wait = max(wait, s.retryAfter)
	}
	level := slog.LevelDebug
	if !r.warned && (r.failures >= warnFailures || refused && r.failures >= len(r.paths)) {
		level, r.warned = slog.LevelWarn, true // once; then quietly
	}
	r.log.Log(ctx, level, "cannot watch the API server", "error", err, "retry_in", wait)
	return wait
}

// backoff is the wait after n failures in a row: doubling, half of it random.
func backoff(n int) time.Duration {
	d := lastBackoff
	if n < 8 {
		d = min(firstBackoff<<(n-1), lastBackoff)
	}
	return d/2 + rand.N(d/2)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// list tells all objects, page by page, and returns their version. If cached,
// the server may tell them from its memory, which may be a little old.
func (r *reflector[T]) list(ctx context.Context, cached bool) (string, error) {
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	if cached {
		query.Set("resourceVersion", "0")
	}
	if err := r.deliver(ctx, listing, nil); err != nil {
		return "", err
	}
	for {
		meta, err := r.page(ctx, query)
		if err != nil {
			return "", err
		}
		if meta.Continue == "" {
			if meta.ResourceVersion == "" {
				return "", errors.New("list: the answer has no resource version")
			}
			return meta.ResourceVersion, r.deliver(ctx, synced, nil)
		}
		query.Set("continue", meta.Continue)
		query.Del("resourceVersion") // the token has it
	}
}

func (r *reflector[T]) page(ctx context.Context, query url.Values) (listMeta, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	query.Set("fieldSelector", r.selectors[r.api])
	body, err := r.client.get(ctx, r.paths[r.api], query)
	if err != nil {
		return listMeta{}, fmt.Errorf("list: %w", err)
	}
	defer body.Close()
	meta, err := decodeList(body, func(object *T) error { return r.deliver(ctx, applied, object) })
	if err != nil {
		return listMeta{}, fmt.Errorf("list: %w", err)
	}
	return meta, nil
}

// watch tells changes from version on. It returns the version up to which they
// are told, whatever the error; nil if the server ended the watch in good order.
func (r *reflector[T]) watch(ctx context.Context, version string) (string, error) {
	timeout := minWatch + rand.N(minWatch)
	ctx, cancel := context.WithTimeout(ctx, timeout+watchGrace)
	defer cancel()
	body, err := r.client.get(ctx, r.paths[r.api], url.Values{
		"watch": {"1"}, "allowWatchBookmarks": {"true"}, "resourceVersion": {version},
		"fieldSelector": {r.selectors[r.api]}, "timeoutSeconds": {strconv.Itoa(int(timeout.Seconds()))},
	})
	if err != nil {
		return version, fmt.Errorf("watch: %w", err)
	}
	defer body.Close()
	in := newObjectReader(body)
	for {
		var e watchEvent
		if err := in.decode(&e); err != nil {
			if errors.Is(err, io.EOF) {
				return version, nil
			}
			return version, fmt.Errorf("watch: %w", err)
		}
		switch e.Type {
		case "ADDED", "MODIFIED", "DELETED":
			object := new(T)
			if err := json.Unmarshal(e.Object, object); err != nil {
				return version, fmt.Errorf("watch: decode object: %w", err)
			}
			kind := applied
			if e.Type == "DELETED" {
				kind = deleted
			}
			if err := r.deliver(ctx, kind, object); err != nil {
				return version, err
			}
			version = r.meta(object).ResourceVersion
		case "BOOKMARK":
			var object struct {
				Metadata objectMeta `json:"metadata"`
			}
			if err := json.Unmarshal(e.Object, &object); err != nil {
				return version, fmt.Errorf("watch: decode bookmark: %w", err)
			}
			if v := object.Metadata.ResourceVersion; v != "" {
				version = v
			}
		case "ERROR":
			s := &statusError{}
			if err := json.Unmarshal(e.Object, s); err != nil {
				return version, fmt.Errorf("watch: decode status: %w", err)
			}
			return version, fmt.Errorf("watch: %w", s)
		default:
			return version, fmt.Errorf("watch: unknown type of event %.100q", e.Type)
		}
	}
}

// watchEvent is one object of a watch's stream (metav1.WatchEvent).
type watchEvent struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object"`
}

// objectReader decodes one JSON value after the other from a stream of which
// it holds one at a time, and none that is longer than maxObject.
type objectReader struct {
	body    io.Reader
	left    int64
	decoder *json.Decoder
}

func newObjectReader(body io.Reader) *objectReader {
	r := &objectReader{body: body, left: maxObject}
	r.decoder = json.NewDecoder(r)
	return r
}

func (r *objectReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, fmt.Errorf("an object is longer than %d bytes", maxObject)
	}
	n, err := r.body.Read(p)
	r.left -= int64(n)
	return n, err
}

func (r *objectReader) decode(into any) error {
	r.left = maxObject
	return r.decoder.Decode(into)
}

// decodeList reads a list object, telling each item as soon as it is read.
func decodeList[T any](body io.Reader, tell func(*T) error) (listMeta, error) {
	var meta listMeta
	in := newObjectReader(body)
	if err := in.delim('{'); err != nil {
		return meta, err
	}
	for in.decoder.More() {
		key, err := in.decoder.Token()
		if err != nil {
			return meta, err
		}
		switch key {
		case "metadata":
			err = in.decode(&meta)
		case "items":
			err = decodeItems(in, tell)
		default:
			err = in.decode(new(json.RawMessage))
		}
		if err != nil {
			return meta, err
		}
	}
	return meta, in.delim('}')
}

func decodeItems[T any](in *objectReader, tell func(*T) error) error {
	token, err := in.decoder.Token()
	if err != nil || token == nil { // null: none
		return err
	}
	if token != json.Delim('[') {
		return fmt.Errorf("items is %v, not an array", token)
	}
	for in.decoder.More() {
		item := new(T)
		if err := in.decode(item); err != nil {
			return err
		}
		if err := tell(item); err != nil {
			return err
		}
	}
	return in.delim(']')
}

func (r *objectReader) delim(want json.Delim) error {
	r.left = maxObject
	token, err := r.decoder.Token()
	if err == nil && token != want {
		err = fmt.Errorf("not a list: %v where %v should be", token, want)
	}
	return err
}

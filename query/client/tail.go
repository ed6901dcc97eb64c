package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/tmaxmax/go-sse"

	"github.com/coldscope/coldscope/query/read"
)

// TailEvent is what a tail gives: one of a line, that lines were left out, that
// the store cannot be asked for the moment, and that the connection was lost or
// is there again.
type TailEvent struct {
	Line *read.TailedLine
	// Skipped says that lines were left out, since this client is too slow.
	Skipped bool
	Lines   *uint64 // how many were left out, if that is known
	Problem string  // that the service has
	Lost    error   // why there is no connection; given once until it is there again
	Again   bool    // the connection is there again
}

// How a tail goes on over lost connections.
const (
	firstRetry   = 200 * time.Millisecond // before it connects again
	longestRetry = 5 * time.Second
	silence      = 35 * time.Second // without as much as a heartbeat, which comes every ten seconds
	overlap      = time.Minute      // that what was missed is looked for from before
	maxEvent     = 64 << 20         // bytes
	remembered   = 100_000          // lines, at least, that are known as given
)

// AllLines is for all lines that are there already.
const AllLines = -1

// Tail calls give with what is written from now on, after the newest lines
// lines of the filter that are there already, until ctx ends or give returns an
// error, which it returns. Where the connection is lost, it connects again,
// asks for what came meanwhile, and goes on where it was: each line is given
// once, and once more, marked as corrected, when its request is found out. What
// the service refuses is an error, as is it if there is no first connection.
func (c *Client) Tail(ctx context.Context, f LineFilter, lines int, give func(TailEvent) error) error {
	f.Until = ""
	t := &tail{client: c, filter: f, lines: lines, give: give, seed: maphash.MakeSeed(), seen: map[uint64]uint64{}}
	return retry(ctx, &t.connection, t.connect, func(lost error) error { return t.tell(TailEvent{Lost: lost}) })
}

// jitter keeps clients from trying all at once.
func jitter(wait time.Duration) time.Duration { return wait + rand.N(wait/2) }

// worthAnotherTry says whether the next answer may be another one.
func worthAnotherTry(err error) bool {
	if s, ok := errors.AsType[*StatusError](err); ok {
		return s.Code >= http.StatusInternalServerError || s.Code == http.StatusTooManyRequests
	}
	_, ok := errors.AsType[*UnreachableError](err)
	return ok
}

// tail is one that goes on over several connections.
type tail struct {
	connection
	client *Client
	filter LineFilter
	lines  int
	give   func(TailEvent) error

	last   string    // the last event's ID; empty until there was one
	marked time.Time // by the service's clock: what was written before is given

	seed      maphash.Seed
	seen, old map[uint64]uint64 // lines that were given and their requests, in two generations
}

// connect follows until the connection is lost, which is an error. connected
// says that it was there.
func (t *tail) connect(ctx context.Context) (connected bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	query := t.filter.Values()
	query.Del("since")
	header := http.Header{}
	if t.last != "" {
		header.Set("Last-Event-ID", t.last)
	}
	res, err := t.client.open(ctx, http.MethodGet, t.client.path(query, "lines", "tail"), "text/event-stream", header)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()

	// The connection is there before what came earlier is asked for: nothing
	// falls between the two.
	switch {
	case !t.begun:
		t.marked = clock(res)
		err = t.before(ctx)
	case t.last == "":
		err = t.missed(ctx)
	}
	if err != nil {
		return false, err
	}
	t.begun = true
	if t.lost {
		t.lost = false
		if err := t.tell(TailEvent{Again: true}); err != nil {
			return true, err
		}
	}
	watch := time.AfterFunc(silence, func() { cancel(fmt.Errorf("nothing came for %s", silence)) })
	defer watch.Stop()
	for e, err := range sse.Read(&watched{res.Body, watch}, &sse.ReadConfig{MaxEventSize: maxEvent}) {
		if err == nil {
			err = t.event(ctx, &e)
		} else if cause := context.Cause(ctx); cause != nil {
			err = &UnreachableError{t.client.base.Host, cause}
		} else {
			err = &UnreachableError{t.client.base.Host, err}
		}
		if err != nil {
			return true, err
		}
	}
	return true, &UnreachableError{t.client.base.Host, errors.New("the connection was closed")}
}

// clock is the service's as of an answer, or this machine's.
func clock(res *http.Response) time.Time {
	if at, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		return at
	}
	return time.Now()
}

// watched tells the watch that something came.
type watched struct {
	io.Reader
	watch *time.Timer
}

// Read reads, and winds the watch up.
func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 {
		w.watch.Reset(silence)
	}
	return n, err
}

// before gives the lines that are there already.
func (t *tail) before(ctx context.Context) error {
	switch {
	case t.lines == AllLines:
		return t.client.EachLine(ctx, t.filter, t.found)
	case t.lines < 1:
		return nil
	}
	lines, _, err := t.client.NewestLines(ctx, t.filter, t.lines)
	for i := range lines {
		if err == nil {
			err = t.found(&lines[i])
		}
	}
	return err
}

// missed gives the lines that came while there was no connection, where the
// service cannot be asked to go on from a known place.
func (t *tail) missed(ctx context.Context) error {
	f := t.filter
	f.Since = t.marked.Add(-overlap).UTC().Format(time.RFC3339Nano)
	return t.client.EachLine(ctx, f, t.found)
}

func (t *tail) found(l *read.FoundLine) error { return t.line(&read.TailedLine{FoundLine: *l}) }

// line gives a line that was not given before, or not with its request.
func (t *tail) line(l *read.TailedLine) error {
	hash := func(parts ...string) uint64 {
		var h maphash.Hash
		h.SetSeed(t.seed)
		for _, p := range parts {
			_, _ = h.WriteString(p) // never fails
			_ = h.WriteByte(0)
		}
		return h.Sum64()
	}
	key := hash(l.Namespace, l.Function, l.Instance, string(l.Stream), l.FileID) ^ maphash.Comparable(t.seed, l.Offset)
	request := hash(l.RequestID)
	before, known := t.seen[key]
	if !known {
		before, known = t.old[key]
	}
	if known && before == request {
		return nil
	}
	l.Corrected = known
	if len(t.seen) >= remembered {
		t.old, t.seen = t.seen, make(map[uint64]uint64, remembered)
	}
	t.seen[key] = request
	return t.tell(TailEvent{Line: l})
}

func (t *tail) tell(e TailEvent) error {
	t.failed = t.give(e)
	return t.failed
}

// event takes one event of the service's.
func (t *tail) event(ctx context.Context, e *sse.Event) error {
	into := func(v any) error {
		if err := json.Unmarshal([]byte(e.Data), v); err != nil {
			return fmt.Errorf("decode event: %w", err)
		}
		return nil
	}
	switch e.Type {
	case "line":
		l := new(read.TailedLine)
		if err := into(l); err != nil {
			return err
		}
		if err := t.line(l); err != nil {
			return err
		}
		if l.Time.After(t.marked) {
			t.marked = l.Time
		}
		t.last = e.LastEventID
	case "skipped":
		var left struct{ Lines *uint64 }
		if err := into(&left); err != nil {
			return err
		}
		if left.Lines == nil { // there was no connection for longer than a tail reaches back
			return t.missed(ctx)
		}
		return t.tell(TailEvent{Skipped: true, Lines: left.Lines})
	case "problem":
		var p struct{ Detail string }
		if err := into(&p); err != nil {
			return err
		}
		return t.tell(TailEvent{Problem: p.Detail})
	}
	return nil // or of a newer service
}

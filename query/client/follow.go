package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"github.com/coldscope/coldscope/internal/wire"
)

// Followed is what following a LogQL query gives: one of a line, that the
// connection was lost, and that it is there again.
type Followed struct {
	Labels map[string]string
	Entry  *Entry
	Lost   error // why there is no connection; given once until it is there again
	Again  bool  // the connection is there again
}

// followPage is how many lines are asked for at once.
const followPage = 5000

// followLate is how much later than its time a line may arrive.
const followLate = 15 * time.Second

// Follow calls give with the newest lines lines that a LogQL query finds since
// a time, and then with those that come, until ctx ends or give returns an
// error, which it returns. Where the connection is lost, it connects again and
// asks for what came meanwhile. As in Loki, lines of the same stream, time and
// text are one.
func (c *Client) Follow(ctx context.Context, logql string, since time.Time, lines int, give func(Followed) error) error {
	f := &follow{client: c, query: logql, give: give, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}, last: since}
	return retry(ctx, &f.connection, func(ctx context.Context) (bool, error) { return f.connect(ctx, lines) },
		func(lost error) error { return f.tell(Followed{Lost: lost}) })
}

// connection is how something stands that goes on over several connections.
type connection struct {
	failed error // what the caller returned
	begun  bool  // there was one, and what was there before is given
	lost   bool  // and that was told
}

// retry connects again and again: until ctx ends, the caller has enough, or
// trying again does not mend what is wrong. connect says whether there was a
// connection.
func retry(ctx context.Context, state *connection, connect func(context.Context) (bool, error), tell func(lost error) error) error {
	wait := firstRetry
	for {
		connected, err := connect(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case state.failed != nil:
			return state.failed
		case !state.begun || !worthAnotherTry(err):
			return fmt.Errorf("follow lines: %w", err)
		case connected:
			wait = firstRetry
		}
		if !state.lost {
			state.lost = true
			if err := tell(err); err != nil {
				return err
			}
		}
		timer := time.NewTimer(jitter(wait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		wait = min(2*wait, longestRetry)
	}
}

// follow is one following.
type follow struct {
	connection
	client *Client
	query  string
	give   func(Followed) error
	last   time.Time // of the newest line that was given, or whence to begin

	seed      maphash.Seed
	seen, old map[uint64]struct{} // lines that were given, in two generations
}

func (f *follow) connect(ctx context.Context, lines int) (connected bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(silence, func() { cancel(fmt.Errorf("nothing came for %s", silence)) })
	defer watch.Stop()
	conn, err := f.dial(ctx, lines, watch)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.CloseNow() }() // whoever closed it first
	if f.begun {
		if err := f.missed(ctx); err != nil {
			return false, err
		}
	}
	f.begun = true
	if f.lost {
		f.lost = false
		if err := f.tell(Followed{Again: true}); err != nil {
			return true, err
		}
	}
	for {
		_, raw, err := conn.Read(ctx)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
		if err != nil {
			return true, &UnreachableError{f.client.base.Host, err}
		}
		watch.Reset(silence)
		var frame struct{ Streams json.RawMessage }
		if err := json.Unmarshal(raw, &frame); err != nil {
			return true, fmt.Errorf("decode lines: %w", err)
		}
		streams, err := decodeStreams(frame.Streams)
		if err != nil {
			return true, fmt.Errorf("decode lines: %w", err)
		}
		if err := f.take(streams); err != nil {
			return true, err
		}
	}
}

func (f *follow) dial(ctx context.Context, lines int, watch *time.Timer) (*websocket.Conn, error) {
	u := f.client.base.JoinPath("loki/api/v1/tail")
	query := values(map[string]string{"query": f.query, "start": nanos(f.last), "limit": strconv.Itoa(lines)})
	if f.begun {
		query.Set("start", nanos(f.last.Add(-followLate)))
		query.Set("limit", strconv.Itoa(followPage))
	}
	u.RawQuery = query.Encode()
	header := http.Header{}
	if f.client.tenant != "" {
		header.Set(wire.HeaderTenant, f.client.tenant)
	}
	conn, res, err := websocket.Dial(ctx, u.String(), &websocket.DialOptions{
		HTTPClient: f.client.http, HTTPHeader: header,
		OnPingReceived: func(context.Context, []byte) bool { watch.Reset(silence); return true },
	})
	if err == nil {
		conn.SetReadLimit(maxEvent)
		return conn, nil
	}
	if res != nil {
		defer res.Body.Close()
		if res.StatusCode != http.StatusSwitchingProtocols {
			return nil, problem(res)
		}
	}
	for inner := errors.Unwrap(err); inner != nil && res == nil; inner = errors.Unwrap(inner) {
		err = inner // the outer ones say what a handshake is
	}
	return nil, f.client.unreachable(ctx, err)
}

// missed gives the lines that came while there was no connection. They may be
// more than a connection begins with.
func (f *follow) missed(ctx context.Context) error {
	q := RangeQuery{Query: f.query, Start: f.last.Add(-followLate), End: time.Now().Add(time.Minute), Limit: followPage, Forward: true}
	for {
		r, err := f.client.QueryRange(ctx, q)
		if err != nil {
			return err
		}
		n, newest := 0, q.Start
		for i := range r.Streams {
			for _, e := range r.Streams[i].Entries {
				if n++; e.Time.After(newest) {
					newest = e.Time
				}
			}
		}
		if err := f.take(r.Streams); err != nil || n < followPage || !newest.After(q.Start) {
			return err
		}
		q.Start = newest
	}
}

// take gives the lines that were not given before, in order of time.
func (f *follow) take(streams []Stream) error {
	for _, l := range InOrder(streams) {
		var h maphash.Hash
		h.SetSeed(f.seed)
		// Other labels may be found out later, such as the request.
		for _, part := range []string{l.Labels["namespace"], l.Labels["function"], l.Labels["instance"], l.Labels["stream"], l.Line} {
			_, _ = h.WriteString(part) // never fails
			_ = h.WriteByte(0)
		}
		key := h.Sum64() ^ maphash.Comparable(f.seed, l.Time.UnixNano())
		_, known := f.seen[key]
		if _, before := f.old[key]; known || before {
			continue
		}
		if len(f.seen) >= remembered {
			f.old, f.seen = f.seen, make(map[uint64]struct{}, remembered)
		}
		f.seen[key] = struct{}{}
		if l.Time.After(f.last) {
			f.last = l.Time
		}
		if err := f.tell(Followed{Labels: l.Labels, Entry: &l.Entry}); err != nil {
			return err
		}
	}
	return nil
}

func (f *follow) tell(e Followed) error {
	f.failed = f.give(e)
	return f.failed
}

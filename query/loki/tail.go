package loki

import (
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/eval"
)

// How lines are followed.
const (
	tailEvery    = 500 * time.Millisecond // the store is asked
	tailLate     = 15 * time.Second       // lines may arrive after their time
	tailLines    = 5000                   // are read at once
	tailPing     = time.Second
	tailPatience = 10 * time.Second // with a client that takes nothing
	tailDelay    = 5 * time.Second  // at most, that a client may want
)

// frame is what is sent of lines.
type frame struct {
	Streams       []*stream `json:"streams"`
	Dropped       []any     `json:"dropped_entries"` // none: what a client does not take in time ends its request
	EncodingFlags []string  `json:"encodingFlags,omitempty"`
}

// tail sends lines over a WebSocket as they come.
func (a *API) tail(w http.ResponseWriter, r *http.Request) {
	t, err := a.newTail(r)
	if err != nil {
		code, text := a.failure(r.Context(), err)
		http.Error(w, text, code)
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	done, err := a.follow.Take(ctx, wire.Tenant(r))
	if err != nil {
		w.Header().Set("Retry-After", "10")
		http.Error(w, err.Error(), http.StatusTooManyRequests)
		return
	}
	defer done()
	leave, ok := a.tails.enter(cancel)
	if !ok {
		http.Error(w, errClosing.Error(), http.StatusServiceUnavailable)
		return
	}
	defer leave()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // it has answered
	}
	defer func() { _ = conn.CloseNow() }() // after Close it says that it is closed
	// Clients say nothing; this takes their pongs and their farewell. It is not
	// ended by cancel, for then there would be no farewell to them.
	gone := conn.CloseRead(r.Context())
	defer context.AfterFunc(gone, func() { cancel(context.Cause(gone)) })()
	err = t.run(ctx, conn)
	switch _, text := a.failure(ctx, err); {
	case errors.Is(context.Cause(ctx), errClosing):
		_ = conn.Close(websocket.StatusGoingAway, errClosing.Error())
	case gone.Err() == nil && err != nil:
		_ = conn.Close(websocket.StatusInternalError, text[:min(len(text), 120)]) // what a farewell holds
	}
}

var errClosing = errors.New("the service is stopping")

// tails are the clients that follow lines.
type tails struct {
	mu      sync.Mutex
	closed  bool                                  // guarded by mu
	cancels map[*context.CancelCauseFunc]struct{} // guarded by mu
	running sync.WaitGroup
}

// enter counts a client in, whom cancel ends, until it leaves; false if
// it is too late.
func (t *tails) enter(cancel context.CancelCauseFunc) (leave func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, false
	}
	if t.cancels == nil {
		t.cancels = map[*context.CancelCauseFunc]struct{}{}
	}
	t.cancels[&cancel] = struct{}{}
	t.running.Add(1)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.cancels, &cancel)
		t.running.Done()
	}, true
}

// EndTails tells the clients that follow lines to go, and waits until they have.
// Nobody can follow afterwards.
func (a *API) EndTails() {
	a.tails.mu.Lock()
	a.tails.closed = true
	for cancel := range a.tails.cancels {
		(*cancel)(errClosing)
	}
	a.tails.mu.Unlock()
	a.tails.running.Wait()
}

// tail is one client that follows lines.
type tail struct {
	api   *API
	r     *http.Request
	expr  *logql.LogExpr
	apart bool
	delay time.Duration
	limit int
	since int64           // lines before are sent, or will not be
	sent  map[uint64]bool // lines that were
	old   map[uint64]bool // lines that were, some time ago
	aged  time.Time       // when sent became old
	seed  maphash.Seed
}

func (a *API) newTail(r *http.Request) (*tail, error) {
	if err := r.ParseForm(); err != nil {
		return nil, &badRequest{err.Error()}
	}
	e, err := parsedLog(r)
	if err != nil {
		return nil, err
	}
	t := &tail{api: a, r: r, expr: e, apart: categorized(r), sent: map[uint64]bool{}, seed: maphash.MakeSeed(), aged: a.now()}
	if s := r.Form.Get("delay_for"); s != "" {
		if t.delay, err = parseSpan(s); err != nil {
			return nil, err
		}
		if t.delay < 0 || t.delay > tailDelay {
			return nil, bad("delay_for can't be greater than %s", tailDelay)
		}
	}
	if t.limit, err = whole(r, "limit", defaultEntries, maxEntries); err != nil {
		return nil, err
	}
	start, err := timeOf(r, "start", a.now().Add(-defaultSpan))
	if err != nil {
		return nil, err
	}
	t.since = start.UnixNano()
	return t, nil
}

func (t *tail) run(ctx context.Context, conn *websocket.Conn) error {
	if err := t.begin(ctx, conn); err != nil {
		return err
	}
	look := time.NewTicker(tailEvery)
	defer look.Stop()
	ping := time.NewTicker(tailPing)
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ping.C:
			patience, cancel := patient(ctx)
			err := conn.Ping(patience)
			cancel()
			if err != nil {
				return err
			}
		case <-look.C:
			if err := t.look(ctx, conn); err != nil {
				return err
			}
		}
	}
}

// patient is for what is said to a client. It does not end with ctx, for that
// would cut the connection off in the middle of it.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), tailPatience)
}

// begin sends the newest lines that are there.
func (t *tail) begin(ctx context.Context, conn *websocket.Conn) error {
	now := t.until()
	var entries []eval.LogEntry
	err := t.logs(ctx, eval.LogQuery{Span: eval.Span{Start: t.since, End: now}, Backward: true, Limit: t.limit}, func(e eval.LogEntry) error {
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return err
	}
	slices.Reverse(entries)
	if len(entries) == t.limit {
		t.since = entries[0].Time // older ones are too many
	}
	t.since = max(t.since, now-int64(tailLate))
	return t.send(ctx, conn, entries)
}

func (t *tail) until() int64 { return t.api.now().Add(-t.delay).UnixNano() }

// logs reads lines, when it is its turn.
func (t *tail) logs(ctx context.Context, q eval.LogQuery, yield func(eval.LogEntry) error) error {
	done, err := t.api.turns.Take(ctx, wire.Tenant(t.r))
	if err != nil {
		return err
	}
	defer done()
	return t.api.query(t.r, t.expr).Logs(ctx, q, yield)
}

// look sends what has come since.
func (t *tail) look(ctx context.Context, conn *websocket.Conn) error {
	for {
		until := t.until()
		var entries []eval.LogEntry
		n, last := 0, t.since
		err := t.logs(ctx, eval.LogQuery{Span: eval.Span{Start: t.since, End: until}, Limit: tailLines}, func(e eval.LogEntry) error {
			n, last = n+1, e.Time
			if !t.known(&e) {
				entries = append(entries, e)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := t.send(ctx, conn, entries); err != nil {
			return err
		}
		if n < tailLines {
			t.since = max(t.since, until-int64(tailLate))
			return nil
		}
		if last == t.since {
			last++ // as many lines of one moment are not followed on
		}
		t.since = last
	}
}

// key names a line: as in Loki, two of the same stream, time and text are one.
func (t *tail) key(e *eval.LogEntry) uint64 {
	var h maphash.Hash
	h.SetSeed(t.seed)
	maphash.WriteComparable(&h, e.Time)
	_, _ = h.WriteString(e.Stream.String())
	_, _ = h.WriteString(e.Body)
	return h.Sum64()
}

func (t *tail) known(e *eval.LogEntry) bool {
	k := t.key(e)
	return t.sent[k] || t.old[k]
}

func (t *tail) send(ctx context.Context, conn *websocket.Conn, entries []eval.LogEntry) error {
	if now := t.api.now(); now.Sub(t.aged) > 2*tailLate { // what is not looked at any more is forgotten
		t.old, t.sent, t.aged = t.sent, map[uint64]bool{}, now
	}
	if len(entries) == 0 {
		return nil
	}
	streams := newStreams(t.apart)
	for i := range entries {
		t.sent[t.key(&entries[i])] = true
		if err := streams.add(entries[i]); err != nil {
			return err
		}
	}
	f := frame{Streams: streams.list}
	if t.apart {
		f.EncodingFlags = []string{"categorize-labels"}
	}
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	patience, cancel := patient(ctx)
	defer cancel()
	return conn.Write(patience, websocket.MessageText, b)
}

package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/coldscope/coldscope/internal/wire"
)

// Mode is how a sink behaves.
type Mode struct {
	Down       bool          `json:"down,omitempty"`        // nobody listens
	Status     int           `json:"status,omitempty"`      // answer of every push; 0: take it
	RetryAfter int           `json:"retry_after,omitempty"` // seconds, with Status
	Delay      time.Duration `json:"delay,omitempty"`       // of every answer
	// Fail is how often a push fails: a quarter of them with 503, a quarter with
	// a connection that ends before the push is stored, half after that.
	Fail float64 `json:"fail,omitempty"`
	Seed uint64  `json:"seed,omitempty"` // of Fail's dice
	// Poison is a text for whose sake a whole push is answered 400.
	Poison string `json:"poison,omitempty"`
}

// receiver is the sink's process.
type receiver struct {
	addr   string // of pushes, once it is known
	server *http.Server
	count  bool

	mu     sync.Mutex
	mode   Mode
	dice   *rand.Rand
	walker walker
	ledger *ledger
	tally  tally
	body   sync.Pool
}

// SinkCommand is the first argument with which a program that uses rig has to
// call SinkMain with the rest of them.
const SinkCommand = "rig-sink"

// SinkMain runs a sink in this process until ctx ends.
func SinkMain(ctx context.Context, args []string) error {
	set := flag.NewFlagSet(SinkCommand, flag.ContinueOnError)
	r := &receiver{ledger: newLedger(), dice: rand.New(rand.NewPCG(1, 1))}
	set.BoolVar(&r.count, "count", false, "only count")
	set.BoolVar(&r.tally.timed, "lag", false, "with -count: note how old entries are on arrival")
	only := set.String("only", "", "with -count: count entries only whose labels hold this")
	if err := set.Parse(args); err != nil {
		return err
	}
	if *only != "" {
		r.tally.only = []byte(*only)
	}
	r.addr = "127.0.0.1:0"
	if err := r.listen(ctx); err != nil {
		return err
	}
	control, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /mode", r.setMode)
	mux.HandleFunc("POST /report", r.sendReport)
	server := newServer(mux)
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	fmt.Fprintf(os.Stdout, "%s %s\n", r.addr, control.Addr())
	if err := server.Serve(control); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // aborted connections are wanted
	}
}

// listen takes pushes again.
func (r *receiver) listen(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", r.addr)
	if err != nil {
		return err
	}
	r.addr = l.Addr().String()
	server := newServer(http.HandlerFunc(r.push))
	r.server = server
	go func() { _ = server.Serve(l) }() // ends with the process, or in setMode
	return nil
}

func (r *receiver) setMode(w http.ResponseWriter, req *http.Request) {
	var m Mode
	if err := json.NewDecoder(req.Body).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	was := r.mode
	r.mode = m
	if m.Seed != 0 {
		r.dice = rand.New(rand.NewPCG(m.Seed, 1))
	}
	r.mu.Unlock()
	switch {
	case m.Down && !was.Down:
		_ = r.server.Close()
	case !m.Down && was.Down:
		if err := r.listen(context.WithoutCancel(req.Context())); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}
}

func (r *receiver) sendReport(w http.ResponseWriter, req *http.Request) {
	var expect map[string]int
	_ = json.NewDecoder(req.Body).Decode(&expect) // nothing is expected then
	r.mu.Lock()
	report := r.ledger.full(expect)
	if r.count {
		report = r.tally.full()
	}
	r.mu.Unlock()
	_ = json.NewEncoder(w).Encode(report) // the harness went away
}

// push is POST /loki/api/v1/push.
func (r *receiver) push(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path != wire.PathPush {
		http.NotFound(w, req)
		return
	}
	buf, ok := r.body.Get().(*bytes.Buffer)
	if !ok {
		buf = new(bytes.Buffer)
	}
	defer r.body.Put(buf)
	buf.Reset()
	if _, err := buf.ReadFrom(req.Body); err != nil {
		return
	}
	r.mu.Lock()
	mode := r.mode
	dice := 1.0
	if mode.Fail > 0 {
		dice = r.dice.Float64() / mode.Fail
	}
	r.mu.Unlock()
	if mode.Delay > 0 {
		select {
		case <-req.Context().Done():
		case <-time.After(mode.Delay):
		}
	}
	code := http.StatusNoContent
	abort := false
	switch {
	case mode.Status != 0:
		code = mode.Status
		if mode.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(mode.RetryAfter))
		}
	case dice < 0.25:
		code = http.StatusServiceUnavailable
	case dice < 0.5:
		panic(http.ErrAbortHandler)
	default:
		abort = dice < 1
		code = r.take(buf.Bytes(), mode.Poison)
	}
	r.mu.Lock()
	r.attempt(code)
	r.mu.Unlock()
	if abort {
		panic(http.ErrAbortHandler) // stored, but nobody learns of it
	}
	w.WriteHeader(code)
	if code/100 != 2 {
		_, _ = io.WriteString(w, "the rig says no\n")
	}
}

func (r *receiver) attempt(code int) {
	report := &r.ledger.report
	if r.count {
		report = &r.tally.report
	}
	report.Attempts++
	if code/100 == 2 {
		report.Pushes++
		report.LastPush = time.Now()
	}
}

// take stores a push, and gives the status with which it is answered.
func (r *receiver) take(body []byte, poison string) int {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if poison != "" {
		found := false
		_ = r.walker.push(body, func(_ []byte, e *entry) {
			found = found || bytes.Contains(e.line, []byte(poison))
		})
		if found {
			return http.StatusBadRequest
		}
	}
	if r.count {
		r.tally.report.Bytes += int64(len(body))
		if err := r.walker.push(body, func(l []byte, e *entry) { r.tally.take(l, e, now) }); err != nil {
			return http.StatusBadRequest
		}
		return http.StatusNoContent
	}
	r.ledger.report.Bytes += int64(len(body))
	if err := r.walker.push(body, r.ledger.take); err != nil {
		r.ledger.wrong("%v", err)
		return http.StatusBadRequest
	}
	return http.StatusNoContent
}

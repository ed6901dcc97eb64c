// Package demo drives the sample functions of the function host and checks
// afterwards, against what the functions themselves said, that the store has
// every line once and gave it the right request.
package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/functionhost"
)

// LinesHeader is the sample functions' own count of the lines that their
// instance has written so far.
const LinesHeader = "X-Sample-Lines"

// Load is what is asked of the sample functions.
type Load struct {
	Requests int
	Clients  int // at a time
	Seed     uint64
	// Progress is told after each request how many were answered, and how
	// many of those were cold.
	Progress func(answered, cold int)
}

// Written is what the functions said of themselves.
type Written struct {
	Lines    map[string]int // by instance
	Requests int
	Failed   []string // requests that were not answered at all, with the reason
}

// Total sums the lines of all instances.
func (w *Written) Total() int {
	n := 0
	for _, lines := range w.Lines {
		n += lines
	}
	return n
}

// call is one kind of request.
type call struct {
	function string
	weight   int
	request  func(*rand.Rand) functionhost.Request
}

func get(path string) func(*rand.Rand) functionhost.Request {
	return func(*rand.Rand) functionhost.Request { return functionhost.Request{Method: http.MethodGet, Path: path} }
}

// calls is what the demo's users do: mostly looking, sometimes buying, now
// and then running into a bug.
var calls = []call{
	{"demo/webapp", 6, get("/")},
	{"demo/webapp", 5, get("/products")},
	{"demo/webapp", 6, func(r *rand.Rand) functionhost.Request {
		return functionhost.Request{Method: http.MethodGet, Path: "/product/" + strconv.Itoa(1+r.IntN(500))}
	}},
	{"demo/webapp", 2, get("/checkout")},
	{"demo/webapp", 1, get("/boom")},
	{"demo/inference", 8, func(r *rand.Rand) functionhost.Request {
		return functionhost.Request{
			Method: http.MethodPost, Path: "/v1/models/half_plus_two:predict",
			Body: fmt.Appendf(nil, `{"instances": [%.1f, %.1f, %.1f]}`, 10*r.Float64(), 10*r.Float64(), 10*r.Float64()),
		}
	}},
}

func pick(r *rand.Rand) *call {
	sum := 0
	for i := range calls {
		sum += calls[i].weight
	}
	n := r.IntN(sum)
	for i := range calls {
		if n -= calls[i].weight; n < 0 {
			return &calls[i]
		}
	}
	return &calls[0]
}

// Run sends the load and returns when every request was answered.
func Run(ctx context.Context, host *functionhost.Host, load Load) (*Written, error) {
	w := &Written{Lines: map[string]int{}, Requests: load.Requests}
	var mu sync.Mutex // guards w, answered, cold
	answered, cold := 0, 0
	todo := make(chan *rand.Rand)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(todo)
		for n := range load.Requests {
			select {
			case todo <- rand.New(rand.NewPCG(load.Seed, uint64(n))):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range load.Clients {
		g.Go(func() error {
			for r := range todo {
				c := pick(r)
				resp, err := host.Invoke(ctx, c.function, c.request(r))
				if ctx.Err() != nil {
					return ctx.Err()
				}
				mu.Lock()
				answered++
				if err != nil {
					w.Failed = append(w.Failed, fmt.Sprintf("%s: %v", c.function, err))
				} else {
					if resp.Cold {
						cold++
					}
					w.note(&resp)
				}
				load.Progress(answered, cold)
				mu.Unlock()
				if err := pause(ctx, time.Duration(r.IntN(40))*time.Millisecond); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("send requests: %w", err)
	}
	if len(w.Failed) == load.Requests {
		return nil, errors.New("no request was answered; the first failed with: " + w.Failed[0])
	}
	return w, nil
}

// note keeps the highest count that an instance gave. Its answers may come in
// another order than it wrote them.
func (w *Written) note(resp *functionhost.Response) {
	n, err := strconv.Atoi(strings.TrimSpace(resp.Header.Get(LinesHeader)))
	if err != nil || resp.Instance == "" {
		w.Failed = append(w.Failed, fmt.Sprintf("the answer of %s (status %d) does not count its lines", resp.Instance, resp.HTTPStatus))
		return
	}
	w.Lines[resp.Instance] = max(w.Lines[resp.Instance], n)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/test/corpus/rows"
	"github.com/coldscope/coldscope/test/loss/rig"
)

const (
	spread    = 24 * time.Hour // of the lines that are asked about
	loadBlock = 100_000        // lines of one insert
	samples   = 200            // requests that are asked about
	users     = 50
	askFor    = 8 * time.Second // of one question
)

// asked is a store that is asked: a server over a day of the corpus.
type asked struct {
	*server
	conn     driver.Conn
	begin    time.Time
	lines    int
	requests []rowRequest
}

type rowRequest struct{ id, function string }

// queries measures what people wait for, over HTTP, warm, over a day of lines.
func (b *bench) queries(ctx context.Context) error {
	s, err := b.server(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	dsn, err := os.ReadFile(filepath.Join(s.dir, "data", "clickhouse", "dsn"))
	if err != nil {
		return err
	}
	conn, err := clickhouse.Open(ctx, strings.TrimSpace(string(dsn)))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	a := &asked{server: s, conn: conn, begin: time.Now().Add(-spread - time.Hour).Truncate(time.Hour), lines: b.queryLines}
	if err := a.load(ctx); err != nil {
		return err
	}
	if err := a.rolled(ctx); err != nil {
		return err
	}
	if err := s.quiet(ctx); err != nil {
		return err
	}
	for _, q := range questions() {
		if err := b.ask(ctx, a, q); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			b.add(Result{Name: q.name, Target: q.target, State: "failed", Note: err.Error()})
		}
	}
	// People look at an answer before they ask the next; scripts don't.
	if err := b.crowd(ctx, a, fmt.Sprintf("%d users, a question a second each", users), time.Second, 500); err != nil {
		return err
	}
	return b.crowd(ctx, a, fmt.Sprintf("%d users, each asking without a pause", users), 0, 0)
}

// load writes the rows that the aggregator would have written.
func (a *asked) load(ctx context.Context) error {
	gen, err := rows.New(a.lines, a.begin, spread)
	if err != nil {
		return err
	}
	every := max(a.lines/samples, 1)
	for n := 0; n < a.lines; {
		logs := make([]schema.LogRow, min(loadBlock, a.lines-n))
		var starts []schema.ColdStartRow
		var phases []schema.PhaseRow
		for i := range logs {
			row, start := gen.Next()
			logs[i] = row
			if n++; n%every == every/2 {
				a.requests = append(a.requests, rowRequest{row.RequestID, row.Function})
			}
			if start != nil {
				starts, phases = append(starts, start.ColdStart), append(phases, start.Init)
			}
		}
		err = errors.Join(schema.Logs.Insert(ctx, a.conn, logs), schema.ColdStarts.Insert(ctx, a.conn, starts), schema.Phases.Insert(ctx, a.conn, phases))
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
	}
	return nil
}

// rolled waits until the server has made figures of all minutes.
func (a *asked) rolled(ctx context.Context) error {
	for end := time.Now().Add(20 * time.Minute); ; {
		var dirty uint64
		if err := a.conn.QueryRow(ctx, "SELECT count() FROM rollup_state WHERE dirtied > rolled").Scan(&dirty); err != nil {
			return fmt.Errorf("look at the figures: %w", err)
		}
		if dirty == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d minutes have no figures yet", dirty)
		}
		if err := rig.Wait(ctx, time.Second); err != nil {
			return err
		}
	}
}

// question is what is asked again and again, each time about another request or
// its function.
type question struct {
	name   string
	target float64 // ms, p50
	ask    func(context.Context, *asked, rowRequest) (answers int, err error)
}

func questions() []question {
	lines := func(limit int, query func(rowRequest) string) func(context.Context, *asked, rowRequest) (int, error) {
		return func(ctx context.Context, a *asked, r rowRequest) (int, error) { return a.logs(ctx, query(r), limit) }
	}
	return []question{
		{"a request's lines, function given", 2, lines(5000, func(r rowRequest) string {
			return fmt.Sprintf(`{namespace=%q, function=%q} | request_id=%q`, rows.Namespace, r.function, r.id)
		})},
		{"a request's lines", 4, lines(5000, func(r rowRequest) string { return fmt.Sprintf(`{namespace=%q} | request_id=%q`, rows.Namespace, r.id) })},
		{"a request's page", 15, func(ctx context.Context, a *asked, r rowRequest) (int, error) {
			p, err := a.page(ctx, r.id, nil)
			return len(p.Lines), err
		}},
		{"rare word, a function's day", 4, lines(100, func(r rowRequest) string {
			return fmt.Sprintf(`{namespace=%q, function=%q} |= "quasarfault"`, rows.Namespace, r.function)
		})},
		{"rare word, all functions' day", 40, lines(100, func(rowRequest) string { return fmt.Sprintf(`{namespace=%q} |= "quasarfault"`, rows.Namespace) })},
		{"newest 1000 with a common word, a function's day", 12, lines(1000, func(r rowRequest) string {
			return fmt.Sprintf(`{namespace=%q, function=%q} |= "timeout"`, rows.Namespace, r.function)
		})},
		{"newest 100 of a function", 4, lines(100, func(r rowRequest) string {
			return fmt.Sprintf(`{namespace=%q, function=%q}`, rows.Namespace, r.function)
		})},
		{"lines by the minute, a function's day, of figures", 20, func(ctx context.Context, a *asked, r rowRequest) (int, error) {
			return a.histogram(ctx, r.function, time.Minute)
		}},
		{"lines by the minute, a function's day, of lines", 150, func(ctx context.Context, a *asked, r rowRequest) (int, error) {
			return a.series(ctx, fmt.Sprintf(`sum(count_over_time({namespace=%q, function=%q}[1m]))`, rows.Namespace, r.function), time.Minute)
		}},
		{"p50 and p99 of a number in lines by 5 minutes, all functions' day", 300, func(ctx context.Context, a *asked, _ rowRequest) (n int, err error) {
			for _, p := range []string{"0.5", "0.99"} {
				found, err := a.series(ctx, fmt.Sprintf(`quantile_over_time(%s, {namespace=%q} | unwrap init_ms [5m]) by (namespace)`, p, rows.Namespace), 5*time.Minute)
				if err != nil || found == 0 {
					return n, errors.Join(err, fmt.Errorf("%d figures", found))
				}
				n += found
			}
			return n, nil
		}},
		{"starts' percentiles by 5 minutes, all functions' day", 20, func(ctx context.Context, a *asked, _ rowRequest) (int, error) {
			return a.get(ctx, "/api/v1/coldstarts/history", url.Values{"step": {"5m"}})
		}},
	}
}

// ask asks q for a while.
func (b *bench) ask(ctx context.Context, a *asked, q question) error {
	var took []time.Duration
	var before time.Duration
	begin := time.Now()
	for i := -3; i < 5 || i < samples && time.Since(begin) < askFor; i++ {
		if i == 0 { // warm
			_, spent, err := a.spent()
			if err != nil {
				return err
			}
			before, begin = spent, time.Now()
		}
		at := time.Now()
		if _, err := q.ask(ctx, a, a.requests[(i+samples)*7919%len(a.requests)]); err != nil {
			return err
		}
		if i >= 0 {
			took = append(took, time.Since(at))
		}
	}
	_, after, err := a.spent()
	if err != nil {
		return err
	}
	slices.Sort(took)
	b.add(Result{
		Name: q.name, Figure: ms(took[len(took)/2]), Unit: "ms p50", Target: q.target,
		Note: fmt.Sprintf("p95 %.1f ms, engine %.1f CPU ms, of %d lines", ms(took[len(took)*95/100]), ms(after-before)/float64(len(took)), a.lines),
	})
	return nil
}

// crowd has many people ask for what is looked at most, each every now and then:
// at 0 as soon as there is an answer.
func (b *bench) crowd(ctx context.Context, a *asked, name string, every time.Duration, target float64) error {
	var mix []question
	for _, q := range questions() {
		if q.target > 0 && q.target <= 15 {
			mix = append(mix, q)
		}
	}
	var mu sync.Mutex
	var took []time.Duration
	var refused atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	end := time.Now().Add(askFor)
	for user := range users {
		g.Go(func() error {
			due := time.Now().Add(every * time.Duration(user) / users) // not all at once
			for i := user; time.Now().Before(end); i++ {
				if err := rig.Wait(ctx, time.Until(due)); err != nil {
					return err
				}
				at := time.Now()
				due = at.Add(every)
				_, err := mix[i%len(mix)].ask(ctx, a, a.requests[i*7919%len(a.requests)])
				for err != nil && strings.Contains(err.Error(), "429") { // a tenant has its turns; who waits for one waits
					refused.Add(1)
					if err = rig.Wait(ctx, 50*time.Millisecond); err == nil {
						_, err = mix[i%len(mix)].ask(ctx, a, a.requests[i*7919%len(a.requests)])
					}
				}
				if err != nil {
					return err
				}
				mu.Lock()
				took = append(took, time.Since(at))
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	slices.Sort(took)
	b.add(Result{
		Name: name, Figure: ms(took[len(took)*99/100]), Unit: "ms p99", Target: target,
		Note: fmt.Sprintf("p50 %.1f ms, %d answers in %s, %d times refused for a moment", ms(took[len(took)/2]), len(took), askFor, refused.Load()),
	})
	return nil
}

// logs asks for the newest lines of the day, in LogQL.
func (a *asked) logs(ctx context.Context, query string, limit int) (n int, err error) {
	return a.loki(ctx, url.Values{"query": {query}, "limit": {strconv.Itoa(limit)}, "direction": {"backward"}})
}

// series asks for figures over the day, in LogQL.
func (a *asked) series(ctx context.Context, query string, step time.Duration) (int, error) {
	return a.loki(ctx, url.Values{"query": {query}, "step": {strconv.Itoa(int(step.Seconds()))}})
}

// loki asks for the day and counts the values of the answer.
func (a *asked) loki(ctx context.Context, query url.Values) (n int, err error) {
	query.Set("start", strconv.FormatInt(a.begin.UnixNano(), 10))
	query.Set("end", strconv.FormatInt(a.begin.Add(spread).UnixNano(), 10))
	body, err := a.body(ctx, "/loki/api/v1/query_range", query)
	if err != nil {
		return 0, err
	}
	var answer struct {
		Data struct {
			Result []struct{ Values []json.RawMessage }
		}
	}
	err = json.Unmarshal(body, &answer)
	for i := range answer.Data.Result {
		n += len(answer.Data.Result[i].Values)
	}
	return n, err
}

// histogram asks how many lines a function had in each step of the day.
func (a *asked) histogram(ctx context.Context, function string, step time.Duration) (int, error) {
	var answer struct{ Counts []json.RawMessage }
	query := url.Values{"namespace": {rows.Namespace}, "function": {function}, "step": {step.String()}, "since": {a.begin.Format(time.RFC3339)}, "until": {a.begin.Add(spread).Format(time.RFC3339)}}
	err := a.answer(ctx, "/api/v1/lines/histogram?"+query.Encode(), &answer)
	return len(answer.Counts), err
}

// get asks the API for a list about the day.
func (a *asked) get(ctx context.Context, path string, query url.Values) (int, error) {
	query.Set("since", a.begin.Format(time.RFC3339))
	query.Set("until", a.begin.Add(spread).Format(time.RFC3339))
	body, err := a.body(ctx, path, query)
	if err != nil {
		return 0, err
	}
	var list []json.RawMessage
	err = json.Unmarshal(body, &list)
	return len(list), err
}

func (a *asked) body(ctx context.Context, path string, query url.Values) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", path, resp.Status, body)
	}
	return body, err
}

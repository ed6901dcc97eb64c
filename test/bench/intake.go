package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/test/corpus"
	"github.com/coldscope/coldscope/test/loss/rig"
)

// What senders do: so many lines in a push, so many pushes at once. A push is
// answered when it is stored, so that its sender has to have others under way.
const (
	pushLines = 5000
	pushes    = 64
	// profiledRate is the least rate of lines at which the whole of a load is in
	// the profile: one that is taken too long is of idling.
	profiledRate = 60_000
	hosts        = 8 // that send, where they are collectors: each as many at once as a collector does
)

// server is the real binary with all that stores and answers; its engine is a
// child of it.
type server struct {
	*rig.Process
	engine int // process ID
	client *http.Client
	dir    string
}

func (b *bench) server(ctx context.Context) (*server, error) {
	if b.serverBinary == "" {
		path, err := rig.Server(ctx, b.dir)
		if err != nil {
			return nil, err
		}
		b.serverBinary = path
	}
	dir, err := os.MkdirTemp(b.dir, "serve-")
	if err != nil {
		return nil, err
	}
	// The collector in it looks at nothing.
	config := filepath.Join(dir, "coldscope.yaml")
	none := filepath.Join(dir, "none")
	text := fmt.Sprintf("collector:\n  docker: [%s]\n  cri: [%[1]s]\n  runtimes: {docker: off, containerd: off, kubernetes: off, cri: off}\n  socket: %s\n", none, filepath.Join(dir, "s"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	args := []string{"serve", "--data-dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--config", config}
	if b.profile != "" {
		args = append(args, "--pprof")
	}
	p, err := rig.StartProcess(ctx, nil, b.serverBinary, args...)
	if err != nil {
		return nil, err
	}
	s := &server{Process: p, dir: dir, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: pushes + 8}}}
	children, err := p.Children()
	if err == nil && len(children) != 1 {
		err = fmt.Errorf("%d child processes, want the engine's", len(children))
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.engine = children[0]
	return s, nil
}

func (s *server) close() {
	_ = s.Terminate(time.Minute)
	_ = os.RemoveAll(s.dir)
}

// spent is the processor time of the server and of its engine.
func (s *server) spent() (server, engine time.Duration, err error) {
	if server, err = s.Processor(); err != nil {
		return 0, 0, err
	}
	engine, err = rig.Processor(s.engine)
	return server, engine, err
}

// push sends a body until it is taken.
func (s *server) push(ctx context.Context, body []byte) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+wire.PathPush, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", wire.MediaPush)
		resp, err := s.client.Do(req)
		if err != nil {
			return err
		}
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		_ = resp.Body.Close()
		switch resp.StatusCode {
		case http.StatusNoContent:
			return nil
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			if err := rig.Wait(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		default:
			return fmt.Errorf("push: %s: %s", resp.Status, bytes.TrimSpace(text))
		}
	}
}

// send pushes lines of the corpus at a rate a second.
func (s *server) send(ctx context.Context, from *sender, lines, rate int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(pushes)
	begin := time.Now()
	for sent := 0; sent < lines && ctx.Err() == nil; {
		n := min(pushLines, lines-sent, rate/20)
		if err := rig.Wait(ctx, time.Until(begin.Add(time.Duration(sent)*time.Second/time.Duration(rate)))); err != nil {
			break
		}
		body, err := from.next(n)
		if err != nil {
			return err
		}
		sent += n
		g.Go(func() error { return s.push(ctx, body) })
	}
	return g.Wait()
}

// store connects to the server's engine; the caller closes it.
func (s *server) store(ctx context.Context) (driver.Conn, error) {
	dsn, err := os.ReadFile(filepath.Join(s.dir, "data", "clickhouse", "dsn"))
	if err != nil {
		return nil, err
	}
	return clickhouse.Open(ctx, strings.TrimSpace(string(dsn)))
}

// stored is what the engine says of its tables on the disk, without parts that
// were merged into others and are still there.
func (s *server) stored(ctx context.Context) (disk uint64, err error) {
	conn, err := s.store(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	return disk, conn.QueryRow(ctx, "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()").Scan(&disk)
}

// quiet waits until the engine has merged what there is to merge: until it
// takes next to no processor time.
func (s *server) quiet(ctx context.Context) error {
	last, err := rig.Processor(s.engine)
	for still := 0; err == nil && still < 5; {
		if err = rig.Wait(ctx, time.Second); err != nil {
			return err
		}
		var now time.Duration
		now, err = rig.Processor(s.engine)
		if still++; now-last > 100*time.Millisecond {
			still = 0
		}
		last = now
	}
	return err
}

// intake measures lines from a sender's push until they are stored, and what
// it costs until all is merged.
func (b *bench) intake(ctx context.Context, name string, w workload) error {
	s, err := b.server(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	from := newSender(b.lines, w.events)
	bodies, err := from.all(b.lines, w.hosts) // to encode them takes a processor, too
	if err != nil {
		return err
	}
	serverBefore, engineBefore, err := s.spent() // on starting
	if err != nil {
		return err
	}
	profiles := b.profiled(ctx, s, name, time.Duration(b.lines)*time.Second/profiledRate)
	begin := time.Now()
	if err := s.pushAll(ctx, bodies); err != nil {
		return err
	}
	took := time.Since(begin)
	serverTime, engineNow, err := s.spent()
	if err != nil {
		return err
	}
	if err := profiles.end(ctx); err != nil {
		return err
	}
	if err := s.quiet(ctx); err != nil {
		return err
	}
	_, engineTime, err := s.spent()
	if err != nil {
		return err
	}
	_, peak, err := s.Memory()
	if err != nil {
		return err
	}
	_, enginePeak, err := rig.Memory(s.engine)
	if err != nil {
		return err
	}
	disk, err := s.stored(ctx)
	if err != nil {
		return err
	}
	serverTime, engineTime, engineNow = serverTime-serverBefore, engineTime-engineBefore, engineNow-engineBefore
	million := float64(b.lines) / 1e6
	b.add(Result{
		Name: name, Figure: float64(b.lines) / took.Seconds() / 1000, Unit: "thousand lines/s", AtLeast: 300,
		Note: fmt.Sprintf("%d lines and %d events", b.lines, from.events),
	})
	b.add(Result{
		Name: name + ", both", Figure: (serverTime + engineTime).Seconds() / million, Unit: "CPU s/M lines", Target: 5,
		Note: fmt.Sprintf("engine %.2f, of it %.2f merging afterwards", engineTime.Seconds()/million, (engineTime-engineNow).Seconds()/million),
	})
	b.add(Result{
		Name: name + ", aggregator", Figure: serverTime.Seconds() / million, Unit: "CPU s/M lines", Target: 2,
		Note: fmt.Sprintf("beside %.2f s for its start, and %.2f s for the engine's", serverBefore.Seconds(), engineBefore.Seconds()),
	})
	b.add(Result{Name: name + ", on disk", Figure: float64(disk) / float64(b.lines), Unit: "B/line", Target: 36})
	b.add(Result{
		Name: name + ", memory", Figure: float64(peak) / 1e6, Unit: "MB peak RSS", Target: 300,
		Note: fmt.Sprintf("engine %.0f MB", float64(enginePeak)/1e6),
	})
	if w.events && w.hosts > 1 {
		return b.lookups(ctx, s, from)
	}
	return nil
}

// workload is who sends what.
type workload struct {
	events bool // of invocations, too
	// hosts is how many send. What an instance does comes from its host, as from
	// a collector: its pushes start in the order of time, and some of them are
	// under way at once. 1: all are sent by whoever is free, and what is of one
	// instance may overtake itself by as much as is under way in all.
	hosts int
}

// pushAll sends each host's pushes in their order, with as many under way in all
// as pushes says.
func (s *server) pushAll(ctx context.Context, hosts [][][]byte) error {
	all, ctx := errgroup.WithContext(ctx)
	for _, bodies := range hosts {
		all.Go(func() error {
			g, ctx := errgroup.WithContext(ctx)
			g.SetLimit(pushes / len(hosts))
			for _, body := range bodies {
				g.Go(func() error { return s.push(ctx, body) })
			}
			return g.Wait()
		})
	}
	return all.Wait()
}

// lookups asks for requests' pages, with and without the function given.
func (b *bench) lookups(ctx context.Context, s *server, from *sender) error {
	for _, given := range []bool{true, false} {
		var took []time.Duration
		for i := range 220 {
			r := from.requests[(i*7919+13)%len(from.requests)]
			query := url.Values{}
			if given {
				query.Set("namespace", benchNamespace)
				query.Set("function", r.function)
			}
			begin := time.Now()
			page, err := s.page(ctx, r.id, query)
			if err != nil {
				return err
			}
			if i >= 20 { // warm
				took = append(took, time.Since(begin))
			}
			if len(page.Lines) < r.lines {
				return fmt.Errorf("request %s has %d lines, want %d", r.id, len(page.Lines), r.lines)
			}
		}
		slices.Sort(took)
		name := "one request's page"
		if given {
			name += ", function given"
		}
		b.add(Result{
			Name: name, Figure: ms(took[len(took)*95/100]), Unit: "ms p95", Target: 6,
			Note: fmt.Sprintf("p50 %.1f ms, of %d lines stored", ms(took[len(took)/2]), b.lines),
		})
	}
	return nil
}

type page struct {
	Lines []struct {
		Body string `json:"body"`
	} `json:"lines"`
}

func (s *server) page(ctx context.Context, id string, query url.Values) (p page, err error) {
	err = s.answer(ctx, "/api/v1/requests/"+url.PathEscape(id)+"?"+query.Encode(), &p)
	return p, err
}

// answer reads an answer of the API.
func (s *server) answer(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %.200s", path, resp.Status, body)
	}
	return json.Unmarshal(body, into)
}

const benchNamespace = "bench"

// wantedRequests bounds the requests that a sender remembers, to look them up.
const wantedRequests = 5000

// sender makes pushes of the corpus' lines.
type sender struct {
	gen      *corpus.Gen
	params   corpus.Params
	told     bool // a platform tells of invocations
	events   int
	offsets  []uint64                // by instance
	open     map[string]*sentRequest // by ID
	requests []*sentRequest          // that have ended, some of all
	line     corpus.Line
}

type sentRequest struct {
	id, function string
	started      time.Time
	lines        int
}

// newSender makes a sender of lines that were printed up to now, 300 000 a second.
func newSender(lines int, told bool) *sender {
	const step = 3333 * time.Nanosecond
	return newSenderSince(time.Now().Add(-time.Duration(lines)*step), step, told)
}

// newSenderSince makes a sender of lines that were printed from start on, one a step.
func newSenderSince(start time.Time, step time.Duration, told bool) *sender {
	p := corpus.Params{Seed: 1, Functions: 200, Instances: 2000, Active: 16, RareP: 2e-4, Step: step, Start: start.UTC()}
	return &sender{gen: corpus.NewGen(p), params: p, told: told, offsets: make([]uint64, p.Instances), open: map[string]*sentRequest{}}
}

// all are pushes of n lines in all, by the host of the lines' instances.
func (s *sender) all(n, hosts int) ([][][]byte, error) {
	bodies := make([][][]byte, hosts)
	open, lines := make([]pushBuilder, hosts), make([]int, hosts)
	seal := func(host int) error {
		if lines[host] == 0 {
			return nil
		}
		body, err := open[host].encode()
		bodies[host] = append(bodies[host], body)
		open[host], lines[host] = pushBuilder{}, 0
		return err
	}
	for left := n; left > 0; left-- {
		s.gen.Next(&s.line)
		host := s.line.Instance % hosts
		s.add(&open[host], &s.line)
		if lines[host]++; lines[host] < pushLines {
			continue
		}
		if err := seal(host); err != nil {
			return nil, err
		}
	}
	for host := range open {
		if err := seal(host); err != nil {
			return nil, err
		}
	}
	return bodies, nil
}

// next is a push of n lines, in protobuf and snappy.
func (s *sender) next(n int) ([]byte, error) {
	b := pushBuilder{}
	for range n {
		s.gen.Next(&s.line)
		s.add(&b, &s.line)
	}
	return b.encode()
}

func (s *sender) add(b *pushBuilder, l *corpus.Line) {
	function, instance := corpus.FuncName(s.params.Func(l.Instance)), corpus.InstName(l.Instance)
	at := time.Unix(0, l.TS)
	if !s.told { // what Promtail and others send
		b.line(`{function="`+function+`", instance="`+instance+`"}`, at, l.Text, "request_id", l.RID, "level", l.Level)
		return
	}
	r := s.open[l.RID]
	if r == nil {
		r = &sentRequest{id: l.RID, function: function, started: at}
		s.open[l.RID] = r
		s.event(b, at, r, instance, "dev.coldscope.invocation.started", `"trigger":"http"`)
	}
	stream := "stdout"
	if l.Stderr {
		stream = "stderr"
	}
	b.line(`{function="`+function+`", host="bench-host", instance="`+instance+`", namespace="`+benchNamespace+`", stream="`+stream+`", version="1"}`,
		at, l.Text, wire.MetaFileID, wire.FormatFileID(uint64(l.Instance)), wire.MetaOffset, strconv.FormatUint(s.offsets[l.Instance], 10))
	s.offsets[l.Instance] += uint64(len(l.Text)) + 80
	r.lines++
	if strings.HasPrefix(string(l.Text), "REPORT ") {
		delete(s.open, l.RID)
		s.event(b, at.Add(time.Microsecond), r, instance, "dev.coldscope.invocation.ended",
			fmt.Sprintf(`"status":"ok","http_status":200,"started_at":%q`, r.started.UTC().Format(time.RFC3339Nano)))
		if len(s.requests) < wantedRequests {
			s.requests = append(s.requests, r)
		}
	}
}

func (s *sender) event(b *pushBuilder, at time.Time, r *sentRequest, instance, kind, data string) {
	s.events++
	b.event(fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"bench-host","type":%q,"time":%q,"datacontenttype":"application/json","data":{"namespace":%q,"function":%q,"version":"1","instance":%q,"request_id":%q,%s}}`,
		s.events, kind, at.UTC().Format(time.RFC3339Nano), benchNamespace, r.function, instance, r.id, data), at)
}

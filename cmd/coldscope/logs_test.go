package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// site is a Coldscope whose query service can be killed while lines come.
type site struct {
	*user
	dsn, listen string
	sender      *wire.Client
	query       *server
	offset      uint64
}

func newSite(t *testing.T) *site {
	t.Helper()
	_, dsn := clickhousetest.DB(t)
	s := &site{user: newUser(t), dsn: dsn, listen: freePort(t)}
	aggregator := s.serve(t, "aggregator", "--clickhouse", dsn, "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	var err error
	if s.sender, err = wire.NewClient(aggregator.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.sender.Close)
	s.start(t)
	s.env = append(s.env, "COLDSCOPE_URL="+s.query.url)
	return s
}

func (s *site) start(t *testing.T) {
	t.Helper()
	s.query = s.serve(t, "query", "--clickhouse", s.dsn, "--listen", s.listen, "--data-dir", t.TempDir())
}

// write pushes lines of a function's instance, a millisecond apart up to now.
func (s *site) write(t *testing.T, ref faas.Ref, stream faas.Stream, lines ...string) {
	t.Helper()
	entries := make([]push.Entry, 0, len(lines))
	at := time.Now().Add(-time.Duration(len(lines)) * time.Millisecond)
	for _, line := range lines {
		s.offset += 100
		at = at.Add(time.Millisecond)
		entries = append(entries, push.Entry{Timestamp: at, Line: line, StructuredMetadata: wire.Position(0xfeed, s.offset)})
	}
	err := s.sender.Push(t.Context(), faas.DefaultTenant, &push.PushRequest{Streams: []push.Stream{{Labels: wire.StreamLabels(ref, stream, "host-a"), Entries: entries}}})
	if err != nil {
		t.Fatal(err)
	}
}

var cart = faas.Ref{Namespace: "shop", Function: "cart", Version: "v2", Instance: "3f9a21bc77aa01ee"}

func numbered(from, to int) (lines []string) {
	for i := from; i < to; i++ {
		lines = append(lines, fmt.Sprintf("line %d", i))
	}
	return lines
}

// following is coldscope logs -f in a process of its own.
type following struct {
	cmd            *exec.Cmd
	stdout, stderr output
}

func (s *site) follow(t *testing.T, args ...string) *following {
	t.Helper()
	f := &following{cmd: s.command(append(args, "-f", "-o", "json")...)}
	f.cmd.Stdout, f.cmd.Stderr = &f.stdout, &f.stderr
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.cmd.Process.Kill()
		_ = f.cmd.Wait()
		if t.Failed() {
			t.Logf("logs -f:\n%s", f.stderr.String())
		}
	})
	return f
}

// bodies are those of the whole lines that it has printed.
func (f *following) bodies(t *testing.T) (bodies []string) {
	t.Helper()
	for line := range strings.Lines(f.stdout.String()) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		var l struct{ Body, Line string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		bodies = append(bodies, l.Body+l.Line)
	}
	return bodies
}

func (f *following) waitFor(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d lines are printed", n), func() bool { return len(f.bodies(t)) >= n })
}

// TestFollow: logs -f loses no line and shows none twice while its service is
// killed and started again, whether or not it had shown new lines before.
func TestFollow(t *testing.T) {
	s := newSite(t)
	s.write(t, cart, faas.Stdout, numbered(0, 30)...)
	eventually(t, "the lines can be found", func() bool {
		return strings.Count(s.run(t, "logs", "-n", "0", "-o", "raw").stdout, "line ") == 30
	})

	early := s.follow(t, "logs", "shop/cart", "-n", "30")
	early.waitFor(t, 30) // connected, and without a place to go on from
	s.query.kill()
	s.write(t, cart, faas.Stdout, numbered(30, 60)...)
	eventually(t, "it notices", func() bool { return strings.Contains(early.stderr.String(), "trying again") })
	s.start(t)
	early.waitFor(t, 60)

	late := s.follow(t, "logs", "cart", "-n", "0")
	late.waitFor(t, 60)
	asking := s.follow(t, "query", `{function="cart"} |= "l"`)
	asking.waitFor(t, 60)
	s.write(t, cart, faas.Stdout, numbered(60, 90)...)
	early.waitFor(t, 90)
	late.waitFor(t, 90)
	asking.waitFor(t, 90)
	for round := range 2 {
		from := 90 + 200*round
		s.query.kill()
		s.write(t, cart, faas.Stderr, numbered(from, from+100)...)
		s.start(t)
		s.write(t, cart, faas.Stdout, numbered(from+100, from+200)...)
		early.waitFor(t, from+200)
		late.waitFor(t, from+200)
		asking.waitFor(t, from+200)
	}
	// Another line comes behind all that might still come a second time.
	s.write(t, cart, faas.Stdout, "the last")
	for name, f := range map[string]*following{"early": early, "late": late, "asking": asking} {
		eventually(t, "the last line is printed", func() bool { return slices.Contains(f.bodies(t), "the last") })
		got := f.bodies(t)
		want := append(numbered(0, 490), "the last")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d lines, want %d: %q", name, len(got), len(want), got)
		}
		if !strings.Contains(f.stderr.String(), "connected again") {
			t.Errorf("%s does not say that it is connected again", name)
		}
		if err := f.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_ = f.cmd.Wait()
		if status, ok := f.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGINT {
			t.Errorf("%s ended with %v", name, f.cmd.ProcessState)
		}
	}
}

// TestLogs asks for lines in every way.
func TestLogs(t *testing.T) {
	s := newSite(t)
	checkout := faas.Ref{Namespace: "shop", Function: "checkout", Version: "v1", Instance: "checkout-7d9f-abcde"}
	s.write(t, cart, faas.Stdout, `{"level":"info","msg":"took an order","user":"ann"}`, "plain text", `{"level":"error","msg":"TIMEOUT of the bank"}`)
	s.write(t, checkout, faas.Stderr, "panic: boom\n\tat main.go:12\n\tat http.go:99", "evil \u202e line", "WARN a slow answer")
	eventually(t, "the lines can be found", func() bool {
		return strings.Count(s.run(t, "logs", "-n", "0", "-o", "json").stdout, "\n") == 6
	})
	count := func(want int, args ...string) string {
		t.Helper()
		r := s.run(t, append([]string{"logs", "-o", "json"}, args...)...)
		code := 0
		if want == 0 {
			code = exitNothing
		}
		r.want(t, fmt.Sprint(args), code)
		if got := strings.Count(r.stdout, "\n"); got != want {
			t.Errorf("%v: %d lines, want %d\n%s", args, got, want, r.stdout)
		}
		return r.stdout
	}
	count(6)
	count(3, "cart")
	count(3, "shop/checkout")
	count(0, "other/checkout")
	count(3, "checkout", "--namespace", "shop")
	count(3, "--function-version", "v1")
	count(3, "--instance", cart.Instance)
	count(3, "--stream", "stderr")
	count(6, "--stream", "stderr,stdout")
	count(1, "--grep", "TIMEOUT")
	count(0, "--grep", "timeout")
	count(1, "--grep", "time(d |)out", "-i")
	count(1, "--level", "error", "cart")
	count(2, "--level", "info", "cart")
	count(2, "-n", "2")
	count(6, "-n", "0", "--since", "1m")
	count(0, "--until", "1h", "--since", "2h")
	count(0, "--request", "nobody")
	if out := count(1, "--grep", "evil"); !strings.Contains(out, `evil \u202e line`) {
		t.Errorf("hostile bytes in JSON: %s", out)
	}

	raw := s.run(t, "logs", "checkout", "-o", "raw").stdout
	if raw != "panic: boom\n\tat main.go:12\n\tat http.go:99\nevil \u202e line\nWARN a slow answer\n" {
		t.Errorf("raw, into a pipe: %q", raw)
	}
	logfmt := s.run(t, "logs", "checkout", "-o", "logfmt", "--utc", "-n", "3").stdout
	for _, want := range []string{`function=shop/checkout instance=checkout-7d9f-abcde stream=stderr`, `msg="panic: boom\n\tat main.go:12`, `msg="evil \u202e line"`} {
		if !strings.Contains(logfmt, want) {
			t.Errorf("logfmt without %q:\n%s", want, logfmt)
		}
	}
	text := s.run(t, "logs", "-n", "0").stdout
	for _, want := range []string{"shop/cart ", "shop/checkout …-7d9f-abcde", "    at main.go:12\n", `evil \u202e line`} {
		if !strings.Contains(text, want) {
			t.Errorf("text without %q:\n%s", want, text)
		}
	}
	if strings.ContainsAny(text, "\u202e") {
		t.Errorf("hostile bytes get through: %q", text)
	}
	if colored := s.run(t, "logs", "--color", "always").stdout; !strings.Contains(colored, "\x1b[") || strings.Contains(colored, "\u202e") {
		t.Errorf("colours: %q", colored)
	}
	for _, bad := range [][]string{{"--stream", "x"}, {"--level", "bad"}, {"-n", "-1"}, {"-f", "--until", "1m"}, {"--grep", "("}, {"a", "b"}, {"--since", "x"}, {"-o", "table"}} {
		s.run(t, append([]string{"logs"}, bad...)...).want(t, fmt.Sprint(bad), exitUsage)
	}
	s.query.kill()
	s.run(t, "logs", "-f").want(t, "nobody there", exitUnreachable, "is the service running there?")
	s.run(t, "query", "-f", "{}").want(t, "nobody there", exitUnreachable, "is the service running there?")
}

// TestBrokenPipe: output that nobody reads any more ends the program quietly.
func TestBrokenPipe(t *testing.T) {
	s := newSite(t)
	s.write(t, cart, faas.Stdout, numbered(0, 100)...)
	eventually(t, "the lines can be found", func() bool {
		return strings.Count(s.run(t, "logs", "-n", "0", "-o", "raw").stdout, "line ") == 100
	})
	sh := exec.Command("sh", "-c", `"$0" logs -f -n 0 -o raw | head -n 3`, s.command().Path)
	sh.Env = s.env
	var stderr bytes.Buffer
	sh.Stderr = &stderr
	out, err := sh.Output()
	if err != nil || string(out) != "line 0\nline 1\nline 2\n" || stderr.Len() > 0 {
		t.Errorf("%q %v %s", out, err, stderr.String())
	}
}

// TestQuery asks with LogQL in every way.
func TestQuery(t *testing.T) {
	s := newSite(t)
	checkout := faas.Ref{Namespace: "shop", Function: "checkout", Version: "v1", Instance: "checkout-7d9f-abcde"}
	s.write(t, cart, faas.Stdout, numbered(0, 30)...)
	s.write(t, checkout, faas.Stderr, "level=error status=500 user=\u202eann", "level=info status=200 user=bob")
	eventually(t, "the lines can be found", func() bool {
		return strings.Count(s.run(t, "logs", "-n", "0", "-o", "json").stdout, "\n") == 32
	})
	ask := func(args ...string) string {
		t.Helper()
		r := s.run(t, append([]string{"query"}, args...)...)
		r.want(t, fmt.Sprint(args), 0)
		return r.stdout
	}
	if out := ask(`{function="cart"}`, "-o", "raw", "-n", "3"); out != "line 27\nline 28\nline 29\n" {
		t.Errorf("the newest lines: %q", out)
	}
	if out := ask(`{namespace="shop"} | logfmt | status >= 500`); !strings.Contains(out, `shop/checkout …-7d9f-abcde ERROR level=error status=500 user=\u202eann`) || strings.Count(out, "\n") != 1 {
		t.Errorf("text: %s", out)
	}
	var line struct {
		Time   time.Time `json:"ts"`
		Labels map[string]string
		Line   string
	}
	if out := ask(`{function="checkout"} |= "bob"`, "-o", "json"); json.Unmarshal([]byte(out), &line) != nil || line.Labels["function"] != "checkout" || line.Line != "level=info status=200 user=bob" || time.Since(line.Time) > time.Hour {
		t.Errorf("JSON: %s", out)
	}
	if out := ask(`sum by (function) (count_over_time({namespace="shop"}[1h]))`, "--instant"); !strings.Contains(out, "FUNCTION  VALUE\n") || !strings.Contains(out, "cart         30  █") || !strings.Contains(out, "checkout      2  █") {
		t.Errorf("a vector: %s", out)
	}
	if out := ask(`sum(count_over_time({namespace="shop"}[1h]))`, "--instant", "-o", "raw"); out != "32\n" {
		t.Errorf("a value: %q", out)
	}
	if out := ask(`sum by (function) (count_over_time({namespace="shop"}[1h]))`, "--since", "10m"); !strings.Contains(out, "FUNCTION    LAST    MEAN     MAX") || !strings.Contains(out, "cart          30") {
		t.Errorf("a matrix: %s", out)
	}
	if out := ask(`sum(count_over_time({namespace="shop"}[1h]))`, "--since", "10m"); !strings.Contains(out, "      32 │") || !strings.Contains(out, "last 32 · mean ") {
		t.Errorf("a graph: %s", out)
	}
	var series struct {
		Labels map[string]string
		Values []struct {
			Time  time.Time `json:"ts"`
			Value string
		}
	}
	out := ask(`sum by (function) (count_over_time({function="cart"}[1h]))`, "--since", "10m", "--step", "1m", "-o", "json")
	if err := json.Unmarshal([]byte(out), &series); err != nil || series.Labels["function"] != "cart" || len(series.Values) == 0 || series.Values[len(series.Values)-1].Value != "30" {
		t.Errorf("a matrix in JSON: %v %s", err, out)
	}
	if out := ask(`sum by (function) (count_over_time({function="cart"}[1h]))`, "--instant", "-o", "logfmt"); !strings.Contains(out, " function=cart value=30\n") {
		t.Errorf("logfmt: %s", out)
	}
	s.run(t, "query", `{function=}`, "-f").want(t, "no LogQL to follow", exitUsage, "parse error")
	s.run(t, "query", `{function="cart"}`, "-f", "--instant").want(t, "follow one moment", exitUsage, "neither")
	s.run(t, "query", `{function="nobody"}`).want(t, "nothing", exitNothing, "gives nothing")
	s.run(t, "query", `{function=}`).want(t, "no LogQL", exitUsage, "parse error")
	s.run(t, "query", `{function="cart"}`, "--since", "1h", "--until", "2h").want(t, "no range", exitUsage, "--until is not later")
	s.run(t, "query", `{function="cart"}`, "--since", "x").want(t, "no time", exitUsage, "neither a time nor a duration")
}

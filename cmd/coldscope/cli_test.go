package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// asProgram makes the test binary the program itself.
const asProgram = "COLDSCOPE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	clickhousetest.Main(m)
}

// user is somebody with a home of their own, at a shell.
type user struct {
	env []string
	dir string // of configurations
}

func newUser(t *testing.T, env ...string) *user {
	t.Helper()
	dir := t.TempDir()
	kept := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "COLDSCOPE_") || strings.HasPrefix(v, "NO_COLOR") })
	return &user{append(append(kept, asProgram+"=1", "XDG_CONFIG_HOME="+dir, "HOME="+dir, "TZ=UTC"), env...), dir}
}

func (u *user) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = u.env
	return cmd
}

// ran is what a command printed, and what it exited with.
type ran struct {
	stdout, stderr string
	code           int
}

func (u *user) run(t *testing.T, args ...string) ran {
	t.Helper()
	return u.runWith(t, "", args...)
}

func (u *user) runWith(t *testing.T, stdin string, args ...string) ran {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := u.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return ran{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// want checks how a command ended; texts have to be in what it printed.
func (r ran) want(t *testing.T, what string, code int, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("%s does not print %q", what, text)
			code = -1
		}
	}
	if r.code != code {
		t.Errorf("%s exits with %d, want %d\nstdout:\n%s\nstderr:\n%s", what, r.code, code, r.stdout, r.stderr)
	}
}

// server is a service in a process of its own.
type server struct {
	cmd *exec.Cmd
	url string
}

func (u *user) serve(t *testing.T, args ...string) *server {
	t.Helper()
	cmd := u.command(args...)
	var stderr output
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: cmd}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("%s:\n%s", args[0], stderr.String())
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ready := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if !ready {
		t.Fatalf("%s is not ready: %q %v\n%s", args[0], line, err, stderr.String())
	}
	s.url = url
	return s
}

func (s *server) kill() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL) // gone already, if it was killed before
	_ = s.cmd.Wait()
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if os.Getenv("COLDSCOPE_UPDATE") != "" {
		write(t, path, got)
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; look at it, then COLDSCOPE_UPDATE=1 go test ./cmd/coldscope (-want +got):\n%s", path, diff)
	}
}

// TestLook asks the query service about the sample, as a user at a shell.
func TestLook(t *testing.T) {
	conn, dsn := clickhousetest.DB(t)
	u := newUser(t)
	s := u.serve(t, "query", "--clickhouse", dsn, "--listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	readtest.Sample(t, conn)
	u.run(t, "context", "set", "sample", "--url", s.url).want(t, "context set", 0)

	span := []string{"--since", "2026-05-04 11:00", "--until", "2026-05-04T13:00:00Z"}
	for name, args := range map[string][]string{
		"functions":       append([]string{"functions"}, span...),
		"functions_json":  append([]string{"functions", "-o", "json"}, span...),
		"coldstarts":      append([]string{"coldstarts", "default/inference", "--utc"}, span...),
		"coldstarts_json": append([]string{"coldstarts", "inference", "--function-version", "v3", "-o", "json"}, span...),
		"request":         {"request", readtest.Cold, "--utc"},
		"request_color":   {"request", readtest.Failed, "--color", "always"},
	} {
		r := u.run(t, args...)
		r.want(t, name, 0)
		golden(t, name, r.stdout)
	}
	var page struct {
		Invocation struct {
			RequestID string `json:"request_id"`
		}
	}
	r := u.run(t, "request", readtest.Cold, "-o", "json")
	if err := json.Unmarshal([]byte(r.stdout), &page); err != nil || page.Invocation.RequestID != readtest.Cold {
		t.Errorf("%v: %s", err, r.stdout)
	}
	abroad := newUser(t, "TZ=Asia/Tokyo", "COLDSCOPE_URL="+s.url)
	abroad.run(t, "request", readtest.Cold).want(t, "abroad", 0, "2026-05-04 21:00:00.123 JST")
	abroad.run(t, "functions", "--since", "2026-05-04 20:00", "--until", "2026-05-04 22:00").want(t, "abroad", 0, "05-04 21:00")

	u.run(t, "request", "nobody").want(t, "no such request", exitNothing, "not found")
	u.run(t, "coldstarts", "nobody").want(t, "no starts", exitNothing, "0 finished")
	u.run(t, "functions", "--since", "1m").want(t, "no functions", exitNothing, "No function")
	u.run(t, "functions", "--since", "yesterday").want(t, "a time that is none", exitUsage, "query.since: neither")
	u.run(t, "functions", "-o", "yaml").want(t, "a format that is none", exitUsage, "want table or json", "see coldscope functions --help")
	u.run(t, "functions", "--color", "blue").want(t, "a colour that is none", exitUsage, "want auto, always or never")
	u.run(t, "functions", "--context", "nope").want(t, "a context that is none", exitUsage, "there are sample")
	u.run(t, "functions", "--nope").want(t, "a flag that is none", exitUsage, "unknown flag")
	u.run(t, "functon").want(t, "a command that is none", exitUsage, "do you mean functions?")
	u.run(t, "context", "foo").want(t, "a subcommand that is none", exitUsage, `unknown command "foo"`)
	u.run(t, "request").want(t, "no argument", exitUsage, "accepts 1 arg")
	u.run(t, "query", "--limit", "3").want(t, "a query without one", exitUsage, "--limit needs a LogQL query")
	u.run(t, "query", "{}", "--listen", "x").want(t, "a query with a service's flag", exitUsage, "--listen is for the query service")
	u.run(t, "functions", "--url", "http://"+freePort(t)).want(t, "nobody there", exitUnreachable, "is the service running there?")
	u.run(t, "functions", "--url", "http://nobody.invalid").want(t, "no such host", exitUnreachable, "nobody.invalid")
	u.run(t, "functions", "--url", "nonsense").want(t, "no URL", exitUsage, "want http://")
	u.run(t, "delete", "--function", "a/b").want(t, "delete without a tenant", exitUsage, "--tenant is missing")

	complete := func(args ...string) string {
		t.Helper()
		return u.run(t, append([]string{"__complete"}, args...)...).stdout
	}
	for want, got := range map[string]string{
		"sample\t" + s.url: complete("functions", "--context", ""),
		"json\n":           complete("functions", "-o", ""),
		":4":               complete("functions", ""), // no files
	} {
		if !strings.Contains(got, want) {
			t.Errorf("completion: no %q in %q", want, got)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		u.run(t, "completion", shell).want(t, "completion "+shell, 0, "__complete")
	}
}

// TestContexts keeps contexts and uses them.
func TestContexts(t *testing.T) {
	u := newUser(t)
	u.run(t, "context", "list").want(t, "no contexts", exitNothing)
	u.run(t, "context", "set", "prod").want(t, "no URL", exitUsage, "url: want")
	u.run(t, "context", "set", "prod", "--url", "https://cs.example", "--tenant", "acme", "--token-command", "pass show cs").want(t, "set", 0)
	u.runWith(t, "s3cret\n", "context", "set", "lab", "--url", "http://127.0.0.1:9480", "--token-stdin").want(t, "set", 0)
	u.runWith(t, "\n", "context", "set", "lab", "--token-stdin").want(t, "no token", exitUsage, "no token")
	u.run(t, "context", "set", "lab", "--token-file", "/t", "--token-command", "x").want(t, "two tokens", exitUsage, "token-command")
	u.run(t, "context", "set", "lab", "--tenant", "other", "--use").want(t, "change", 0)
	list := u.run(t, "context", "list")
	list.want(t, "list", 0)
	golden(t, "contexts", list.stdout)
	u.run(t, "context", "show").want(t, "show", 0, "http://127.0.0.1:9480", "context lab")
	u.run(t, "context", "show", "prod", "-o", "json").want(t, "show", 0, `"token_command": "pass show cs"`)
	u.run(t, "context", "show", "--tenant", "mine").want(t, "show", 0, "mine", "--tenant")
	for _, args := range [][]string{{"context", "list", "-o", "json"}, {"context", "show"}, {"context", "show", "-o", "json"}, {"context", "use", "nope"}} {
		if r := u.run(t, args...); strings.Contains(r.stdout+r.stderr, "s3cret") {
			t.Errorf("%v shows the token:\n%s", args, r.stdout)
		}
	}
	u.run(t, "context", "use", "prod").want(t, "use", 0)
	u.run(t, "context", "show").want(t, "show", 0, "https://cs.example")
	u.run(t, "context", "remove", "prod").want(t, "remove", 0)
	u.run(t, "context", "use", "prod").want(t, "use what is gone", exitUsage, "there are lab")
	u.run(t, "context", "show").want(t, "none is current", 0, "http://127.0.0.1:9480", "default")
	path := filepath.Join(u.dir, "coldscope", "contexts.yaml")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	u.run(t, "functions").want(t, "a token open to others", exitFailed, "chmod 600")
}

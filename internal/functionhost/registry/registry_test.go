package registry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run starts a registry with one image, repo:1.
func run(t *testing.T, cfg Config) (*Registry, v1.Image) {
	t.Helper()
	cfg.Dir = t.TempDir()
	r, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	img, err := random.Image(300<<10, 2)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := r.Push(t.Context(), "repo", "1", img)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := r.Lookup("repo", "1"); !ok || got.Digest != digest || got.Bytes < 600<<10 {
		t.Errorf("Lookup: %+v %v", got, ok)
	}
	return r, img
}

// client makes options that log in as the user.
func client(t *testing.T, username, password string) []remote.Option {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return []remote.Option{
		remote.WithContext(t.Context()), remote.WithTransport(tr),
		remote.WithAuth(&authn.Basic{Username: username, Password: password}),
	}
}

func issue(t *testing.T, r *Registry, repo string) (username, password string) {
	t.Helper()
	username, password, err := r.Issue(t.Context(), repo)
	if err != nil {
		t.Fatal(err)
	}
	return username, password
}

func statusOf(err error) int {
	if e, ok := errors.AsType[*transport.Error](err); ok {
		return e.StatusCode
	}
	return 0
}

func TestPullByDigest(t *testing.T) {
	r, img := run(t, Config{})
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	username, password := issue(t, r, "repo")
	tag, err := name.NewTag(r.Addr() + "/repo:1")
	if err != nil {
		t.Fatal(err)
	}
	head, err := remote.Head(tag, client(t, username, password)...)
	if err != nil || head.Digest != want {
		t.Fatalf("head: %+v %v, want %s", head, err, want)
	}
	pulled, err := remote.Image(tag.Digest(head.Digest.String()), client(t, username, password)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(pulled); err != nil {
		t.Error(err)
	}
}

func TestAccess(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	r, _ := run(t, Config{CredentialTTL: time.Minute, TokenTTL: 2 * time.Minute, Now: func() time.Time { return time.Unix(0, now.Load()) }})
	ref, err := name.NewTag(r.Addr() + "/repo:1")
	if err != nil {
		t.Fatal(err)
	}
	username, password := issue(t, r, "repo")
	otherUser, otherPassword := issue(t, r, "other")
	for what, opts := range map[string][]remote.Option{
		"wrong password":       client(t, username, "wrong"),
		"unknown user":         client(t, "nobody", password),
		"another repository's": client(t, otherUser, otherPassword),
		"nobody":               {remote.WithContext(t.Context())},
	} {
		if _, err := remote.Get(ref, opts...); statusOf(err) != http.StatusUnauthorized {
			t.Errorf("%s: got %v", what, err)
		}
	}

	token := login(t, r, username, password)
	if got := get(t, r, http.MethodGet, token); got != http.StatusOK {
		t.Errorf("with a token: HTTP %d", got)
	}
	if got := get(t, r, http.MethodPut, token); got != http.StatusMethodNotAllowed {
		t.Errorf("push: HTTP %d", got)
	}
	now.Add(int64(90 * time.Second))
	if got := get(t, r, http.MethodGet, token); got != http.StatusOK {
		t.Errorf("with the token, after the credentials expired: HTTP %d", got)
	}
	if _, err := remote.Get(ref, client(t, username, password)...); statusOf(err) != http.StatusUnauthorized || !strings.Contains(err.Error(), "expired") {
		t.Errorf("with expired credentials: %v", err)
	}
	now.Add(int64(90 * time.Second))
	if got := get(t, r, http.MethodGet, token); got != http.StatusUnauthorized {
		t.Errorf("with an expired token: HTTP %d", got)
	}
}

func do(t *testing.T, req *http.Request) (status int, body []byte) {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func login(t *testing.T, r *Registry, username, password string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+r.Addr()+"/token?service=coldscope&scope=repository:repo:pull", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(username, password)
	var answer struct {
		Token     string
		ExpiresIn int `json:"expires_in"`
	}
	_, body := do(t, req)
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	if answer.ExpiresIn != 120 {
		t.Errorf("expires_in is %d", answer.ExpiresIn)
	}
	return answer.Token
}

func get(t *testing.T, r *Registry, method, token string) int {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+r.Addr()+"/v2/repo/manifests/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	status, _ := do(t, req)
	return status
}

// TestBandwidth only has an upper bound for the pace: a busy machine is slower.
func TestBandwidth(t *testing.T) {
	r, img := run(t, Config{Bandwidth: 1 << 20, Latency: 20 * time.Millisecond})
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	username, password := issue(t, r, "repo")
	ref, err := name.NewDigest(r.Addr() + "/repo@" + digest.String())
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	l, err := remote.Layer(ref, client(t, username, password)...)
	if err != nil {
		t.Fatal(err)
	}
	body, err := l.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, body)
	body.Close()
	if err != nil || n < 300<<10 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	// 300 KiB at 1 MiB/s, less what a stream may make up for.
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("%d bytes took %v", n, took)
	}
}

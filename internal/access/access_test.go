package access_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/coldscope/coldscope/internal/access"
	"github.com/coldscope/coldscope/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer is a log that is read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *buffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func token(t testing.TB, name, tenants string, scopes ...access.Scope) *access.Token {
	t.Helper()
	made, err := access.NewToken(name, strings.Split(tenants, ","), scopes, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// file writes an access file with tokens and further text.
func file(t testing.TB, more string, tokens ...*access.Token) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "access.yaml")
	write(t, path, more, tokens...)
	return path
}

func write(t testing.TB, path, more string, tokens ...*access.Token) {
	t.Helper()
	var b strings.Builder
	if len(tokens) > 0 {
		b.WriteString("tokens:\n")
	}
	for _, t := range tokens {
		b.WriteString(t.Entry + "\n")
	}
	if err := os.WriteFile(path, []byte(b.String()+more), 0o600); err != nil {
		t.Fatal(err)
	}
}

func guard(t testing.TB, cfg access.Config, log *buffer) *access.Guard {
	t.Helper()
	g, err := access.New(cfg, log.logger(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// echo answers with who the guard says that the sender is.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	s := wire.SenderOf(r.Context())
	fmt.Fprintf(w, "%s as %s", s.Name, wire.Tenant(r))
})

type headers map[string]string

func ask(t testing.TB, h http.Handler, method, target string, headers headers) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for k, v := range headers {
		for one := range strings.SplitSeq(v, "\x00") {
			r.Header.Add(k, one)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func bearer(t *access.Token) string { return "Bearer " + t.Token }

func basic(user, password string) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

func TestGuard(t *testing.T) {
	var log buffer
	one := token(t, "one", "acme", access.Read)
	pusher := token(t, "pusher", "acme,beta", access.Push)
	mixed := token(t, "mixed", "acme,default", access.Push, access.Read)
	all := token(t, "all", "*", access.Read, access.Push)
	admin := token(t, "admin", "*", access.Admin)
	old, err := access.NewToken("old", []string{"acme"}, []access.Scope{access.Read}, time.Now().Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, access.Config{File: file(t, "", one, pusher, mixed, all, admin, old), ProtectMetrics: true}, &log)
	h := g.Wrap(echo)
	const orgID = wire.HeaderTenant
	for name, c := range map[string]struct {
		method, path string
		headers      headers
		code         int
		says         string
	}{
		"one tenant":                {"GET", "/api/v1/requests", headers{"Authorization": bearer(one)}, 200, "one as acme"},
		"one tenant, named":         {"GET", "/api/v1/requests", headers{"Authorization": bearer(one), orgID: "acme"}, 200, "one as acme"},
		"another's tenant":          {"GET", "/api/v1/requests", headers{"Authorization": bearer(one), orgID: "beta"}, 403, `"one" may not act for tenant "beta"`},
		"default is another, too":   {"GET", "/api/v1/requests", headers{"Authorization": bearer(one), orgID: "default"}, 403, "may not act"},
		"star is no tenant":         {"GET", "/api/v1/requests", headers{"Authorization": bearer(one), orgID: "*"}, 400, `"*" is no tenant`},
		"signed elsewhere":          {"POST", "/", headers{"Authorization": "TC3-HMAC-SHA256 Credential=a/b/scf/tc3_request"}, 200, " as default"},
		"not below it":              {"POST", "/x", headers{"Authorization": "TC3-HMAC-SHA256 Credential=a/b/scf/tc3_request"}, 401, "holds no token"},
		"nor otherwise":             {"PUT", "/", nil, 401, "a token is needed"},
		"basic":                     {"GET", "/api/v1/requests", headers{"Authorization": basic("anybody", one.Token)}, 200, "one as acme"},
		"basic without a name":      {"GET", "/api/v1/requests", headers{"Authorization": basic("", one.Token)}, 200, "one as acme"},
		"token as the user":         {"GET", "/api/v1/requests", headers{"Authorization": basic(one.Token, "")}, 401, "no token"},
		"scheme in capitals":        {"GET", "/api/v1/requests", headers{"Authorization": "BEARER " + one.Token}, 200, "one as acme"},
		"nobody":                    {"GET", "/api/v1/requests", nil, 401, "a token is needed: send it as"},
		"nobody with a tenant":      {"GET", "/api/v1/requests", headers{orgID: "acme"}, 401, "a token is needed"},
		"wrong token":               {"GET", "/api/v1/requests", headers{"Authorization": bearer(one) + "x"}, 401, "not known"},
		"prefix of a token":         {"GET", "/api/v1/requests", headers{"Authorization": bearer(one)[:40]}, 401, "not known"},
		"the hash":                  {"GET", "/api/v1/requests", headers{"Authorization": "Bearer " + strings.Split(one.Entry, "'")[3]}, 401, "not known"},
		"empty token":               {"GET", "/api/v1/requests", headers{"Authorization": "Bearer "}, 401, "no token"},
		"another scheme":            {"GET", "/api/v1/requests", headers{"Authorization": "Digest " + one.Token}, 401, "no token"},
		"two tokens":                {"GET", "/api/v1/requests", headers{"Authorization": bearer(one) + "\x00" + bearer(all)}, 401, "more than one"},
		"expired":                   {"GET", "/api/v1/requests", headers{"Authorization": bearer(old)}, 401, `"old" expired at`},
		"wrong scope":               {"GET", "/api/v1/requests", headers{"Authorization": bearer(pusher), orgID: "acme"}, 403, `"pusher" has not the scope read`},
		"push":                      {"POST", wire.PathPush, headers{"Authorization": bearer(pusher), orgID: "beta"}, 200, "pusher as beta"},
		"push, which tenant":        {"POST", wire.PathPush, headers{"Authorization": bearer(pusher)}, 403, "name one by the header X-Scope-OrgID"},
		"push, a third tenant":      {"POST", wire.PathPush, headers{"Authorization": bearer(pusher), orgID: "default"}, 403, "may not act"},
		"push, default":             {"POST", wire.PathEvents, headers{"Authorization": bearer(mixed)}, 200, "mixed as default"},
		"push, all":                 {"POST", wire.PathEvents, headers{"Authorization": bearer(all), orgID: "x"}, 200, "all as x"},
		"push, all and none":        {"POST", wire.PathEvents, headers{"Authorization": bearer(all)}, 200, "all as default"},
		"push by a reader":          {"POST", "/v1/logs", headers{"Authorization": bearer(one)}, 403, "scope push"},
		"two tenants at once":       {"GET", "/api/v1/requests", headers{"Authorization": bearer(all), orgID: "a|b"}, 400, "X-Scope-OrgID"},
		"two tenant headers":        {"GET", "/api/v1/requests", headers{"Authorization": bearer(all), orgID: "a\x00b"}, 400, "more than one"},
		"bad tenant":                {"GET", "/api/v1/requests", headers{"Authorization": bearer(all), orgID: "x' OR 1=1"}, 400, "letters, digits"},
		"long tenant":               {"GET", "/api/v1/requests", headers{"Authorization": bearer(all), orgID: strings.Repeat("x", 151)}, 400, "at most 150"},
		"bad tenant of a stranger":  {"GET", "/api/v1/requests", headers{orgID: ".."}, 401, "a token is needed"},
		"collector's files":         {"GET", "/api/v1/collector/status", headers{"Authorization": bearer(one)}, 403, "about all tenants"},
		"collector's files, all":    {"GET", "/api/v1/collector/status", headers{"Authorization": bearer(all)}, 200, "all as"},
		"metrics":                   {"GET", "/metrics", nil, 401, ""},
		"metrics of one":            {"GET", "/metrics", headers{"Authorization": bearer(one)}, 403, "about all tenants"},
		"metrics, all":              {"GET", "/metrics", headers{"Authorization": bearer(all)}, 200, ""},
		"profile":                   {"GET", "/debug/pprof/", headers{"Authorization": bearer(all)}, 403, "scope admin"},
		"delete by a reader":        {"DELETE", "/api/v1/requests/x", headers{"Authorization": bearer(all)}, 403, "scope admin"},
		"delete":                    {"DELETE", "/api/v1/requests/x", headers{"Authorization": bearer(admin), orgID: "acme"}, 200, "admin as acme"},
		"admin's endpoints":         {"GET", "/api/v1/admin/x", headers{"Authorization": bearer(all)}, 403, "scope admin"},
		"unknown change":            {"POST", "/anything", headers{"Authorization": bearer(all)}, 403, "scope admin"},
		"unknown change, nobody":    {"PUT", "/", nil, 401, ""},
		"tunnel":                    {"CONNECT", "/api/v1/requests", nil, 401, ""},
		"head":                      {"HEAD", "/api/v1/requests", nil, 401, ""},
		"Loki query by POST":        {"POST", "/loki/api/v1/query_range", headers{"Authorization": bearer(one)}, 200, "one as acme"},
		"ready":                     {"GET", "/ready", nil, 200, ""},
		"healthy":                   {"GET", "/-/healthy", nil, 200, ""},
		"console":                   {"GET", "/requests/abc", nil, 200, ""},
		"another site's page":       {"POST", wire.PathEvents, headers{"Authorization": bearer(all), "Sec-Fetch-Site": "cross-site"}, 403, "another site"},
		"another origin, no Fetch":  {"DELETE", "/api/v1/x", headers{"Authorization": bearer(admin), "Origin": "https://evil.example"}, 403, "another site"},
		"the console's own page":    {"DELETE", "/api/v1/x", headers{"Authorization": bearer(admin), "Sec-Fetch-Site": "same-origin"}, 200, ""},
		"a sub path of ready":       {"POST", "/ready/../api/v1/admin/x", nil, 401, ""},
		"encoded path":              {"GET", "/%61pi/v1/requests", nil, 401, ""},
		"encoded slash":             {"GET", "/api%2Fv1/requests", nil, 401, ""},
		"push token reads by POST?": {"POST", "/loki/api/v1/query", headers{"Authorization": bearer(pusher), orgID: "acme"}, 403, "scope read"},
	} {
		w := ask(t, h, c.method, c.path, c.headers)
		if body := w.Body.String(); w.Code != c.code || !strings.Contains(strings.ReplaceAll(body, `\"`, `"`), c.says) {
			t.Errorf("%s: %d %s\nwant %d %s", name, w.Code, body, c.code, c.says)
		}
		challenges := w.Header().Values("WWW-Authenticate")
		if (w.Code == 401) != (len(challenges) == 2 && strings.HasPrefix(challenges[0], "Basic ") && strings.HasPrefix(challenges[1], "Bearer ")) {
			t.Errorf("%s: %d with challenges %q", name, w.Code, challenges)
		}
		problem := w.Header().Get("Content-Type") == "application/problem+json"
		if w.Code >= 400 && problem != strings.HasPrefix(httptest.NewRequest("GET", c.path, nil).URL.Path, "/api/") {
			t.Errorf("%s: a problem: %t", name, problem)
		}
	}
	for _, secret := range []*access.Token{one, pusher, mixed, all, admin, old} {
		if s := log.String(); strings.Contains(s, secret.Token) || strings.Contains(s, secret.Token[10:40]) {
			t.Errorf("a token is in the log:\n%s", s)
		}
	}
	if s := log.String(); !strings.Contains(s, `msg=audit audit="DELETE /api/v1/requests/x" who=all tenant="" outcome=failed`) {
		t.Errorf("what was no admin's matter is not in the audit log:\n%s", s)
	}
}

// Whatever way of writing a path leads a request to a handler, the guard has
// seen the same path.
func TestPathsCannotLie(t *testing.T) {
	var log buffer
	g := guard(t, access.Config{File: file(t, "", token(t, "a", "a", access.Read)), ProtectMetrics: true}, &log)
	mux := http.NewServeMux()
	reached := ""
	for _, pattern := range []string{"/api/v1/", "POST " + wire.PathPush, "POST /v1/events", "/api/v1/collector/", "GET /metrics", "/debug/pprof/", "/loki/api/v1/query"} {
		mux.HandleFunc(pattern, func(_ http.ResponseWriter, r *http.Request) { reached = pattern })
	}
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	h, open := g.Wrap(mux), 0
	tricks := []func(string) string{
		func(p string) string { return p },
		func(p string) string { return "/" + p },
		func(p string) string { return "/ready/.." + p },
		func(p string) string { return "/ready/%2e%2e" + p },
		func(p string) string { return "/x/.." + p },
		func(p string) string { return "/." + p },
		func(p string) string { return strings.Replace(p, "/", "/%2f", 2)[3:] },
		func(p string) string { return "/" + url.PathEscape(p[1:]) },
		func(p string) string { return strings.Replace(p, "i", "%69", 1) },
		func(p string) string { return strings.Replace(p, "v", "%76", 1) },
		func(p string) string { return p + "/../x" },
		func(p string) string { return p + ";x=y" },
		func(p string) string { return "http://other.example" + p },
		func(p string) string { return strings.ToUpper(p) },
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "X"} {
		for _, path := range []string{"/api/v1/requests", wire.PathPush, "/v1/events", "/api/v1/collector/status", "/metrics", "/debug/pprof/heap", "/loki/api/v1/query"} {
			for i, trick := range tricks {
				target := trick(path)
				if !strings.HasPrefix(target, "/") && !strings.HasPrefix(target, "http") {
					target = "/" + target
				}
				u, err := url.ParseRequestURI(target)
				if err != nil {
					continue
				}
				r := httptest.NewRequestWithContext(t.Context(), method, "/", nil)
				r.URL, r.RequestURI = u, target
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if reached != "" {
					t.Errorf("%s %s (trick %d) reached %q with %d", method, target, i, reached, w.Code)
				}
				mux.ServeHTTP(httptest.NewRecorder(), r)
				if reached != "" {
					open++
				}
				reached = ""
			}
		}
	}
	if open < 50 {
		t.Errorf("without the guard only %d requests reach anything", open)
	}
}

// Without a file all is as open as it was.
func TestOpen(t *testing.T) {
	var log buffer
	g := guard(t, access.Config{}, &log)
	if g.Closed() {
		t.Error("closed without a file")
	}
	h := g.Wrap(echo)
	for _, c := range []struct {
		method, path string
		headers      headers
		code         int
		says         string
	}{
		{"GET", "/api/v1/requests", nil, 200, " as default"},
		{"GET", "/api/v1/requests", headers{"X-Scope-OrgID": "acme"}, 200, " as acme"},
		{"GET", "/api/v1/requests", headers{"X-Scope-OrgID": "a/b"}, 400, "letters, digits"},
		{"POST", wire.PathPush, headers{"X-Scope-OrgID": "acme", "Authorization": "Bearer whatever"}, 200, " as acme"},
		{"DELETE", "/api/v1/x", nil, 200, " as default"},
		{"DELETE", "/api/v1/x", headers{"Sec-Fetch-Site": "cross-site"}, 403, "another site"},
		{"GET", "/metrics", nil, 200, ""},
	} {
		if w := ask(t, h, c.method, c.path, c.headers); w.Code != c.code || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s %v: %d %s", c.method, c.path, c.headers, w.Code, w.Body)
		}
	}
	ctx, err := g.GRPC(t.Context(), "/x", access.Push)
	if err != nil || wire.TenantOf(ctx, "") != "default" || wire.SenderOf(ctx).Proven {
		t.Errorf("gRPC: %+v %v", wire.SenderOf(ctx), err)
	}
}

func TestCertificates(t *testing.T) {
	var log buffer
	tok := token(t, "reader", "beta", access.Read)
	g := guard(t, access.Config{File: file(t, `
certificates:
- {name: hosts, subject: collector.example, tenants: ['*'], scopes: [push]}
- {name: spiffe, subject: spiffe://example/collector, tenants: [acme], scopes: [push, read]}
- {name: cn, subject: grafana, tenants: [acme], scopes: [read]}
`, tok)}, &log)
	h := g.Wrap(echo)
	spiffe, err := url.Parse("spiffe://example/collector")
	if err != nil {
		t.Fatal(err)
	}
	fresh := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		cert       *x509.Certificate
		unverified bool
		method     string
		headers    headers
		code       int
		says       string
	}{
		"DNS name":      {&x509.Certificate{NotAfter: fresh, DNSNames: []string{"x", "collector.example"}}, false, "POST", headers{"X-Scope-OrgID": "acme"}, 200, "hosts as acme"},
		"URI":           {&x509.Certificate{NotAfter: fresh, URIs: []*url.URL{spiffe}}, false, "POST", nil, 200, "spiffe as acme"},
		"common name":   {&x509.Certificate{NotAfter: fresh, Subject: pkix.Name{CommonName: "grafana"}}, false, "GET", nil, 200, "cn as acme"},
		"wrong scope":   {&x509.Certificate{NotAfter: fresh, Subject: pkix.Name{CommonName: "grafana"}}, false, "POST", nil, 403, "scope push"},
		"unknown":       {&x509.Certificate{NotAfter: fresh, Subject: pkix.Name{CommonName: "Grafana"}}, false, "GET", nil, 401, "no entry"},
		"not verified":  {&x509.Certificate{NotAfter: fresh, Subject: pkix.Name{CommonName: "grafana"}}, true, "GET", nil, 401, "a token is needed"},
		"expired since": {&x509.Certificate{NotAfter: time.Now().Add(-time.Second), Subject: pkix.Name{CommonName: "grafana"}}, false, "GET", nil, 401, "expired"},
		"with a token":  {&x509.Certificate{NotAfter: fresh, Subject: pkix.Name{CommonName: "grafana"}}, false, "GET", headers{"Authorization": bearer(tok)}, 200, "reader as beta"},
		"a wrong token": {&x509.Certificate{NotAfter: fresh, Subject: pkix.Name{CommonName: "grafana"}}, false, "GET", headers{"Authorization": "Bearer x"}, 401, "not known"},
	} {
		path := "/api/v1/requests"
		if c.method == "POST" {
			path = wire.PathPush
		}
		r := httptest.NewRequestWithContext(t.Context(), c.method, path, nil)
		for k, v := range c.headers {
			r.Header.Set(k, v)
		}
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.cert}}
		if !c.unverified {
			r.TLS.VerifiedChains = [][]*x509.Certificate{{c.cert}}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestGRPC(t *testing.T) {
	var log buffer
	tok := token(t, "otel", "acme,beta", access.Push)
	g := guard(t, access.Config{File: file(t, "", tok)}, &log)
	for name, c := range map[string]struct {
		md     metadata.MD
		scope  access.Scope
		code   codes.Code
		tenant string
	}{
		"good":        {metadata.Pairs("authorization", bearer(tok), "x-scope-orgid", "beta"), access.Push, codes.OK, "beta"},
		"nobody":      {metadata.MD{}, access.Push, codes.Unauthenticated, ""},
		"which":       {metadata.Pairs("authorization", bearer(tok)), access.Push, codes.PermissionDenied, ""},
		"bad tenant":  {metadata.Pairs("authorization", bearer(tok), "x-scope-orgid", "a b"), access.Push, codes.InvalidArgument, ""},
		"another":     {metadata.Pairs("authorization", bearer(tok), "x-scope-orgid", "gamma"), access.Push, codes.PermissionDenied, ""},
		"wrong scope": {metadata.Pairs("authorization", bearer(tok), "x-scope-orgid", "beta"), access.Read, codes.PermissionDenied, ""},
	} {
		ctx, err := g.GRPC(metadata.NewIncomingContext(t.Context(), c.md), "/Export", c.scope)
		if status.Code(err) != c.code || err == nil && wire.TenantOf(ctx, "x") != c.tenant {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkWrap(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			tokens := make([]*access.Token, n)
			for i := range tokens {
				tokens[i] = token(b, fmt.Sprint("t", i), "acme", access.Push)
			}
			var log buffer
			h := guard(b, access.Config{File: file(b, "", tokens...)}, &log).Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, wire.PathPush, nil)
			r.Header.Set("Authorization", bearer(tokens[n/2]))
			w := &httptest.ResponseRecorder{Body: &bytes.Buffer{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
			if w.Code > 200 {
				b.Fatal(w.Code)
			}
			_, _ = io.Copy(io.Discard, w.Body)
		})
	}
}

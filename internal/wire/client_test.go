package wire_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

var hello = wire.AppendStream(nil, wire.StreamHead(`{function="f"}`), wire.AppendEntry(nil, when, []byte("hello"), wire.FileMetadata(1), 7, 0))

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	ca   string // file
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	a.ca = a.file(name+".pem", "CERTIFICATE", a.cert.Raw)
	return a
}

func (a *authority) make(c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) file(name, kind string, raw []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// issue gives a certificate for a name or an address.
func (a *authority) issue(name string) (pair tls.Certificate, cert, key string) {
	a.t.Helper()
	c := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{name}
	}
	made, private := a.make(c)
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key = a.file(name+".crt", "CERTIFICATE", made.Raw), a.file(name+".key", "EC PRIVATE KEY", der)
	if pair, err = tls.LoadX509KeyPair(cert, key); err != nil {
		a.t.Fatal(err)
	}
	return pair, cert, key
}

// peer is a server that takes pushes, and tells of the last one.
type peer struct {
	*httptest.Server
	mu   sync.Mutex
	last *http.Request
}

func (p *peer) request() *http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func newPeer(t *testing.T, config *tls.Config) *peer {
	t.Helper()
	p := new(peer)
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := wire.ReadBody(w, r, wire.MaxPushBytes)
		if !ok {
			return
		}
		req, err := wire.DecodePush(body, r.Header.Get("Content-Type"))
		if err != nil || r.URL.Path != wire.PathPush || req.Streams[0].Entries[0].Line != "hello" {
			http.Error(w, "unexpected", http.StatusBadRequest)
			return
		}
		p.mu.Lock()
		p.last = r
		p.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	if config != nil {
		p.TLS = config
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

func newClient(t *testing.T, o wire.Options) *wire.Client {
	t.Helper()
	c, err := wire.NewClientWith(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func pushes(t *testing.T, o wire.Options) error {
	t.Helper()
	return newClient(t, o).PushEncoded(t.Context(), "acme", hello)
}

func TestTLS(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	server, _, _ := ours.issue("127.0.0.1")
	named, _, _ := ours.issue("aggregator.example")
	_, clientCert, clientKey := ours.issue("collector")
	_, strangerCert, strangerKey := theirs.issue("stranger")
	pool := x509.NewCertPool()
	pool.AddCert(ours.cert)
	plain := newPeer(t, &tls.Config{Certificates: []tls.Certificate{server}})
	mutual := newPeer(t, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	other := newPeer(t, &tls.Config{Certificates: []tls.Certificate{named}})
	for name, c := range map[string]struct {
		url  string
		tls  wire.TLSOptions
		want string
	}{
		"known authority":        {plain.URL, wire.TLSOptions{CAFile: ours.ca}, ""},
		"system's authorities":   {plain.URL, wire.TLSOptions{}, "unknown authority"},
		"another authority":      {plain.URL, wire.TLSOptions{CAFile: theirs.ca}, "unknown authority"},
		"believes anybody":       {plain.URL, wire.TLSOptions{InsecureSkipVerify: true}, ""},
		"another name":           {other.URL, wire.TLSOptions{CAFile: ours.ca}, "doesn't contain any IP SANs"},
		"another name, expected": {other.URL, wire.TLSOptions{CAFile: ours.ca, ServerName: "aggregator.example"}, ""},
		// The peer says why, or has closed before that can be read.
		"wants a certificate":      {mutual.URL, wire.TLSOptions{CAFile: ours.ca}, "post "},
		"gets one":                 {mutual.URL, wire.TLSOptions{CAFile: ours.ca, CertFile: clientCert, KeyFile: clientKey}, ""},
		"gets one of a stranger's": {mutual.URL, wire.TLSOptions{CAFile: ours.ca, CertFile: strangerCert, KeyFile: strangerKey}, "post "},
	} {
		t.Run(name, func(t *testing.T) {
			err := pushes(t, wire.Options{Target: c.url, TLS: c.tls})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if wire.Permanent(err) {
				t.Error("what a new certificate mends was taken for permanent")
			}
		})
	}
}

// Files that change are read again, and one that is half written is not.
func TestReload(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	server, _, _ := ours.issue("127.0.0.1")
	pool := x509.NewCertPool()
	pool.AddCert(theirs.cert)
	p := newPeer(t, &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	_, cert, key := ours.issue("collector")
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	write := func(path string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path+".new", content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	write(token, []byte("first\n"))
	c := newClient(t, wire.Options{Target: p.URL, BearerTokenFile: token, TLS: wire.TLSOptions{CAFile: ours.ca, CertFile: cert, KeyFile: key}})
	if err := c.PushEncoded(t.Context(), "acme", hello); err == nil {
		t.Fatal("a certificate of nobody the peer knows was taken")
	}
	_, freshCert, freshKey := theirs.issue("collector")
	for to, from := range map[string]string{cert: freshCert, key: freshKey} {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(to, b)
	}
	if err := c.PushEncoded(t.Context(), "acme", hello); err != nil {
		t.Fatal(err)
	}
	if got := p.request().Header.Get("Authorization"); got != "Bearer first" {
		t.Errorf("authorization %q", got)
	}
	write(token, []byte("second token\n"))
	write(cert, []byte("-----BEGIN CERT"))
	if err := c.PushEncoded(t.Context(), "acme", hello); err != nil {
		t.Errorf("half a certificate stopped what works: %v", err)
	}
	if got := p.request().Header.Get("Authorization"); got != "Bearer second token" {
		t.Errorf("authorization %q", got)
	}
	write(token, nil)
	if err := c.PushEncoded(t.Context(), "acme", hello); err != nil {
		t.Error(err)
	}
	if got := p.request().Header.Get("Authorization"); got != "Bearer second token" {
		t.Errorf("authorization %q", got)
	}
	p.Close()
	if err := c.PushEncoded(t.Context(), "acme", hello); err == nil || !strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "cannot be read again") {
		t.Errorf("the error keeps quiet about the files: %v", err)
	}
}

func TestHeaders(t *testing.T) {
	p := newPeer(t, nil)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("pass\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	basic := "Basic dXNlcjpwYXNz" // user:pass
	host := strings.TrimPrefix(p.URL, "http://")
	for name, c := range map[string]struct {
		o    wire.Options
		want map[string]string
	}{
		"plain":         {wire.Options{Target: p.URL}, map[string]string{"Authorization": "", "X-Scope-OrgID": "acme", "Idempotency-Key": "", "User-Agent": "coldscope"}},
		"token":         {wire.Options{Target: p.URL, BearerToken: "t"}, map[string]string{"Authorization": "Bearer t"}},
		"basic":         {wire.Options{Target: p.URL, Basic: wire.BasicAuth{Username: "user", Password: "pass"}}, map[string]string{"Authorization": basic}},
		"password file": {wire.Options{Target: p.URL, Basic: wire.BasicAuth{Username: "user", PasswordFile: password}}, map[string]string{"Authorization": basic}},
		"in the url":    {wire.Options{Target: "http://user:pass@" + host}, map[string]string{"Authorization": basic}},
		"own":           {wire.Options{Target: p.URL, Headers: map[string]string{"x-cluster": "eu", "User-Agent": "me"}}, map[string]string{"X-Cluster": "eu", "User-Agent": "me"}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := pushes(t, c.o); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for name := range c.want {
				got[name] = p.request().Header.Get(name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if name := c.o.Name(); name != p.URL {
				t.Errorf("name %q", name)
			}
		})
	}
}

func TestOptionsRefused(t *testing.T) {
	const url = "https://peer.example"
	for want, o := range map[string]wire.Options{
		"want http://host:port":       {Target: "ftp://user:secret@x"},
		"not a URL":                   {Target: "http://user:secret@x:port"},
		"proxy_url":                   {Target: url, ProxyURL: "quic://u:secret@x"},
		"need each other":             {Target: url, TLS: wire.TLSOptions{CertFile: "x"}},
		"not https":                   {Target: "http://peer.example", TLS: wire.TLSOptions{InsecureSkipVerify: true}},
		"more than one of":            {Target: "https://user:secret@peer.example", BearerToken: "secret"},
		"no username":                 {Target: url, Basic: wire.BasicAuth{Password: "secret"}},
		"both a password":             {Target: url, Basic: wire.BasicAuth{Username: "u", Password: "secret", PasswordFile: "x"}},
		"line break":                  {Target: url, BearerToken: "secret\nX: y"},
		"is no header":                {Target: url, Headers: map[string]string{"a b": "secret"}},
		`"x" is no header`:            {Target: url, Headers: map[string]string{"x": "secret\r\ny"}},
		"set by the client":           {Target: url, Headers: map[string]string{"authorization": "secret"}},
		"X-Scope-Orgid is set":        {Target: url, Headers: map[string]string{"x-scope-orgid": "secret"}},
		"no such file":                {Target: url, TLS: wire.TLSOptions{CAFile: "/does/not/exist"}},
		"read /dev/null: want one":    {Target: url, BearerTokenFile: "/dev/null"},
		"/dev/null holds no certific": {Target: url, TLS: wire.TLSOptions{CAFile: "/dev/null"}},
	} {
		_, err := wire.NewClientWith(o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v, want %q and nothing secret", err, want)
		}
	}
}

// proxy is an HTTP proxy: it forwards requests, and makes tunnels.
type proxy struct {
	*httptest.Server
	forwarded, tunnels atomic.Int32
	auth               atomic.Value
}

func newProxy(t *testing.T, config *tls.Config) *proxy {
	t.Helper()
	p := new(proxy)
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.auth.Store(r.Header.Get("Proxy-Authorization"))
		if r.Method == http.MethodConnect {
			p.tunnels.Add(1)
			to, err := net.Dial("tcp", r.Host)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			from, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprint(from, "HTTP/1.1 200 OK\r\n\r\n")
			pipe(from, buffered, to)
			return
		}
		p.forwarded.Add(1)
		out, _ := http.NewRequest(r.Method, r.URL.String(), r.Body)
		out.Header = r.Header.Clone()
		resp, err := new(http.Transport).RoundTrip(out)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	if config != nil {
		p.TLS = config
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

// pipe copies both ways until one ends.
func pipe(a net.Conn, from io.Reader, b net.Conn) {
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(b, from); b.Close() })
	both.Go(func() { _, _ = io.Copy(a, b); a.Close() })
	both.Wait()
}

// socks serves SOCKS5 (RFC 1928) without authentication.
func socks(t *testing.T, served *atomic.Int32) string {
	t.Helper()
	l := listen(t, func(c net.Conn) {
		in := bufio.NewReader(c)
		hello := make([]byte, 2)
		if _, err := io.ReadFull(in, hello); err != nil {
			return
		}
		_, _ = io.ReadFull(in, make([]byte, hello[1]))
		_, _ = c.Write([]byte{5, 0})
		head := make([]byte, 4)
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		if head[1] != 1 || head[3] != 1 {
			t.Errorf("socks request %v: want to connect to an IPv4 address", head)
			return
		}
		addr := make([]byte, 6)
		_, _ = io.ReadFull(in, addr)
		to, err := net.Dial("tcp", fmt.Sprintf("%v:%d", net.IP(addr[:4]), int(addr[4])<<8|int(addr[5])))
		if err != nil {
			return
		}
		_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		served.Add(1)
		pipe(c, in, to)
	})
	return l
}

// listen serves connections until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, c)
			mu.Unlock()
			running.Go(func() { defer c.Close(); serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return l.Addr().String()
}

func TestProxies(t *testing.T) {
	ours := newAuthority(t, "ours")
	server, _, _ := ours.issue("aggregator.example")
	proxyPair, _, _ := ours.issue("127.0.0.1")
	plain := newPeer(t, nil)
	secure := newPeer(t, &tls.Config{Certificates: []tls.Certificate{server}})
	trust := wire.TLSOptions{CAFile: ours.ca, ServerName: "aggregator.example"}
	p := newProxy(t, nil)
	withUser := strings.Replace(p.URL, "http://", "http://user:pass@", 1)
	if err := pushes(t, wire.Options{Target: plain.URL, ProxyURL: withUser, BearerToken: "t"}); err != nil || p.forwarded.Load() != 1 {
		t.Errorf("http through http: %v, %d forwarded", err, p.forwarded.Load())
	}
	if p.auth.Load() != "Basic dXNlcjpwYXNz" {
		t.Errorf("proxy authorization %q", p.auth.Load())
	}
	if err := pushes(t, wire.Options{Target: secure.URL, ProxyURL: p.URL, TLS: trust}); err != nil || p.tunnels.Load() != 1 {
		t.Errorf("https through http: %v, %d tunnels", err, p.tunnels.Load())
	}
	if err := pushes(t, wire.Options{Target: secure.URL, ProxyURL: p.URL, TLS: wire.TLSOptions{CAFile: ours.ca}}); err == nil {
		t.Error("in a tunnel, the peer's name does not matter")
	}
	tlsProxy := newProxy(t, &tls.Config{Certificates: []tls.Certificate{proxyPair}})
	if err := pushes(t, wire.Options{Target: secure.URL, ProxyURL: tlsProxy.URL, TLS: trust}); err != nil || tlsProxy.tunnels.Load() != 1 {
		t.Errorf("https through https: %v, %d tunnels", err, tlsProxy.tunnels.Load())
	}
	var served atomic.Int32
	addr := socks(t, &served)
	for _, o := range []wire.Options{{Target: plain.URL}, {Target: secure.URL, TLS: trust}} {
		o.ProxyURL = "socks5://" + addr
		if err := pushes(t, o); err != nil {
			t.Errorf("%s through socks5: %v", o.Target, err)
		}
	}
	if served.Load() != 2 {
		t.Errorf("%d connections through socks5", served.Load())
	}
}

// Peers that misbehave: the push fails, in bounded time, and may be sent again.
func TestBadPeers(t *testing.T) {
	drained := func(answer string) func(net.Conn) {
		return func(c net.Conn) {
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			fmt.Fprint(c, answer)
		}
	}
	stop := make(chan struct{}) // after the last push
	forever := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"never answers":        {forever, "timeout"},
		"never reads":          {func(net.Conn) { <-stop }, ""},
		"closes":               {func(net.Conn) {}, ""},
		"resets":               {func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }, ""},
		"half a status line":   {drained("HTTP/1.1 20"), ""},
		"half a header":        {drained("HTTP/1.1 204 No Content\r\nDate: x"), ""},
		"half an error":        {drained("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\nhalf"), "HTTP 503: half"},
		"no HTTP":              {drained("220 mail.example ESMTP\r\n"), "malformed"},
		"an endless header":    {drained("HTTP/1.1 204 No Content\r\nX: " + strings.Repeat("x", 128<<10)), "exceeded"},
		"takes nothing (Loki)": {drained("HTTP/1.1 260 Blocked\r\nContent-Length: 7\r\n\r\nblocked"), "HTTP 260: blocked"},
	} {
		t.Run(name, func(t *testing.T) {
			o := wire.Options{Target: "http://" + listen(t, c.serve)}
			if name == "never answers" {
				o.ResponseTimeout = 50 * time.Millisecond
			}
			client := newClient(t, o)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if name == "never reads" {
				defer close(stop)
				ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
			}
			raw := hello
			if name == "never reads" {
				var noise [8 << 20]byte
				_, _ = rand.Read(noise[:])
				raw = wire.AppendStream(nil, nil, wire.AppendEntry(nil, when, noise[:], nil, 0, 0))
			}
			err := client.PushEncoded(ctx, "acme", raw)
			if err == nil || !strings.Contains(err.Error(), c.want) || wire.Permanent(err) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A redirect is not followed: not to another host, which would get the
// credentials, and not by GET, whose 200 would look like an acknowledgement.
func TestRedirects(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/x", code)
		}))
		err := pushes(t, wire.Options{Target: p.URL, BearerToken: "secret"})
		status, ok := errors.AsType[*wire.StatusError](err)
		if !ok || status.Code != code || wire.Permanent(err) || !strings.Contains(err.Error(), other.URL) {
			t.Errorf("%d: %v", code, err)
		}
		p.Close()
	}
	if elsewhere.Load() != 0 {
		t.Errorf("%d requests went elsewhere", elsewhere.Load())
	}
}

func TestRetryAfter(t *testing.T) {
	at := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "-5": 0, "x": 0, "7": 7 * time.Second, "99999999999": 24 * time.Hour,
		at.Add(30 * time.Second).Format(http.TimeFormat): 30 * time.Second, // by the peer's clock
		at.Add(-time.Minute).Format(http.TimeFormat):     0,
		at.Add(90 * 24 * time.Hour).Format(time.RFC850):  24 * time.Hour,
	} {
		p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", at.Format(http.TimeFormat))
			w.Header().Set("Retry-After", value)
			w.WriteHeader(http.StatusTooManyRequests)
		}))
		status, ok := errors.AsType[*wire.StatusError](pushes(t, wire.Options{Target: p.URL}))
		if !ok || status.RetryAfter != want {
			t.Errorf("%q: %+v, want %s", value, status, want)
		}
		p.Close()
	}
}

// What is larger than the limit is refused as the peer would: it can be halved.
func TestMaxBody(t *testing.T) {
	p := newPeer(t, nil)
	err := pushes(t, wire.Options{Target: p.URL, MaxBody: 10})
	status, ok := errors.AsType[*wire.StatusError](err)
	if !ok || status.Code != 413 || !wire.Permanent(err) || p.request() != nil {
		t.Errorf("got %v", err)
	}
}

// Concurrent pushes do not mix their bodies up, whatever becomes of the others.
func TestBodiesAreNotShared(t *testing.T) {
	var bad atomic.Int32
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tenant := wire.Tenant(r)
		if tenant == "gone" {
			panic(http.ErrAbortHandler) // while the body is on its way
		}
		body, _ := io.ReadAll(r.Body)
		req, err := wire.DecodePush(body, wire.MediaPush)
		if err != nil || len(req.Streams) != 1 || strings.Trim(req.Streams[0].Entries[0].Line, tenant) != "" {
			bad.Add(1)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer p.Close()
	c := newClient(t, wire.Options{Target: p.URL})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			tenant := string(rune('a' + i))
			noise := make([]byte, 256<<10)
			_, _ = rand.Read(noise)
			for n := range 50 {
				line := []byte(strings.Repeat(tenant, 1000*n+1))
				if i%2 == 0 {
					tenant, line = "gone", noise
				}
				raw := wire.AppendStream(nil, nil, wire.AppendEntry(nil, when, line, nil, 0, 0))
				if err := c.PushEncoded(t.Context(), tenant, raw); (err != nil) != (tenant == "gone") {
					t.Errorf("%s: %v", tenant, err)
				}
			}
		})
	}
	all.Wait()
	if n := bad.Load(); n > 0 {
		t.Errorf("%d bodies were not what was sent", n)
	}
}

// The environment's proxies are not for a Unix socket, nor is a tenant for events.
func TestEventsOverSocket(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: wire.EventsHandler(func(context.Context, []faas.Event) error { return nil })}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	c := newClient(t, wire.Options{Target: "unix://" + socket})
	if err := c.SendEvents(t.Context(), events()); err != nil {
		t.Error(err)
	}
}

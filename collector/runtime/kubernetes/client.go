package kubernetes

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// serviceAccount is where kubelet puts a pod's own credentials.
const serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount/"

// endpoint is where the API server is and how to speak to it.
type endpoint struct {
	base                                 string
	tokenFile, caFile, certFile, keyFile string
}

// endpointOf gives nil if no URL is set and this is no pod.
func endpointOf(o Options) (*endpoint, error) {
	e := endpoint{tokenFile: o.TokenFile, caFile: o.CAFile, certFile: o.CertFile, keyFile: o.KeyFile, base: o.URL}
	if e.base == "" {
		host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
		if host == "" || port == "" {
			return nil, nil
		}
		e.base = "https://" + net.JoinHostPort(host, port)
		if e.tokenFile == "" && e.certFile == "" {
			e.tokenFile = serviceAccount + "token"
		}
		if e.caFile == "" {
			e.caFile = serviceAccount + "ca.crt"
		}
	}
	u, err := url.Parse(e.base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("the API server's URL %q is not https://host:port", e.base)
	}
	if (e.certFile == "") != (e.keyFile == "") {
		return nil, errors.New("a client certificate needs both its file and its key's")
	}
	e.base = strings.TrimRight(e.base, "/")
	return &e, nil
}

// client asks the API server. It is safe for concurrent use.
type client struct {
	endpoint

	mu sync.Mutex
	// guarded by mu:
	transport *http.Transport
	files     [3][]byte // CA, certificate and key that transport was made of
}

func newClient(e endpoint) *client { return &client{endpoint: e} }

func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
}

const (
	headerTimeout = 30 * time.Second
	pingInterval  = 15 * time.Second
)

// connect gives the transport for the files as they are now: certificates are
// exchanged while we run. There are a few requests a minute.
func (c *client) connect() (*http.Transport, error) {
	var files [3][]byte
	for i, name := range []string{c.caFile, c.certFile, c.keyFile} {
		if name == "" {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		files[i] = b
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	same := c.transport != nil
	for i := range files {
		same = same && bytes.Equal(files[i], c.files[i])
	}
	if same {
		return c.transport, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.caFile != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(files[0]) {
			return nil, fmt.Errorf("read %s: no certificate in it", c.caFile)
		}
	}
	if c.certFile != "" {
		pair, err := tls.X509KeyPair(files[1], files[2])
		if err != nil {
			return nil, fmt.Errorf("read %s and %s: %w", c.certFile, c.keyFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
	c.files = files
	c.transport = &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: headerTimeout,
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
		// A watch may be silent for a minute: pings find a connection that is
		// dead without a word.
		HTTP2: &http.HTTP2Config{SendPingTimeout: pingInterval, PingTimeout: pingInterval},
	}
	return c.transport, nil
}

// get asks for path. The caller closes the body. An answer other than 200 is a
// *statusError.
func (c *client) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	transport, err := c.connect()
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "coldscope-collector")
	if c.tokenFile != "" {
		token, err := os.ReadFile(c.tokenFile) // every time: it lives for an hour
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := transport.RoundTrip(req) // follows no redirect, which could take the token elsewhere
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, readStatus(resp)
	}
	return resp.Body, nil
}

// statusError is a refusal by the API server (metav1.Status).
type statusError struct {
	Code       int    `json:"code"`
	Reason     string `json:"reason"`
	Message    string `json:"message"`
	retryAfter time.Duration
}

func (e *statusError) Error() string {
	return fmt.Sprintf("API server: %d %s: %s", e.Code, e.Reason, e.Message)
}

func readStatus(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	s := &statusError{}
	if err != nil || json.Unmarshal(body, s) != nil {
		s.Message = fmt.Sprintf("%.300q", body)
	}
	s.Code = resp.StatusCode
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		s.retryAfter = min(time.Duration(n)*time.Second, time.Minute)
	}
	return s
}

// gone reports that a resource version or a continue token is too old.
func gone(err error) bool { return hasCode(err, http.StatusGone) }

func hasCode(err error, code int) bool {
	var s *statusError
	return errors.As(err, &s) && s.Code == code
}

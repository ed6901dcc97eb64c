package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// prepare gives what the next request goes out with. It reads files again that
// have changed; stale says which could not be, and that what they said before
// is used.
func (c *Client) prepare() (transport *http.Transport, auth string, stale error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	auth, err := c.auth.header()
	if c.certs != nil {
		changed, certErr := c.certs.changed()
		if changed {
			var fresh *http.Transport
			if fresh, certErr = c.newTransport(); certErr == nil {
				// What is on its way stays on the old connections.
				c.transport.CloseIdleConnections()
				c.transport = fresh
			}
		}
		err = errors.Join(err, certErr)
	}
	if err != nil {
		err = fmt.Errorf("credentials as they were, cannot be read again: %w", err)
	}
	return c.transport, auth, err
}

// RoundTrip sends any request the way that the client's own go, and with its
// credentials if it goes to the same peer: an http.Client's Transport for what
// a Client has no method for.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) {
	transport, auth, stale := c.prepare()
	if auth != "" && req.URL.Scheme == c.base.Scheme && req.URL.Host == c.base.Host {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", auth)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, errors.Join(err, stale)
	}
	return resp, nil
}

// newTransport makes connections as the options say. HTTP/2 is left out: a
// few connections with one request each cost less.
func (c *Client) newTransport() (*http.Transport, error) {
	dialer := &net.Dialer{Timeout: c.opts.ConnectTimeout}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    c.opts.ConnectTimeout,
		MaxIdleConnsPerHost:    16,
		MaxConnsPerHost:        64,
		IdleConnTimeout:        90 * time.Second,
		ResponseHeaderTimeout:  c.opts.ResponseTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		WriteBufferSize:        32 << 10,
	}
	proxy, err := parseProxy(c.opts.ProxyURL)
	if err != nil {
		return nil, err
	}
	if proxy != nil {
		t.Proxy = func(*http.Request) (*url.URL, error) { return proxy, nil }
	}
	if c.certs != nil {
		if err := c.secure(t, dialer); err != nil {
			return nil, err
		}
	}
	if target, err := parseTarget(c.opts.Target); err == nil && target.Scheme == "unix" {
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", target.Path)
		}
	}
	return t, nil
}

// secure sets up TLS to the target, straight or through a proxy, and to a
// proxy that is itself spoken to in TLS.
func (c *Client) secure(t *http.Transport, dialer *net.Dialer) error {
	config, err := c.certs.load()
	if err != nil {
		return err
	}
	proxyConfig, err := c.certs.proxyConfig()
	if err != nil {
		return err
	}
	t.TLSClientConfig = config
	target := hostPort(&c.base)
	// The transport dials the target by this, or an https proxy; through a
	// proxy it makes TLS to the target itself, by TLSClientConfig.
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		use := proxyConfig
		if addr == target {
			use = config
		}
		return dialTLS(ctx, dialer, use, network, addr)
	}
	return nil
}

func dialTLS(ctx context.Context, dialer *net.Dialer, config *tls.Config, network, addr string) (net.Conn, error) {
	config = config.Clone()
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		config.ServerName = host
	}
	raw, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialer.Timeout)
	defer cancel()
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// hostPort is how the transport names u's host to dial it.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// smallBody is up to where a body is not worth being used again.
const smallBody = 32 << 10

// body is what a request carries. The transport may still read it when a
// request has failed, so it is given back only when nobody does any more.
type body struct {
	bytes []byte
	small bool // not given back
	users atomic.Int32
}

// open gives a reader, which its Close gives back. A small body goes out in one
// packet with the header, as the transport does it for readers that it knows.
func (b *body) open(c *Client) io.ReadCloser {
	if b.small {
		return io.NopCloser(bytes.NewReader(b.bytes))
	}
	b.users.Add(1)
	return &bodyReader{left: b.bytes, body: b, client: c}
}

// release ends one use of b.
func (c *Client) release(b *body) {
	const keep = 4 << 20
	if b.users.Add(-1) == 0 && cap(b.bytes) <= keep {
		c.bodies.Put(b)
	}
}

type bodyReader struct {
	left   []byte
	body   *body
	client *Client
	closed atomic.Bool
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

func (r *bodyReader) Close() error {
	if r.closed.CompareAndSwap(false, true) {
		r.client.release(r.body)
	}
	return nil
}

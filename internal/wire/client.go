package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"

	"github.com/coldscope/coldscope/internal/faas"
)

// StatusError is a peer's answer that says that nothing, or not all, was stored.
type StatusError struct {
	Code       int
	Message    string
	RetryAfter time.Duration // 0: the peer named none
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("HTTP %d: %s", e.Code, e.Message)
}

// Permanent reports whether sending the same again can never succeed. All
// else is worth a retry. It is the only class of errors that a sender needs.
func Permanent(err error) bool {
	var s *StatusError
	if !errors.As(err, &s) {
		return false
	}
	switch s.Code {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// Client sends lines and events to one peer. It is safe for concurrent use.
type Client struct {
	opts    Options
	base    url.URL
	headers http.Header // of every request
	bodies  sync.Pool   // of *body

	mu        sync.Mutex
	auth      *authorization
	certs     *certificates // nil: the peer is not https
	transport *http.Transport
}

// NewClient makes a client of target with the defaults of Options.
func NewClient(target string) (*Client, error) {
	return NewClientWith(Options{Target: target})
}

// NewClientWith makes a client. It reads the files of o and does not connect.
// The client does not retry: who calls it owns the data and knows how long to
// try. It follows no redirect.
func NewClientWith(o Options) (*Client, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("new client: %w", err)
	}
	o = o.withDefaults()
	u, err := parseTarget(o.Target)
	if err != nil {
		return nil, err
	}
	password, _ := u.User.Password()
	c := &Client{
		opts: o, base: *u, headers: http.Header{"User-Agent": {"coldscope"}},
		auth: newAuthorization(&o, u.User.Username(), password),
	}
	c.base.User, c.base.RawQuery, c.base.Fragment = nil, "", ""
	switch u.Scheme {
	case "unix":
		c.base = url.URL{Scheme: "http", Host: "coldscope"}
	case "https":
		c.certs = newCertificates(o.TLS)
	}
	for name, value := range o.Headers {
		c.headers.Set(name, value)
	}
	if _, err := c.auth.header(); err != nil {
		return nil, fmt.Errorf("new client: %w", err)
	}
	if c.transport, err = c.newTransport(); err != nil {
		return nil, fmt.Errorf("new client: %w", err)
	}
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.transport.CloseIdleConnections()
}

// Push sends one Loki push request for tenant and returns when the peer has
// stored it. An error is a *StatusError or one of the network's.
func (c *Client) Push(ctx context.Context, tenant string, req *push.PushRequest) error {
	raw, err := req.Marshal()
	if err != nil {
		return fmt.Errorf("encode push request: %w", err)
	}
	return c.PushEncoded(ctx, tenant, raw)
}

// PushEncoded is Push of a request that is protobuf already. It keeps nothing
// of raw.
func (c *Client) PushEncoded(ctx context.Context, tenant string, raw []byte) error {
	b, ok := c.bodies.Get().(*body)
	if !ok {
		b = new(body)
	}
	b.bytes = s2.EncodeSnappy(b.bytes[:cap(b.bytes)], raw)
	b.users.Store(1)
	defer c.release(b)
	if len(b.bytes) <= smallBody {
		return c.post(ctx, PathPush, MediaPush, tenant, &body{bytes: bytes.Clone(b.bytes), small: true})
	}
	return c.post(ctx, PathPush, MediaPush, tenant, b)
}

// SendEvents sends events in one batch and returns when the peer has made them durable.
func (c *Client) SendEvents(ctx context.Context, events []faas.Event) error {
	var out bytes.Buffer
	for i := range events {
		b, err := EncodeEvent(&events[i])
		if err != nil {
			return err
		}
		out.Write(b)
		out.WriteByte('\n')
	}
	return c.post(ctx, PathEvents, MediaNDJSON, "", &body{bytes: out.Bytes(), small: true})
}

func (c *Client) post(ctx context.Context, path, contentType, tenant string, b *body) error {
	if len(b.bytes) > c.opts.MaxBody {
		return fmt.Errorf("post %s: %w", path, &StatusError{
			Code:    http.StatusRequestEntityTooLarge,
			Message: fmt.Sprintf("not sent: %d bytes, at most %d", len(b.bytes), c.opts.MaxBody),
		})
	}
	transport, auth, stale := c.prepare()
	resp, err := transport.RoundTrip(c.request(ctx, path, contentType, tenant, auth, b))
	if err == nil {
		err = answer(resp)
	}
	if err != nil {
		// What could not be read may be why.
		return fmt.Errorf("post %s: %w", path, errors.Join(err, stale))
	}
	return nil
}

func (c *Client) request(ctx context.Context, path, contentType, tenant, auth string, b *body) *http.Request {
	header := make(http.Header, len(c.headers)+4)
	maps.Copy(header, c.headers)
	header["Content-Type"] = []string{contentType}
	// An empty key is not sent. It tells the transport that the request may go
	// out again when a connection turns out to be closed: all that we send may
	// come twice.
	header["Idempotency-Key"] = nil
	if tenant != "" {
		header[http.CanonicalHeaderKey(HeaderTenant)] = []string{tenant}
	}
	if auth != "" {
		header["Authorization"] = []string{auth}
	}
	u := c.base
	u.Path = strings.TrimRight(u.Path, "/") + path
	req := &http.Request{
		Method: http.MethodPost, URL: &u, Host: u.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(b.bytes)), Body: b.open(c),
		GetBody: func() (io.ReadCloser, error) { return b.open(c), nil },
	}
	return req.WithContext(ctx)
}

// answer reads what the peer says. It takes nothing for granted but a 2xx in
// its first line: a redirect is no acknowledgement, and 260 is how Loki says
// that it takes nothing for now.
func answer(resp *http.Response) error {
	const blocked = 260
	defer resp.Body.Close()
	// Read to its end, since the connection is used again then.
	msg, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if resp.StatusCode/100 == 2 && resp.StatusCode != blocked {
		return nil
	}
	s := &StatusError{Code: resp.StatusCode, Message: strings.TrimSpace(string(msg)), RetryAfter: retryAfter(resp.Header)}
	if to, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 {
		s.Message = "redirects to " + to.Redacted() + ", which is not followed; name the right target"
	}
	if err != nil {
		return fmt.Errorf("%w (read answer: %w)", s, err)
	}
	return s
}

// retryAfter reads Retry-After: seconds, or a date, which is taken by the
// peer's own clock if that is known.
func retryAfter(h http.Header) time.Duration {
	const most = 24 * 60 * 60 // seconds
	v := h.Get("Retry-After")
	if n, err := strconv.Atoi(v); err == nil {
		return time.Duration(min(max(0, n), most)) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(0, at.Sub(now)), most*time.Second)
}

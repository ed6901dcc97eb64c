package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/faas"
)

// StatusError is a peer's answer other than 2xx.
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
	base string
	http *http.Client
}

// NewClient takes http://host:port, https://host:port or unix:///path/of.sock.
// It does not retry: who calls it owns the data and knows how long to try.
func NewClient(target string) (*Client, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("parse target: %w", err)
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       90 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	transport.DialContext = dialer.DialContext
	c := &Client{http: &http.Client{Transport: transport}}
	switch {
	case u.Scheme == "unix" && u.Path != "":
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", u.Path)
		}
		c.base = "http://coldscope"
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		c.base = strings.TrimRight(target, "/")
	default:
		return nil, fmt.Errorf("parse target %q: want http://host:port, https://host:port or unix:///path", target)
	}
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Push sends one Loki push request for tenant and returns when the peer has
// stored it. An error is a *StatusError or one of the network's.
func (c *Client) Push(ctx context.Context, tenant string, req *push.PushRequest) error {
	body, err := EncodePush(req)
	if err != nil {
		return err
	}
	return c.post(ctx, PathPush, MediaPush, tenant, body)
}

// SendEvents sends events in one batch and returns when the peer has made them durable.
func (c *Client) SendEvents(ctx context.Context, events []faas.Event) error {
	var body bytes.Buffer
	for i := range events {
		b, err := EncodeEvent(&events[i])
		if err != nil {
			return err
		}
		body.Write(b)
		body.WriteByte('\n')
	}
	return c.post(ctx, PathEvents, MediaNDJSON, "", body.Bytes())
}

func (c *Client) post(ctx context.Context, path, contentType, tenant string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post %s: %w", path, err)
	}
	req.Header.Set("Content-Type", contentType)
	if tenant != "" {
		req.Header.Set(HeaderTenant, tenant)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("post %s: %w", path, err)
	}
	defer resp.Body.Close()
	msg, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if resp.StatusCode/100 == 2 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("post %s: read answer: %w", path, err)
	}
	s := &StatusError{Code: resp.StatusCode, Message: strings.TrimSpace(string(msg))}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		s.RetryAfter = time.Duration(n) * time.Second
	}
	return fmt.Errorf("post %s: %w", path, s)
}

// Package client asks the query service over HTTP, for the command line and
// for other Go programs. Its answers are the types of package read.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query/erase"
	"github.com/coldscope/coldscope/query/read"
)

// maxAnswer bounds an answer; a page with all its lines is well below it.
const maxAnswer = 128 << 20 // bytes

// Client asks one service as one tenant. It is safe for concurrent use.
type Client struct {
	base   *url.URL
	tenant string
	http   *http.Client
}

// New returns a client of the service at base, for example
// http://127.0.0.1:9480. An empty tenant is the default one.
func New(base, tenant string, client *http.Client) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("parse address: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("parse address %q: want http://HOST:PORT or https://HOST:PORT", base)
	}
	return &Client{u, tenant, client}, nil
}

// Request gets the page of a request. The error is read.ErrNotFound if the
// tenant has no such request.
func (c *Client) Request(ctx context.Context, id string) (*read.Page, error) {
	page := new(read.Page)
	if err := c.ask(ctx, http.MethodGet, c.base.JoinPath("api/v1/requests", url.PathEscape(id)), page); err != nil {
		return nil, fmt.Errorf("get request %q: %w", id, err)
	}
	return page, nil
}

// ColdStartsFilter says which starts count. Empty fields say nothing.
type ColdStartsFilter struct {
	Namespace, Function, Version, Initialization string
	Since, Until                                 string // RFC 3339, or a duration before now such as 15m
	Limit                                        int    // of the lists; 0 is the service's default
}

// ColdStarts gets the figures of cold starts.
func (c *Client) ColdStarts(ctx context.Context, f ColdStartsFilter) (*read.ColdStartStats, error) {
	u := c.base.JoinPath("api/v1/coldstarts")
	query := url.Values{}
	for name, value := range map[string]string{
		"namespace": f.Namespace, "function": f.Function, "version": f.Version,
		"initialization": f.Initialization, "since": f.Since, "until": f.Until,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.Limit != 0 {
		query.Set("limit", strconv.Itoa(f.Limit))
	}
	u.RawQuery = query.Encode()
	stats := new(read.ColdStartStats)
	if err := c.ask(ctx, http.MethodGet, u, stats); err != nil {
		return nil, fmt.Errorf("get cold starts: %w", err)
	}
	return stats, nil
}

// Erase deletes the scope's data, as far as that is not under way, and says how
// far it is. It is called again until that says done.
func (c *Client) Erase(ctx context.Context, s erase.Scope) (*erase.Progress, error) {
	u := c.base.JoinPath(erase.Path)
	query := url.Values{"tenant": {s.Tenant}}
	if s.Function != "" {
		query.Set("namespace", s.Namespace)
		query.Set("function", s.Function)
	}
	u.RawQuery = query.Encode()
	progress := new(erase.Progress)
	if err := c.ask(ctx, http.MethodDelete, u, progress); err != nil {
		return nil, fmt.Errorf("delete data: %w", err)
	}
	return progress, nil
}

func (c *Client) ask(ctx context.Context, method string, u *url.URL, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return err
	}
	if c.tenant != "" {
		req.Header.Set(wire.HeaderTenant, c.tenant)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("nobody listens at %s (is the service running there?): %w", c.base.Host, err)
		}
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("read answer: %w", err)
	case res.StatusCode != http.StatusOK && res.StatusCode != http.StatusAccepted:
		return problem(res, body)
	case len(body) > maxAnswer:
		return fmt.Errorf("read answer: more than %d bytes", maxAnswer)
	}
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); kind != "application/json" {
		return fmt.Errorf("read answer: %s is not the query service: it answered with %q", c.base.Host, res.Header.Get("Content-Type"))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}

// problem makes an error of an RFC 9457 answer.
func problem(res *http.Response, body []byte) error {
	var p struct {
		Detail string
		Errors []struct{ Message, Location string }
	}
	if json.Unmarshal(body, &p) != nil || p.Detail == "" {
		return errors.New(res.Status)
	}
	if res.StatusCode == http.StatusNotFound {
		return read.ErrNotFound
	}
	details := []string{p.Detail}
	for _, e := range p.Errors {
		details = append(details, e.Location+": "+e.Message)
	}
	return fmt.Errorf("%s: %s", res.Status, strings.Join(details, "; "))
}

// Package client asks the query service over HTTP, for the command line and
// for other Go programs. Its answers are the types of package read.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strconv"
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
	err := c.ask(ctx, http.MethodGet, c.base.JoinPath("api/v1/requests", url.PathEscape(id)), page)
	if s, ok := errors.AsType[*StatusError](err); ok && s.Code == http.StatusNotFound {
		err = read.ErrNotFound
	}
	if err != nil {
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
	query := values(map[string]string{
		"namespace": f.Namespace, "function": f.Function, "version": f.Version,
		"initialization": f.Initialization, "since": f.Since, "until": f.Until,
	})
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

// FunctionsFilter says which invocations count. Empty fields say nothing.
type FunctionsFilter struct {
	Since, Until string // as in ColdStartsFilter
}

// Functions gets what each function did.
func (c *Client) Functions(ctx context.Context, f FunctionsFilter) (*read.FunctionList, error) {
	u := c.base.JoinPath("api/v1/functions")
	u.RawQuery = values(map[string]string{"since": f.Since, "until": f.Until}).Encode()
	list := new(read.FunctionList)
	if err := c.ask(ctx, http.MethodGet, u, list); err != nil {
		return nil, fmt.Errorf("get functions: %w", err)
	}
	return list, nil
}

// RequestsFilter says which requests are listed. Empty fields say nothing.
type RequestsFilter struct {
	Namespace, Function string
	Since, Until        string // as in ColdStartsFilter
	Limit               int    // 0 is the service's default
}

// Requests lists requests, newest first.
func (c *Client) Requests(ctx context.Context, f RequestsFilter) (*read.InvocationList, error) {
	u := c.base.JoinPath("api/v1/requests")
	query := values(map[string]string{"namespace": f.Namespace, "function": f.Function, "since": f.Since, "until": f.Until})
	if f.Limit != 0 {
		query.Set("limit", strconv.Itoa(f.Limit))
	}
	u.RawQuery = query.Encode()
	list := new(read.InvocationList)
	if err := c.ask(ctx, http.MethodGet, u, list); err != nil {
		return nil, fmt.Errorf("list requests: %w", err)
	}
	return list, nil
}

// values are those that say something.
func values(all map[string]string) url.Values {
	query := url.Values{}
	for name, value := range all {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
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

// ask sends a request and decodes its JSON answer.
func (c *Client) ask(ctx context.Context, method string, u *url.URL, into any) error {
	res, err := c.open(ctx, method, u, "application/json", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return &UnreachableError{c.base.Host, fmt.Errorf("read answer: %w", err)}
	case len(body) > maxAnswer:
		return fmt.Errorf("read answer: more than %d bytes", maxAnswer)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}

// open sends a request and gives its answer, which is of the media type that
// is wanted and whose body the caller closes. more are further headers.
func (c *Client) open(ctx context.Context, method string, u *url.URL, want string, more http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, more)
	req.Header.Set("Accept", want)
	if c.tenant != "" {
		req.Header.Set(wire.HeaderTenant, c.tenant)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	switch {
	case res.StatusCode != http.StatusOK && res.StatusCode != http.StatusAccepted:
		err = problem(res)
	case kind != want:
		err = fmt.Errorf("read answer: %s is not the query service: it answered with %q", c.base.Host, res.Header.Get("Content-Type"))
	default:
		return res, nil
	}
	res.Body.Close()
	return nil, err
}

// unreachable says what kept a request from being answered.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // its URL is long, and says nothing new
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		err = fmt.Errorf("nobody listens at %s (is the service running there?): %w", c.base.Host, err)
	}
	return &UnreachableError{c.base.Host, err}
}

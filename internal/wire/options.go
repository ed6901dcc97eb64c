package wire

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// Options say who a Client's peer is and how to reach it. Only Target is
// needed. Files are read again when they change, while the client works; if
// one cannot be read then, what it said before stays in use.
type Options struct {
	// Target is http://host:port, https://host:port or unix:///path/of.sock. A
	// user and a password in it are the same as Basic.
	Target string `yaml:"url"`
	// TLS is for an https target.
	TLS TLSOptions `yaml:"tls"`
	// BearerToken, or what BearerTokenFile holds, goes into the Authorization header.
	BearerToken     string `yaml:"bearer_token"`
	BearerTokenFile string `yaml:"bearer_token_file"`
	// Basic goes into the Authorization header instead.
	Basic BasicAuth `yaml:"basic_auth"`
	// Headers go out with every request. They cannot be those that the client
	// itself sets.
	Headers map[string]string `yaml:"headers"`
	// ProxyURL is an http, https or socks5 proxy. Empty: what the environment
	// says (HTTP_PROXY, HTTPS_PROXY, NO_PROXY). A Unix socket has no proxy.
	ProxyURL string `yaml:"proxy_url"`
	// ConnectTimeout bounds each of connecting and the TLS handshake. Default 5 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// ResponseTimeout bounds the wait for an answer to a request that was sent
	// whole; whoever calls bounds the rest by a context. Default 60 s.
	ResponseTimeout time.Duration `yaml:"response_timeout"`
	// MaxBody is the largest compressed body that is sent; what is larger is
	// refused as the peer would, with 413. Default MaxPushBytes.
	MaxBody int `yaml:"max_body"`
}

// TLSOptions are about the peer's certificate and ours. Files are PEM.
type TLSOptions struct {
	// CAFile holds the authorities that may have signed the peer's certificate.
	// Empty: the system's.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are our own certificate, for a peer that wants one.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName is the name in the peer's certificate, if it is not the target's host.
	ServerName string `yaml:"server_name"`
	// InsecureSkipVerify believes any peer.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

// BasicAuth is a user and a password, or the file that holds it.
type BasicAuth struct {
	Username     string `yaml:"username"`
	Password     string `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
}

// Name is the target without what is secret in it: it names the peer in
// metrics and logs, and everywhere the same.
func (o Options) Name() string {
	u, err := parseTarget(o.Target)
	if err != nil {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	u.Path = strings.TrimRight(u.Path, "/")
	return u.String()
}

func (o Options) withDefaults() Options {
	if o.ConnectTimeout <= 0 {
		o.ConnectTimeout = 5 * time.Second
	}
	if o.ResponseTimeout <= 0 {
		o.ResponseTimeout = time.Minute
	}
	if o.MaxBody <= 0 {
		o.MaxBody = MaxPushBytes
	}
	return o
}

// Validate tells all that is wrong with o, nil if nothing is. It opens no file.
func (o Options) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	u, err := parseTarget(o.Target)
	if err != nil {
		errs = append(errs, err)
	}
	if _, err := parseProxy(o.ProxyURL); err != nil {
		errs = append(errs, err)
	}
	ways := 0
	for _, set := range []bool{o.BearerToken != "", o.BearerTokenFile != "", o.Basic != BasicAuth{}, u != nil && u.User != nil} {
		if set {
			ways++
		}
	}
	if ways > 1 {
		bad("more than one of bearer_token, bearer_token_file, basic_auth and a user in the url")
	}
	if o.Basic != (BasicAuth{}) && o.Basic.Username == "" {
		bad("basic_auth: no username")
	}
	if o.Basic.Password != "" && o.Basic.PasswordFile != "" {
		bad("basic_auth: both a password and a password_file")
	}
	if (o.TLS.CertFile == "") != (o.TLS.KeyFile == "") {
		bad("tls: cert_file and key_file need each other")
	}
	if o.TLS != (TLSOptions{}) && u != nil && u.Scheme != "https" {
		bad("tls: the target is not https")
	}
	if strings.ContainsAny(o.BearerToken, "\r\n") {
		bad("bearer_token: has a line break")
	}
	return errors.Join(append(errs, o.validateHeaders()...)...)
}

func (o Options) validateHeaders() (errs []error) {
	for name, value := range o.Headers {
		switch canonical := textproto.CanonicalMIMEHeaderKey(name); {
		case !validHeaderName(name) || strings.ContainsFunc(value, unicode.IsControl):
			errs = append(errs, fmt.Errorf("headers: %q is no header", name))
		case ownHeaders[canonical]:
			errs = append(errs, fmt.Errorf("headers: %s is set by the client itself", canonical))
		}
	}
	return errs
}

func validHeaderName(name string) bool {
	const special = "!#$%&'*+-.^_`|~"
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(special, r)
	})
}

// ownHeaders are those that Options.Headers cannot set.
var ownHeaders = map[string]bool{
	"Authorization": true, "Content-Type": true, "Content-Length": true, "Content-Encoding": true, "Host": true,
	"Connection": true, "Transfer-Encoding": true, "Proxy-Authorization": true,
	http.CanonicalHeaderKey(HeaderTenant): true,
}

// parseTarget takes http://host:port, https://host:port or unix:///path/of.sock.
func parseTarget(target string) (*url.URL, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, errors.New("parse target: not a URL") // which may have a password in it
	}
	switch {
	case u.Scheme == "unix" && u.Path != "":
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
	default:
		return nil, fmt.Errorf("parse target %q: want http://host:port, https://host:port or unix:///path", u.Redacted())
	}
	return u, nil
}

// parseProxy gives nil for no proxy.
func parseProxy(proxy string) (*url.URL, error) {
	if proxy == "" {
		return nil, nil //nolint:nilnil // no proxy is no error
	}
	u, err := url.Parse(proxy)
	if err != nil {
		return nil, errors.New("parse proxy_url: not a URL") // which may have a password in it
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		if u.Host != "" {
			return u, nil
		}
	}
	return nil, fmt.Errorf("parse proxy_url %q: want http://host:port, https://host:port or socks5://host:port", u.Redacted())
}

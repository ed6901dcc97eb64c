package wire

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// stamp is what changes about a file when its content does.
type stamp struct {
	inode    uint64
	size     int64
	modified time.Time
}

// watched is a file whose content is read again when it changes. It needs no
// goroutine: who uses the content asks.
type watched struct {
	path string
	seen stamp
}

// changed reports whether the file is another one than when it was last marked.
func (w *watched) changed() (stamp, bool, error) {
	if w.path == "" {
		return stamp{}, false, nil
	}
	info, err := os.Stat(w.path)
	if err != nil {
		return stamp{}, false, err
	}
	now := stampOf(info)
	return now, now != w.seen, nil
}

// anyChanged reports whether one of the files has changed.
func anyChanged(files ...*watched) (bool, error) {
	any := false
	for _, w := range files {
		_, changed, err := w.changed()
		if err != nil {
			return false, err
		}
		any = any || changed
	}
	return any, nil
}

// marks looks at files that are about to be read. mark is called when what was
// read is good.
func marks(files ...*watched) (mark func(), err error) {
	seen := make([]stamp, len(files))
	for i, w := range files {
		if seen[i], _, err = w.changed(); err != nil {
			return nil, err
		}
	}
	return func() {
		for i, w := range files {
			w.seen = seen[i]
		}
	}, nil
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), modified: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
	}
	return s
}

// secret is a value or a file's first line.
type secret struct {
	file  watched
	value string
}

// get gives the value, as it was before if the file cannot be read any more.
func (s *secret) get() (string, error) {
	now, changed, err := s.file.changed()
	if err != nil || !changed {
		return s.value, err
	}
	b, err := os.ReadFile(s.file.path)
	if err != nil {
		return s.value, err
	}
	value := strings.TrimSpace(string(b))
	if value == "" || strings.ContainsAny(value, "\r\n") {
		return s.value, fmt.Errorf("read %s: want one line that is not empty", s.file.path)
	}
	s.value, s.file.seen = value, now
	return value, nil
}

// authorization gives the Authorization header's value.
type authorization struct {
	user   string // empty: a bearer token
	secret secret
	given  bool
}

func newAuthorization(o *Options, user string, password string) *authorization {
	a := &authorization{}
	switch {
	case user != "" || password != "":
		a.user, a.secret.value = user, password
	case o.Basic != (BasicAuth{}):
		a.user, a.secret.value, a.secret.file.path = o.Basic.Username, o.Basic.Password, o.Basic.PasswordFile
	case o.BearerToken != "" || o.BearerTokenFile != "":
		a.secret.value, a.secret.file.path = o.BearerToken, o.BearerTokenFile
	default:
		return a
	}
	a.given = true
	return a
}

// header gives "" if there is nothing to say. An error may come with a value
// that was right before.
func (a *authorization) header() (string, error) {
	if !a.given {
		return "", nil
	}
	secret, err := a.secret.get()
	if a.user != "" {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.user+":"+secret)), err
	}
	if secret == "" {
		return "", err
	}
	return "Bearer " + secret, err
}

// certificates are the files of TLSOptions.
type certificates struct {
	opts          TLSOptions
	ca, cert, key watched
}

func newCertificates(o TLSOptions) *certificates {
	return &certificates{
		opts: o, ca: watched{path: o.CAFile}, cert: watched{path: o.CertFile}, key: watched{path: o.KeyFile},
	}
}

// changed reports whether load would give something else than it did.
func (c *certificates) changed() (bool, error) {
	return anyChanged(&c.ca, &c.cert, &c.key)
}

// load reads the files. The configuration verifies the peer by the standard
// library's own rules.
func (c *certificates) load() (*tls.Config, error) {
	mark, err := marks(&c.ca, &c.cert, &c.key)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: c.opts.ServerName,
		InsecureSkipVerify: c.opts.InsecureSkipVerify, //nolint:gosec // false unless the operator says so
	}
	if c.opts.CAFile != "" {
		pool := x509.NewCertPool()
		if err := addCertificates(pool, c.opts.CAFile); err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if c.opts.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.opts.CertFile, c.opts.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	mark()
	return config, nil
}

// proxyConfig is for the TLS connection to a proxy, which is another peer than
// the target: its name is its own, and it does not get our certificate.
func (c *certificates) proxyConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.opts.CAFile == "" {
		return config, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if err := addCertificates(pool, c.opts.CAFile); err != nil {
		return nil, err
	}
	config.RootCAs = pool
	return config, nil
}

func addCertificates(pool *x509.CertPool, path string) error {
	pem, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !pool.AppendCertsFromPEM(pem) {
		return errors.New(path + " holds no certificate")
	}
	return nil
}

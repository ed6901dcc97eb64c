package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
)

// ServerTLS are the certificate of a port, and whose certificates its clients
// may show. Files are PEM, and are read again when they change; while one
// cannot be read or does not fit the others, what they said before stays in use.
type ServerTLS struct {
	// CertFile and KeyFile are the certificate, with the chain below it, and its
	// key. Without them the port speaks plain HTTP.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ClientCAFile holds the authorities that may have signed a client's
	// certificate. Without it no client is asked for one.
	ClientCAFile string `yaml:"client_ca_file"`
	// RequireClientCert turns clients without such a certificate away, also from
	// /ready and /metrics.
	RequireClientCert bool `yaml:"require_client_cert"`
}

// Validate tells all that is wrong with o, nil if nothing is. It opens no file.
func (o ServerTLS) Validate() error {
	var errs []error
	if (o.CertFile == "") != (o.KeyFile == "") {
		errs = append(errs, errors.New("cert_file: cert_file and key_file need each other"))
	}
	if o.ClientCAFile != "" && o.CertFile == "" {
		errs = append(errs, errors.New("client_ca_file: clients show certificates to a port with TLS only: set cert_file and key_file"))
	}
	if o.RequireClientCert && o.ClientCAFile == "" {
		errs = append(errs, errors.New("require_client_cert: client_ca_file has to say who may have signed it"))
	}
	return errors.Join(errs...)
}

// Config reads the files; it gives nil if there are none. The configuration
// reads them again before a handshake if they have changed, and calls failed
// once for each change that it cannot use. It offers HTTP/2 and HTTP/1.1, so
// that it fits a gRPC server as well.
func (o ServerTLS) Config(failed func(error)) (*tls.Config, error) {
	if o.CertFile == "" {
		return nil, nil //nolint:nilnil // no TLS is no error
	}
	s := &serverCertificates{
		opts: o, failed: failed,
		cert: watched{path: o.CertFile}, key: watched{path: o.KeyFile}, ca: watched{path: o.ClientCAFile},
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	config := s.current.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.get(), nil }
	return config, nil
}

// serverCertificates are the files of a ServerTLS.
type serverCertificates struct {
	opts   ServerTLS
	failed func(error)

	mu            sync.Mutex
	cert, key, ca watched
	current       *tls.Config
	said          string // the last failure
}

func (s *serverCertificates) get() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed, err := anyChanged(&s.cert, &s.key, &s.ca)
	if changed {
		err = s.load()
	}
	switch {
	case err == nil:
		s.said = ""
	case err.Error() != s.said: // not once a handshake
		s.said = err.Error()
		s.failed(err)
	}
	return s.current
}

// load reads the files into current.
func (s *serverCertificates) load() error {
	mark, err := marks(&s.cert, &s.key, &s.ca)
	if err != nil {
		return fmt.Errorf("read certificates: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(s.opts.CertFile, s.opts.KeyFile)
	if err != nil {
		return fmt.Errorf("load certificate %s: %w", s.opts.CertFile, err)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"},
		// A ticket would outlive the authorities that its client was believed by.
		SessionTicketsDisabled: true,
	}
	if s.opts.ClientCAFile != "" {
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
		if err := addCertificates(config.ClientCAs, s.opts.ClientCAFile); err != nil {
			return fmt.Errorf("load authorities of clients: %w", err)
		}
	}
	if s.opts.RequireClientCert {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	mark()
	s.current = config
	return nil
}

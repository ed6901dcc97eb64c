package wire_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/coldscope/coldscope/internal/wire"
)

// copyFile puts a file in the place of another.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestServerTLS follows a port through new certificates, half of new ones and
// new authorities of its clients.
func TestServerTLS(t *testing.T) {
	ours, theirs, next := newAuthority(t, "ours"), newAuthority(t, "theirs"), newAuthority(t, "next")
	dir := t.TempDir()
	o := wire.ServerTLS{CertFile: dir + "/crt", KeyFile: dir + "/key", ClientCAFile: dir + "/ca", RequireClientCert: true}
	_, cert, key := ours.issue("127.0.0.1")
	copyFile(t, cert, o.CertFile)
	copyFile(t, key, o.KeyFile)
	copyFile(t, theirs.ca, o.ClientCAFile)
	var failures atomic.Int64
	config, err := o.Config(func(error) { failures.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = config
	s.StartTLS()
	defer s.Close()
	get := func(ca string, by *authority, most uint16) (string, error) {
		options := wire.Options{Target: s.URL, TLS: wire.TLSOptions{CAFile: ca}}
		if by != nil {
			_, options.TLS.CertFile, options.TLS.KeyFile = by.issue("collector.example")
		}
		if most != 0 { // wire's own client speaks nothing that old
			c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: most}}}
			resp, err := c.Get(s.URL)
			if err == nil {
				resp.Body.Close()
			}
			return "", err
		}
		client := newClient(t, options)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.RoundTrip(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), err
	}
	want := func(what string, good bool, ca string, by *authority, most uint16) {
		t.Helper()
		name, err := get(ca, by, most)
		if good != (err == nil && name == "collector.example") {
			t.Errorf("%s: %q %v", what, name, err)
		}
	}
	want("a good client", true, ours.ca, theirs, 0)
	want("a client without a certificate", false, ours.ca, nil, 0)
	want("a client of another authority", false, ours.ca, next, 0)
	if _, err := get(ours.ca, nil, tls.VersionTLS11); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1: %v", err)
	}

	_, cert, key = next.issue("127.0.0.1")
	copyFile(t, cert, o.CertFile) // and not the key, yet
	want("half of a new certificate", true, ours.ca, theirs, 0)
	want("half of a new certificate, again", true, ours.ca, theirs, 0)
	if n := failures.Load(); n != 1 {
		t.Errorf("a bad change was told %d times", n)
	}
	copyFile(t, key, o.KeyFile)
	want("the old authority", false, ours.ca, theirs, 0)
	want("a new certificate", true, next.ca, theirs, 0)
	copyFile(t, next.ca, o.ClientCAFile)
	want("a client that is believed no more", false, next.ca, theirs, 0)
	want("a client of the new authority", true, next.ca, next, 0)
	if err := os.Remove(o.ClientCAFile); err != nil {
		t.Fatal(err)
	}
	want("the file is gone", true, next.ca, next, 0)
	if n := failures.Load(); n != 2 {
		t.Errorf("two bad changes were told %d times", n)
	}
}

// The configuration fits a gRPC server as well.
func TestServerTLSForGRPC(t *testing.T) {
	ours := newAuthority(t, "ours")
	_, cert, key := ours.issue("127.0.0.1")
	config, err := wire.ServerTLS{CertFile: cert, KeyFile: key}.Config(func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	healthpb.RegisterHealthServer(s, health.NewServer())
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	creds, err := credentials.NewClientTLSFromFile(ours.ca, "")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Error(err)
	}
	s.Stop()
	if err := errors.Join(conn.Close(), <-done); err != nil {
		t.Error(err)
	}
}

func TestServerTLSValidate(t *testing.T) {
	for _, c := range []struct {
		o    wire.ServerTLS
		says string
	}{
		{wire.ServerTLS{}, ""},
		{wire.ServerTLS{CertFile: "a", KeyFile: "b", ClientCAFile: "c", RequireClientCert: true}, ""},
		{wire.ServerTLS{CertFile: "a"}, "need each other"},
		{wire.ServerTLS{ClientCAFile: "a"}, "set cert_file"},
		{wire.ServerTLS{CertFile: "a", KeyFile: "b", RequireClientCert: true}, "who may have signed"},
	} {
		err := c.o.Validate()
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
	if config, err := (wire.ServerTLS{}).Config(nil); config != nil || err != nil {
		t.Errorf("%v %v", config, err)
	}
	if _, err := (wire.ServerTLS{CertFile: "/nowhere", KeyFile: "/nowhere"}).Config(nil); err == nil {
		t.Error("missing files are no error")
	}
}

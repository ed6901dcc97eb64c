package access_test

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/coldscope/coldscope/internal/access"
	"github.com/coldscope/coldscope/internal/wire"
)

// selfSigned writes a certificate that server and client share, and that is its
// own authority.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "edge"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(nil, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "crt"), filepath.Join(dir, "key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// whoami is a gRPC service that answers with the tenant, as an error's text.
type whoami struct {
	healthpb.UnimplementedHealthServer
}

func (whoami) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	s := wire.SenderOf(ctx)
	return nil, status.Error(codes.Aborted, s.Name+" as "+wire.TenantOf(ctx, ""))
}

// TestOverTLS: certificates and tokens of real connections, to an HTTP port and
// to a gRPC port of one configuration.
func TestOverTLS(t *testing.T) {
	var out buffer
	cert, key := selfSigned(t)
	tok := token(t, "tok", "beta", access.Push)
	g := guard(t, access.Config{File: file(t, "certificates:\n- {name: hosts, subject: edge, tenants: [acme, zoo], scopes: [push]}\n", tok)}, &out)
	config, err := wire.ServerTLS{CertFile: cert, KeyFile: key, ClientCAFile: cert}.Config(func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewUnstartedServer(g.Wrap(echo))
	web.TLS, web.Config.ErrorLog = config, log.New(io.Discard, "", 0)
	web.StartTLS()
	defer web.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rpc := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.UnaryInterceptor(g.Interceptor(access.Push)))
	healthpb.RegisterHealthServer(rpc, whoami{})
	served := make(chan error, 1)
	go func() { served <- rpc.Serve(listener) }()
	defer func() {
		rpc.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	pool := x509.NewCertPool()
	text, err := os.ReadFile(cert)
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		certificate   bool
		authorization string
		tenant        string
		code          int
		grpc          codes.Code
		says          string
	}{
		"certificate":           {true, "", "zoo", 200, codes.Aborted, "hosts as zoo"},
		"certificate and token": {true, bearer(tok), "", 200, codes.Aborted, "tok as beta"},
		"token":                 {false, bearer(tok), "", 200, codes.Aborted, "tok as beta"},
		"another's tenant":      {true, "", "beta", 403, codes.PermissionDenied, `"hosts" may not act for tenant "beta"`},
		"nobody":                {false, "", "zoo", 401, codes.Unauthenticated, "a token is needed"},
		"no tenant's name":      {true, "", "a b", 400, codes.InvalidArgument, "letters, digits"},
	} {
		client := &tls.Config{RootCAs: pool}
		if c.certificate {
			client.Certificates = []tls.Certificate{pair}
		}
		md := metadata.MD{}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+wire.PathPush, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.authorization != "" {
			req.Header.Set("Authorization", c.authorization)
			md.Set("authorization", c.authorization)
		}
		if c.tenant != "" {
			req.Header.Set(wire.HeaderTenant, c.tenant)
			md.Set(wire.HeaderTenant, c.tenant)
		}
		transport := &http.Transport{TLSClientConfig: client.Clone(), ForceAttemptHTTP2: true}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		transport.CloseIdleConnections()
		if resp.StatusCode != c.code || resp.ProtoMajor != 2 || !strings.Contains(string(body), c.says) {
			t.Errorf("%s: %s %d %s", name, resp.Proto, resp.StatusCode, body)
		}

		conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(client)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = healthpb.NewHealthClient(conn).Check(metadata.NewOutgoingContext(t.Context(), md), &healthpb.HealthCheckRequest{})
		if status.Code(err) != c.grpc || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: gRPC: %v", name, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

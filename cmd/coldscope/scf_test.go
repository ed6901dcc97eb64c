package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	sdk "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/scf/v20180416"

	"github.com/coldscope/coldscope/internal/access"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// TestSCF: a platform sends events and lines by its token, and Tencent's SDK
// reads them by its key, through one port that asks everybody who they are.
func TestSCF(t *testing.T) {
	dir := t.TempDir()
	_, dsn := clickhousetest.DB(t)
	platform := newToken(t, "--name", "platform", "--tenant", "acme", "--scope", "push")
	write(t, filepath.Join(dir, "access.yaml"), "tokens:\n"+platform.Entry+"\n")
	write(t, filepath.Join(dir, "keys.yaml"), "keys:\n- {name: ci, secret_id: AKIDci, secret_key: a-key-of-the-tests, tenant: acme}\n- {name: other, secret_id: AKIDother, secret_key: another-of-the-tests, tenant: other}\n")
	write(t, filepath.Join(dir, "serve.yaml"), "collector:\n  cri: []\n  docker: []\n  runtimes: {docker: off, containerd: off, kubernetes: off, ebpf: off}\n")
	served := execute(t, root(io.Discard, io.Discard), "serve", "--config", filepath.Join(dir, "serve.yaml"), "--access", filepath.Join(dir, "access.yaml"),
		"--scf-keys", filepath.Join(dir, "keys.yaml"), "--clickhouse", dsn, "--data-dir", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--otlp-grpc", "")
	url := served.url(t)
	send(t, url, &platform)

	client := func(id, key string) *sdk.Client {
		t.Helper()
		p := profile.NewClientProfile()
		p.HttpProfile.Scheme, p.HttpProfile.Endpoint, _ = strings.Cut(url, "://")
		c, err := sdk.NewClient(common.NewCredential(id, key), "ap-guangzhou", p)
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{}
		t.Cleanup(transport.CloseIdleConnections)
		c.WithHttpTransport(transport)
		return c
	}
	want := "START RequestId:req-1\nhello from outside\nResponse RequestId:req-1 RetMsg:\"\"\nEND RequestId:req-1\nReport RequestId:req-1 Duration:250ms\n"
	var last string
	ask := sdk.NewGetFunctionLogsRequest()
	ask.FunctionName = new("shop")
	eventually(t, "the log is whole", func() bool {
		logs, err := client("AKIDci", "a-key-of-the-tests").GetFunctionLogs(ask)
		if err != nil {
			t.Fatal(err)
		}
		if last = strconv.Itoa(len(logs.Response.Data)); len(logs.Response.Data) == 1 {
			last = *logs.Response.Data[0].Log
		}
		return last == want
	})
	for key, code := range map[string]string{"a-key-of-the-test!": "AuthFailure.SignatureFailure", "another-of-the-tests": "AuthFailure.SignatureFailure"} {
		_, err := client("AKIDci", key).GetFunctionLogs(ask)
		if e, ok := errors.AsType[*sdkerrors.TencentCloudSDKError](err); !ok || e.Code != code {
			t.Errorf("with %s: %v", key, err)
		}
	}
	if _, err := client("AKIDother", "another-of-the-tests").GetFunctionLogs(ask); err == nil || !strings.Contains(err.Error(), "ResourceNotFound.Function") {
		t.Errorf("another tenant's key: %v", err)
	}
	for _, c := range []struct {
		method, path string
		code         int
	}{{"GET", "/", 200}, {"POST", "/x", 401}, {"GET", "/api/v1/requests", 401}} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != c.code {
			t.Errorf("%s %s: %d %v", c.method, c.path, resp.StatusCode, err)
		}
	}
	if strings.Contains(served.stderr.String(), "of-the-tests") {
		t.Error("a secret key is in the log")
	}
	_, err := print(t, "query", "--scf-keys", filepath.Join(dir, "access.yaml"), "--data-dir", dir, "--listen", "127.0.0.1:0", "--clickhouse", dsn)
	if err == nil || !strings.Contains(err.Error(), "unknown field") {
		t.Errorf("a file of something else: %v", err)
	}
}

// send tells a Coldscope of one request, and its line.
func send(t *testing.T, url string, token *access.Token) {
	t.Helper()
	c, err := wire.NewClientWith(wire.Options{Target: url, BearerToken: token.Token})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	at := time.Now().Add(-time.Minute)
	ref := faas.Ref{Tenant: "acme", Namespace: "default", Function: "shop", Instance: "i-1"}
	err = c.SendEvents(t.Context(), []faas.Event{
		{ID: "1", Source: "h", Time: at, Ref: ref, Data: faas.InvocationStarted{RequestID: "req-1"}},
		{ID: "2", Source: "h", Time: at.Add(250 * time.Millisecond), Ref: ref, Data: faas.InvocationEnded{RequestID: "req-1", StartedAt: at, Status: faas.StatusOK, Duration: 0.25}},
	})
	if err != nil {
		t.Fatal(err)
	}
	push := fmt.Sprintf(`{"streams":[{"stream":{"namespace":"default","function":"shop","instance":"i-1","stream":"stdout"},"values":[["%d","hello from outside"]]}]}`, at.Add(100*time.Millisecond).UnixNano())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+wire.PathPush, strings.NewReader(push))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode >= 300 {
		t.Fatalf("push: %d %v", resp.StatusCode, err)
	}
}

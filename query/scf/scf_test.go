package scf_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	sdkerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	sdk "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/scf/v20180416"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/scf"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// The keys of the tests' file.
const (
	secretID, secretKey = "AKIDdefault", "the-default-tenants-secret-key"
	otherID, otherKey   = "AKIDother", "the-other-tenants-secret-key!"
	expiredID, keyFile  = "AKIDexpired", "keys:\n- {name: default, secret_id: AKIDdefault, secret_key: the-default-tenants-secret-key, tenant: default}\n" +
		"- {name: other, secret_id: AKIDother, secret_key: the-other-tenants-secret-key!, tenant: other}\n" +
		"- {name: expired, secret_id: AKIDexpired, secret_key: the-default-tenants-secret-key, tenant: default, expires: '2020-01-01T00:00:00Z'}\n"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func openKeys(t testing.TB, text string) (*scf.Keys, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := scf.OpenKeys(path, discard(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return keys, path
}

// turnAlways is a turn for everybody.
func turnAlways(context.Context, string) (func(), error) { return func() {}, nil }

// handler is the API over conn.
func handler(t testing.TB, conn driver.Conn) *scf.API {
	t.Helper()
	keys, _ := openKeys(t, keyFile)
	a, err := scf.New(read.New(conn), keys, turnAlways, discard(), time.Now, prometheus.NewPedanticRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// serve opens a port of the API over conn and gives its HOST:PORT.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// client is Tencent's, pointed at endpoint.
func client(t testing.TB, endpoint, id, key string, more ...func(*profile.ClientProfile)) *sdk.Client {
	t.Helper()
	p := profile.NewClientProfile()
	p.HttpProfile.Endpoint, p.HttpProfile.Scheme = endpoint, "http"
	for _, m := range more {
		m(p)
	}
	c, err := sdk.NewClient(common.NewCredential(id, key), "ap-guangzhou", p)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c.WithHttpTransport(transport)
	return c
}

// statusRequest and statusResponse are what this version of the SDK lacks, as
// later ones have it.
type statusRequest struct {
	*tchttp.BaseRequest

	FunctionName      *string `json:"FunctionName,omitempty" name:"FunctionName"`
	FunctionRequestId *string `json:"FunctionRequestId,omitempty" name:"FunctionRequestId"` //nolint:revive // the API's name
	Namespace         *string `json:"Namespace,omitempty" name:"Namespace"`
	StartTime         *string `json:"StartTime,omitempty" name:"StartTime"`
	EndTime           *string `json:"EndTime,omitempty" name:"EndTime"`
}

type statusResponse struct {
	*tchttp.BaseResponse

	Response struct {
		TotalCount int64
		Data       []requestStatus
		RequestId  string //nolint:revive // the API's name
	}
}

type requestStatus struct {
	FunctionName, RetMsg, RequestId, StartTime string //nolint:revive // the API's name
	RetCode                                    int64
	Duration, MemUsage                         float64
	RetryNum                                   int64
}

func newStatusRequest(function, id string) *statusRequest {
	r := &statusRequest{BaseRequest: &tchttp.BaseRequest{}, FunctionName: &function, FunctionRequestId: &id}
	r.Init().WithApiInfo("scf", scf.Version, "GetRequestStatus")
	return r
}

func getRequestStatus(c *sdk.Client, r *statusRequest) (*statusResponse, error) {
	response := &statusResponse{BaseResponse: &tchttp.BaseResponse{}}
	return response, c.Send(r, response)
}

// code is the error code that the SDK was told.
func code(err error) string {
	if e, ok := errors.AsType[*sdkerrors.TencentCloudSDKError](err); ok {
		return e.Code
	}
	return fmt.Sprint(err)
}

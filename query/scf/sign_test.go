package scf_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/read/readtest"
	"github.com/coldscope/coldscope/query/scf"
)

// signed is a request as its sender makes it, by the reference of TC3-HMAC-SHA256.
type signed struct {
	method, query, body string
	action              string
	id, key             string
	at                  time.Time
	date, service       string
	host                string   // in the signature
	headers             []string // signed, beside content-type and host
	lower               bool     // values, too
	change              func(*http.Request)
}

func valid() *signed {
	now := time.Now()
	return &signed{method: "POST", action: "ListFunctions", body: "{}", id: secretID, key: secretKey, at: now, date: now.UTC().Format(time.DateOnly), service: "scf", host: "scf.example:9480"}
}

func (s *signed) request(t testing.TB) *http.Request {
	t.Helper()
	target := "http://scf.example:9480/"
	if s.query != "" {
		target += "?" + s.query
	}
	r := httptest.NewRequestWithContext(t.Context(), s.method, target, strings.NewReader(s.body))
	timestamp := strconv.FormatInt(s.at.Unix(), 10)
	for name, value := range map[string]string{
		"Content-Type": "application/json; charset=UTF-8", "X-TC-Action": s.action, "X-TC-Version": scf.Version, "X-TC-Timestamp": timestamp, "X-TC-Region": "ap-guangzhou",
	} {
		r.Header.Set(name, value)
	}
	value := func(v string) string {
		if s.lower {
			return strings.ToLower(v)
		}
		return v
	}
	names := append([]string{"content-type", "host"}, s.headers...)
	lines := []string{s.method, "/", s.query, "content-type:" + value(r.Header.Get("Content-Type")), "host:" + value(s.host)}
	for _, name := range s.headers {
		lines = append(lines, name+":"+value(r.Header.Get(name)))
	}
	payload := sha256.Sum256([]byte(s.body))
	canonical := strings.Join(append(lines, "", strings.Join(names, ";"), hex.EncodeToString(payload[:])), "\n")
	hash := sha256.Sum256([]byte(canonical))
	scope := s.date + "/" + s.service + "/tc3_request"
	mac := func(key, text string) string {
		h := hmac.New(sha256.New, []byte(key))
		_, _ = h.Write([]byte(text))
		return string(h.Sum(nil))
	}
	signature := mac(mac(mac(mac("TC3"+s.key, s.date), s.service), "tc3_request"), "TC3-HMAC-SHA256\n"+timestamp+"\n"+scope+"\n"+hex.EncodeToString(hash[:]))
	r.Header.Set("Authorization", "TC3-HMAC-SHA256 Credential="+s.id+"/"+scope+", SignedHeaders="+strings.Join(names, ";")+", Signature="+hex.EncodeToString([]byte(signature)))
	if s.change != nil {
		s.change(r)
	}
	return r
}

// answer is what all answers have.
type answer struct {
	Response struct {
		Error      *struct{ Code, Message string }
		RequestId  string //nolint:revive // the API's name
		TotalCount int
	}
}

func ask(t *testing.T, h http.Handler, r *http.Request) *answer {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v %s: %v", w.Code, w.Header(), w.Body, err)
	}
	if a.Response.RequestId == "" {
		t.Errorf("no RequestId: %s", w.Body)
	}
	if strings.Contains(w.Body.String(), secretKey) {
		t.Errorf("the answer shows a secret key: %s", w.Body)
	}
	return &a
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// TestSignature: who gets in, and what the others are told.
func TestSignature(t *testing.T) {
	h := handler(t, readtest.DB(t))
	for name, c := range map[string]struct {
		change func(*signed)
		code   string // empty: it is let in
	}{
		"as it must be":          {func(*signed) {}, ""},
		"no port":                {func(s *signed) { s.host = "scf.example" }, ""},
		"lower case":             {func(s *signed) { s.lower = true }, ""},
		"the action, too":        {func(s *signed) { s.headers, s.lower = []string{"x-tc-action"}, true }, ""},
		"by GET":                 {func(s *signed) { s.method, s.query, s.body = "GET", "Limit=5&Offset=0", "" }, ""},
		"another service's name": {func(s *signed) { s.service = "127" }, ""},
		"four minutes slow":      {func(s *signed) { s.at = s.at.Add(-4 * time.Minute); s.date = s.at.UTC().Format(time.DateOnly) }, ""},
		"another key":            {func(s *signed) { s.key = otherKey }, "AuthFailure.SignatureFailure"},
		"another's ID":           {func(s *signed) { s.id = otherID }, "AuthFailure.SignatureFailure"},
		"an unknown ID":          {func(s *signed) { s.id = "AKIDnobody" }, "AuthFailure.SecretIdNotFound"},
		"a stranger's long body": {func(s *signed) { s.id, s.body = "AKIDnobody", strings.Repeat(" ", 2<<20) }, "AuthFailure.SecretIdNotFound"},
		"no ID":                  {func(s *signed) { s.id = "" }, "AuthFailure.InvalidAuthorization"},
		"an expired ID":          {func(s *signed) { s.id = expiredID }, "AuthFailure.SecretIdNotFound"},
		"too slow":               {func(s *signed) { s.at = s.at.Add(-6 * time.Minute); s.date = s.at.UTC().Format(time.DateOnly) }, "AuthFailure.SignatureExpire"},
		"too fast":               {func(s *signed) { s.at = s.at.Add(6 * time.Minute); s.date = s.at.UTC().Format(time.DateOnly) }, "AuthFailure.SignatureExpire"},
		"another date":           {func(s *signed) { s.date = "2020-01-01" }, "AuthFailure.SignatureExpire"},
		"another host":           {func(s *signed) { s.host = "scf.tencentcloudapi.com" }, "AuthFailure.SignatureFailure"},
		"another body":           {func(s *signed) { s.change = func(r *http.Request) { r.Body = http.NoBody } }, "AuthFailure.SignatureFailure"},
		"another query": {func(s *signed) {
			s.method, s.query, s.body, s.change = "GET", "Limit=5", "", func(r *http.Request) { r.URL.RawQuery = "Limit=6" }
		}, "AuthFailure.SignatureFailure"},
		"another content type": {func(s *signed) { s.change = header("Content-Type", "text/plain") }, "AuthFailure.SignatureFailure"},
		"another signed action": {func(s *signed) {
			s.headers, s.change = []string{"x-tc-action"}, header("X-TC-Action", "GetFunctionLogs")
		}, "AuthFailure.SignatureFailure"},
		"another time":        {func(s *signed) { s.change = header("X-TC-Timestamp", strconv.FormatInt(s.at.Unix()-1, 10)) }, "AuthFailure.SignatureFailure"},
		"unsigned afterwards": {func(s *signed) { s.change = header("X-TC-Content-SHA256", "UNSIGNED-PAYLOAD") }, "AuthFailure.SignatureFailure"},
		"no time":             {func(s *signed) { s.change = header("X-TC-Timestamp", "") }, "MissingParameter"},
		"no number":           {func(s *signed) { s.change = header("X-TC-Timestamp", "now") }, "InvalidParameter"},
		"a token":             {func(s *signed) { s.change = header("X-TC-Token", "t") }, "AuthFailure.TokenFailure"},
		"no Authorization":    {func(s *signed) { s.change = func(r *http.Request) { r.Header.Del("Authorization") } }, "AuthFailure.InvalidAuthorization"},
		"two of them":         {func(s *signed) { s.change = func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") } }, "AuthFailure.InvalidAuthorization"},
		"a bearer's":          {func(s *signed) { s.change = header("Authorization", "Bearer coldscope_x") }, "AuthFailure.InvalidAuthorization"},
		"half of it": {func(s *signed) {
			s.change = header("Authorization", "TC3-HMAC-SHA256 Credential=AKIDdefault/2020-01-01/scf/tc3_request")
		}, "AuthFailure.InvalidAuthorization"},
		"nothing signed": {func(s *signed) {
			s.change = func(r *http.Request) {
				r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "content-type;host", "host", 1))
			}
		}, "AuthFailure.InvalidAuthorization"},
		"no action":               {func(s *signed) { s.change = header("X-TC-Action", "") }, "MissingParameter"},
		"an unknown action":       {func(s *signed) { s.change = header("X-TC-Action", "DeleteFunction") }, "InvalidAction"},
		"no version":              {func(s *signed) { s.change = header("X-TC-Version", "") }, "MissingParameter"},
		"another version":         {func(s *signed) { s.change = header("X-TC-Version", "2017-03-12") }, "NoSuchVersion"},
		"much too large":          {func(s *signed) { s.body = strings.Repeat(" ", 2<<20) }, "RequestSizeLimitExceeded"},
		"strangers learn nothing": {func(s *signed) { s.key, s.change = otherKey, header("X-TC-Action", "DeleteFunction") }, "AuthFailure.SignatureFailure"},
	} {
		s := valid()
		c.change(s)
		got := ask(t, h, s.request(t))
		switch {
		case got.Response.Error == nil && c.code != "":
			t.Errorf("%s is let in, want %s", name, c.code)
		case got.Response.Error != nil && got.Response.Error.Code != c.code:
			t.Errorf("%s: %+v, want %q", name, *got.Response.Error, c.code)
		}
	}
}

// TestRefusedSDK: Tencent's SDK understands who it was refused by.
func TestRefusedSDK(t *testing.T) {
	endpoint := serve(t, handler(t, readtest.DB(t)))
	for name, c := range map[string]struct{ id, key, code string }{
		"wrong key":  {secretID, otherKey, "AuthFailure.SignatureFailure"},
		"unknown ID": {"AKIDnobody", secretKey, "AuthFailure.SecretIdNotFound"},
	} {
		_, err := client(t, endpoint, c.id, c.key, func(*profile.ClientProfile) {}).GetFunctionLogs(sampleLogs())
		if code(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

// TestNoTurn: who has shown who they are and gets no turn is told to come again.
func TestNoTurn(t *testing.T) {
	keys, _ := openKeys(t, keyFile)
	asked := 0
	busy := func(_ context.Context, tenant string) (func(), error) {
		if asked++; tenant != "default" {
			t.Errorf("a turn of %q", tenant)
		}
		return nil, &limit.BusyError{Running: 1}
	}
	h, err := scf.New(read.New(nil), keys, busy, discard(), time.Now, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, h, valid().request(t)); got.Response.Error == nil || got.Response.Error.Code != "RequestLimitExceeded" || asked != 1 {
		t.Errorf("%+v", got.Response.Error)
	}
	stranger := valid()
	stranger.key = otherKey
	if got := ask(t, h, stranger.request(t)); got.Response.Error == nil || got.Response.Error.Code != "AuthFailure.SignatureFailure" || asked != 1 {
		t.Errorf("a stranger took a turn: %+v", got.Response.Error)
	}
}

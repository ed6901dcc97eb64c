package redact

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const testKey = "0123456789abcdef"

func redactor(t testing.TB, o Options) *Redactor {
	t.Helper()
	if o.Key == "" {
		o.Key = testKey
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hashes makes all marks of a kind alike.
var hashes = regexp.MustCompile(`\[redacted:([a-z0-9-]+):[0-9a-f]{12}\]`)

// Made up, in the shapes of real ones.
const (
	id     = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3gnPhESA"
	secret = "Gu5t9xGARNpq86cd98joQYCN3Cozk1qA"
	ghp    = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
	jwt    = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
	pemOne = "-----BEGIN RSA PRIVATE KEY-----\\nMIIEowIBAAKCAQEA\\n-----END RSA PRIVATE KEY-----"
)

func TestLine(t *testing.T) {
	r := redactor(t, Options{})
	for in, want := range map[string]string{
		// How programs print what the platform hands them.
		"X-Scf-Secret-Id: " + id:                                                        "X-Scf-Secret-Id: <secret-id>",
		"x-scf-secret-key: " + secret:                                                   "x-scf-secret-key: <secret-key>",
		`{"X-Scf-Secret-Key":"` + secret + `","n":1}`:                                   `{"X-Scf-Secret-Key":"<secret-key>","n":1}`,
		`{\"x-scf-session-token\":\"` + secret + `\"}`:                                  `{\"x-scf-session-token\":\"<session-token>\"}`,
		"map[X-Scf-Secret-Key:[" + secret + "] X-Scf-Name:[fn]]":                        "map[X-Scf-Secret-Key:[<secret-key>] X-Scf-Name:[fn]]",
		`http.Header{"X-Scf-Secret-Key":[]string{"` + secret + `"}, "A":[]string{"b"}}`: `http.Header{"X-Scf-Secret-Key":[]string{"<secret-key>"}, "A":[]string{"b"}}`,
		`{"X-Scf-Secret-Key":["` + secret + `","` + secret + `"]}`:                      `{"X-Scf-Secret-Key":["<secret-key>","<secret-key>"]}`,
		`{'X-SCF-SECRET-KEY': '` + secret + `', 'a': 'b'}`:                              `{'X-SCF-SECRET-KEY': '<secret-key>', 'a': 'b'}`,
		`[(b'x-scf-secret-key', b'` + secret + `'), (b'a', b'b')]`:                      `[(b'x-scf-secret-key', b'<secret-key>'), (b'a', b'b')]`,
		`"HTTP_X_SCF_SECRET_KEY"=>"` + secret + `"`:                                     `"HTTP_X_SCF_SECRET_KEY"=>"<secret-key>"`,
		`header["X-Scf-Secret-Key"] = "` + secret + `"`:                                 `header["X-Scf-Secret-Key"] = "<secret-key>"`,
		"X-Scf-Secret-Key=" + secret + "&a=b":                                           "X-Scf-Secret-Key=<secret-key>&a=b",
		"< X-Scf-Session-Token: " + secret + "\r\n< Date: today":                        "< X-Scf-Session-Token: <session-token>\r\n< Date: today",
		"TENCENTCLOUD_SECRETID=" + id + " PATH=/bin":                                    "TENCENTCLOUD_SECRETID=<secret-id> PATH=/bin",
		"declare -x TENCENTCLOUD_SECRETKEY=\"" + secret + "\"":                          "declare -x TENCENTCLOUD_SECRETKEY=\"<secret-key>\"",
		"TENCENTCLOUD_SESSIONTOKEN: " + secret:                                          "TENCENTCLOUD_SESSIONTOKEN: <session-token>",
		"export AWS_SECRET_ACCESS_KEY='wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'":       "export AWS_SECRET_ACCESS_KEY='<secret-key>'",
		"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY":              "aws_secret_access_key = <secret-key>",
		`{"name":"AWS_SESSION_TOKEN","value":"IQoJb3JpZ2luX2VjE"}`:                      `{"name":"AWS_SESSION_TOKEN","value":"<session-token>"}`,
		"GET /o?X-Amz-Signature=fe5f80f77d5fa3beca038a248ff027&a=1":                     "GET /o?X-Amz-Signature=<signature>&a=1",
		"X-TC-Token: " + secret:                                                         "X-TC-Token: <session-token>",
		"Authorization: Bearer abc.def":                                                 "Authorization: Bearer <authorization>",
		"> authorization: basic dXNlcjpwYXNz":                                           "> authorization: basic <authorization>",
		`"Authorization":"Bearer ` + secret + `","x":1`:                                 `"Authorization":"Bearer <authorization>","x":1`,
		`{"headers":"Authorization: Bearer xyz\r\nHost: a"}`:                            `{"headers":"Authorization: Bearer <authorization>\r\nHost: a"}`,
		"Proxy-Authorization: Negotiate YIIZ":                                           "Proxy-Authorization: Negotiate <authorization>",
		"Authorization: 0f3e8a1b7c6d5e4f0011":                                           "Authorization: <authorization>",
		`'authorization': 'opaque-key'`:                                                 `'authorization': '<authorization>'`,
		"Authorization: Digest username=\"u\", response=\"6629\"":                       "Authorization: Digest <authorization>",
		"map[Authorization:[Token abcdefgh] Host:[x]]":                                  "map[Authorization:[Token <authorization>] Host:[x]]",
		"Authorization: TC3-HMAC-SHA256 Credential=" + id + "/2026-11-24/scf/tc3_request, SignedHeaders=content-type;host, Signature=72e494ea8a":   "Authorization: TC3-HMAC-SHA256 Credential=<secret-id>/2026-11-24/scf/tc3_request, SignedHeaders=content-type;host, Signature=<signature>",
		"Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261124/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=fe5f80": "Authorization: AWS4-HMAC-SHA256 Credential=<secret-id>/20261124/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=<signature>",
		"Cookie: sid=31d4d96e407aad42; theme=dark rest":                      "Cookie: <cookie> rest",
		`"set-cookie":["sid=1; Path=/; HttpOnly","b=2"]`:                     `"set-cookie":["<cookie>","<cookie>"]`,
		`{\"Cookie\":\"a=b\",\"c\":1}`:                                       `{\"Cookie\":\"<cookie>\",\"c\":1}`,
		"key " + id + ".":                                                    "key <secret-id>.",
		"upload failed: AKIAIOSFODNN7EXAMPLE, ASIAIOSFODNN7EXAMPLE":          "upload failed: <aws-key>, <aws-key>",
		"git clone https://" + ghp + "@github.com/x":                         "git clone https://<github-token>@github.com/x",
		"pat=github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz0123456789":     "pat=<github-token>",
		"slack xoxb-123456789012-abcdefghij":                                 "slack <slack-token>",
		"sk-proj-aB3dE5fG7hI9jK1lM3nO5 sk-0123456789abcdef0123456789abcdef":  "<api-key> <api-key>",
		"got " + jwt + ", ok":                                                "got <jwt>, ok",
		`"` + pemOne + `"`:                                                   `"-----BEGIN RSA PRIVATE KEY-----<private-key>-----END RSA PRIVATE KEY-----"`,
		"a\n-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nb": "a\n-----BEGIN PRIVATE KEY-----<private-key>-----END PRIVATE KEY-----\nb",
		"dial postgres://app:s3cr3t@db:5432/x?y":                             "dial postgres://app:<url-password>@db:5432/x?y",
		"redis://:p@ss@cache/0":                                              "redis://:<url-password>@cache/0",
	} {
		out, n := r.Line(nil, []byte(in))
		got := hashes.ReplaceAllString(string(out), "<$1>")
		if got != want || n != strings.Count(want, "<")-strings.Count(in, "<") {
			t.Errorf("%s\n got %s (%d)\nwant %s", in, got, n, want)
		}
		if again, n := r.Line(nil, out); n != 0 || !bytes.Equal(again, out) {
			t.Errorf("%s becomes %s, and then %s", in, out, again)
		}
		if s := r.String(in); s != string(out) {
			t.Errorf("String gives %s, Line %s", s, out)
		}
	}
}

// What only looks like a secret stays.
func TestOrdinary(t *testing.T) {
	r := redactor(t, Options{})
	for _, in := range []string{
		"", "x", "authorization denied for user 17", "authorization: denied for user 17", "Authorization: none",
		"authorization_code=42", "the cookies: are=good", "cookie: not set", "Cookie policy", "preauthorization: Basic x",
		"AWS_SECRET_ACCESS_KEY is not set", "AWS_SECRET_ACCESS_KEY=", "AWS_REGION=eu-west-1", "AWS_SESSION_TOKEN: missing",
		"AWS_SECRET_ACCESS_KEY_FILE=/run/secrets/aws-secret-key", "X-Scf-Request-Id: 812eecfd-1fe3-760a-8b67-8da21dd18134",
		"X-Scf-Secret-Id", "X-Scf-Secret-Key: undefined", "AKID short", "xAKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLEX", "AKIAiosfodnn7example",
		"ghp_short", "github_pat_short", "xoxo-hugs-and-kisses-for-you", "xoxb-1", "task-0123456789abcdefghijABCDEFGHIJ",
		"sk-loading-spinner-animation-fast", "sk-short1", "eyJhbGciOiJIUzI1NiJ9 alone", "eyJhbGciOiJIUzI1NiJ9.notjson.sig",
		"-----BEGIN CERTIFICATE-----\nMIIE", "mail me@example.com", "https://user@example.com/", "https://example.com/a:b@c",
		"at 10:20@home", "password=hunter22", "token: 12345", `{"secret":"abcd"}`, "\xff\xfe@\x00",
		"[redacted:secret-id:0123456789ab]", "X-Scf-Secret-Id: [redacted:secret-id:0123456789ab]",
	} {
		line := []byte(in)
		out, n := r.Line(nil, line)
		if n != 0 || string(out) != in || len(in) > 0 && &out[0] != &line[0] {
			t.Errorf("%s becomes %s (%d)", in, out, n)
		}
	}
	for _, line := range corpus(t) {
		if out, n := r.Line(nil, line); n != 0 {
			t.Errorf("%s becomes %s", line, out)
		}
	}
}

func TestKeyValues(t *testing.T) {
	r := redactor(t, Options{KeyValues: true})
	for in, want := range map[string]string{
		"password=hunter22 user=x":             "password=<password> user=x",
		`{"db_password":"hunter22","ok":true}`: `{"db_password":"<password>","ok":true}`,
		"passwd: 'hunter22'":                   "passwd: '<password>'",
		"GET /?access_token=abcdef&x=1":        "GET /?access_token=<token>&x=1",
		`"clientSecret": "abcdef"`:             `"clientSecret": "<secret>"`,
		"API-KEY=abcdef":                       "API-KEY=<secret>",
		"secret_key=abcdef":                    "secret_key=<secret>",
		"tokens=12345":                         "tokens=12345",
		"X-Scf-Session-Token: abcdefgh":        "X-Scf-Session-Token: <session-token>",
	} {
		out, _ := r.Line(nil, []byte(in))
		if got := hashes.ReplaceAllString(string(out), "<$1>"); got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
		if again, n := r.Line(nil, out); n != 0 {
			t.Errorf("%s becomes %s, and then %s", in, out, again)
		}
	}
}

func TestOptions(t *testing.T) {
	r := redactor(t, Options{
		Off: []string{"cookie", "jwt"},
		Custom: []Custom{
			{Name: "card", Pattern: `card=(\d{4})`},
			{Name: "ssn", Pattern: `\d{3}-\d{2}-\d{4}`},
		},
	})
	out, n := r.Line(nil, []byte("Cookie: a=b "+jwt+" card=1234 078-05-1120"))
	got := hashes.ReplaceAllString(string(out), "<$1>")
	if want := "Cookie: a=b " + jwt + " card=<card> <ssn>"; got != want || n != 2 {
		t.Errorf("got %s", got)
	}
	err := Options{Off: []string{"x"}, Key: "short", Custom: []Custom{{"A", "("}, {"A", "x*"}}}.Validate()
	for _, want := range []string{`"x"`, "16 bytes", "custom[0].pattern", "custom[1].pattern", "custom[1].name"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell of %s", err, want)
		}
	}
	for pattern, want := range map[string]string{
		`card=(\d{4})`: "card=", `\d+`: "", `(?i)card`: "", `(abcd|efgh)`: "", `x(yz)*abc`: "abc", `(foo\d)+`: "foo", `(foo){0,2}ab`: "",
	} {
		if got := string(literal(pattern)); got != want {
			t.Errorf("%s needs %q, not %q", pattern, want, got)
		}
	}
}

func TestKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "redact.key")
	line := []byte("X-Scf-Secret-Id: " + id)
	r, err := New(Options{KeyFile: path})
	if err != nil {
		t.Fatal(err)
	}
	first, _ := r.Line(nil, line)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if r, err = New(Options{KeyFile: path}); err != nil {
		t.Fatal(err)
	}
	if again, _ := r.Line(nil, line); !bytes.Equal(first, again) {
		t.Errorf("%s after a restart, %s before", again, first)
	}
	if other, _ := redactor(t, Options{}).Line(nil, line); bytes.Equal(first, other) {
		t.Error("another key gives the same mark")
	}
	if other, _ := r.Line(nil, []byte("X-Scf-Secret-Id: "+id+"x")); bytes.Equal(first, other) {
		t.Error("another secret gives the same mark")
	}
	if key, _ := r.Line(nil, []byte(id)); !bytes.HasSuffix(first, key) {
		t.Errorf("%s alone is %s", first, key)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%v", entries)
	}
	if err := os.WriteFile(path, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{KeyFile: path}); err == nil {
		t.Error("took a short key")
	}
}

// Every anchor is found at even and at odd places, and the lists fit their index.
func TestTable(t *testing.T) {
	r := redactor(t, Options{KeyValues: true})
	if n := len(r.table.lists); n > 256 {
		t.Fatalf("%d lists", n)
	}
	for _, a := range anchors {
		for before := range 40 {
			for behind := range 20 {
				text := strings.Repeat(".", before) + a.text + strings.Repeat(".", behind)
				if !r.table.any([]byte(text)) || !a.exact && !r.table.any(bytes.ToUpper([]byte(text))) {
					if len(text) > 1 { // a pair needs two bytes, and so does a password
						t.Errorf("not found in %q", text)
					}
				}
			}
		}
	}
}

// A line does not grow without bound, and takes no more than its length's time.
func TestHostile(t *testing.T) {
	r := redactor(t, Options{KeyValues: true})
	for _, unit := range []string{
		"eyJ", "eyJhbGciOi.", "eyJhbGciOiJIUzI1NiJ9.eyJ", "@", "://", "://a@", "://a:b@", "AKID", "xAKID", "sk-", "-sk-", "ghp_", "xoxb-", "-----BEGIN ",
		"-----BEGIN PRIVATE KEY-----", "cookie:", "cookie: ", "cookie:[", "cookie:\"", "cookie:'a", "cookie:a=b ", "authorization:", "authorization: ",
		"authorization:[a ", "authorization:\"", "authorization: digest ", "X-Scf-Secret-Id:", "X-Scf-Secret-Id:[", "password=", "password=abcd ", "[redacted:",
		"[redacted:a:0123456789ab]", "\\", "cookie:\\", "cookie ",
	} {
		line := bytes.Repeat([]byte(unit), (1<<20)/len(unit))
		start := time.Now()
		out, _ := r.Line(nil, line)
		if len(out) > len(line)+maxPasses*maxSpans*64 {
			t.Errorf("%s: %d bytes", unit, len(out))
		}
		if d := time.Since(start); d > 20*time.Second { // a second, where the square takes minutes
			t.Errorf("%s: %s", unit, d)
		} else if d > 100*time.Millisecond {
			t.Logf("%s: %s", unit, d)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{
		"", "X-Scf-Secret-Id: ", `{"Authorization":"Bearer `, "Cookie: a=", "https://a:", `"`, "[redacted:a:0123456789ab]", "-----BEGIN PRIVATE KEY-----",
		"eyJhbGciOiJIUzI1NiJ9.", "password=", "\\\"cookie\\\":\\\"", "AWS_SESSION_TOKEN='",
	} {
		f.Add([]byte(s), []byte("; b=c"), uint8(len(s)))
	}
	r := redactor(f, Options{KeyValues: true, Custom: []Custom{{"card", `card=(\d+)`}}})
	forms := []string{
		"%s", "X-Scf-Secret-Key: %s", `{"TENCENTCLOUD_SECRETKEY":"%s"}`, "Authorization: Bearer %s", "Cookie: sid=%s", "ftp://user:%s@host/", "AWS_SESSION_TOKEN=%s",
	}
	f.Fuzz(func(t *testing.T, before, behind []byte, form uint8) {
		secret := ghp // of a shape, where nothing else tells
		line := fmt.Appendf(bytes.Clone(before), " "+forms[int(form)%len(forms)]+" ", secret)
		line = append(line, behind...)
		was := bytes.Clone(line)
		out, n := r.Line(nil, line)
		if !bytes.Equal(line, was) {
			t.Fatal("the line was changed")
		}
		if n == 0 || bytes.Contains(out, []byte(secret)) {
			t.Fatalf("%q becomes %q", line, out)
		}
		if again, n := r.Line(nil, out); n != 0 || !bytes.Equal(again, out) {
			t.Fatalf("%q becomes %q, and then %q", line, out, again)
		}
		if out, n := r.Line(nil, before); n == 0 && !bytes.Equal(out, before) {
			t.Fatalf("%q becomes %q", before, out)
		}
	})
}

// corpus gives lines of functions without secrets.
func corpus(tb testing.TB) [][]byte {
	tb.Helper()
	text, err := os.ReadFile("../runtimelog/testdata/lines.txt")
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

func BenchmarkLine(b *testing.B) {
	r := redactor(b, Options{})
	lines := corpus(b)
	size := 0
	for _, l := range lines {
		size += len(l)
	}
	b.SetBytes(int64(size / len(lines)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, n := r.Line(nil, lines[i%len(lines)]); n > 0 {
			b.Fatal("a secret")
		}
	}
}

// BenchmarkNaive looks for every anchor by itself.
func BenchmarkNaive(b *testing.B) {
	lines := corpus(b)
	var texts [][]byte
	for _, a := range anchors {
		if a.rule != keyValues {
			texts = append(texts, []byte(a.text))
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for _, text := range texts {
			if bytes.Contains(lines[i%len(lines)], text) && len(text) > 3 {
				b.Fatal("a secret")
			}
		}
	}
}

func BenchmarkSecret(b *testing.B) {
	r := redactor(b, Options{})
	line := []byte(`{"level":"debug","headers":{"X-Scf-Secret-Id":"` + id + `","X-Scf-Secret-Key":"` + secret + `","X-Scf-Name":"fn"}}`)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = r.Line(buf[:0], line)
	}
}

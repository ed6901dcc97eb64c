package contexts

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "contexts.yaml")
	f, err := Load(path)
	if err != nil || len(f.Contexts) != 0 {
		t.Fatalf("no file: %+v, %v", f, err)
	}
	prod := Context{Name: "prod", URL: "https://cs.example", Tenant: "acme", TokenCommand: "pass show 'cs: prod'", CAFile: "/ca.pem"}
	lab := Context{Name: "lab", URL: "http://127.0.0.1:9480", Token: "secret"}
	for _, c := range []Context{prod, lab} {
		if err := f.Set(c); err != nil {
			t.Fatal(err)
		}
	}
	if f.Current != "prod" {
		t.Errorf("current: %q", f.Current)
	}
	if err := f.Save(); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", p, info.Mode(), err)
		}
	}
	again, err := Load(path)
	if diff := cmp.Diff(f, again, cmpopts.IgnoreUnexported(File{})); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if err := again.Use("lab"); err != nil || again.Current != "lab" {
		t.Errorf("%q %v", again.Current, err)
	}
	if err := again.Remove("lab"); err != nil || again.Current != "" || again.Get("lab") != nil {
		t.Errorf("%+v %v", again, err)
	}
	if err := again.Use("lab"); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "there are prod") {
		t.Errorf("%v", err)
	}

	link := filepath.Join(t.TempDir(), "contexts.yaml")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	linked, err := Load(link)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(linked.Remove("lab"), linked.Save()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left over: %v %v", left, err)
	}
}

func TestWrongFile(t *testing.T) {
	for text, want := range map[string]string{
		"contexts:\n- {name: a, url: http://h, tokn: x}\n":                               ":2:28: unknown field",
		"contexts:\n- {name: a, url: ftp://h}\n":                                         "contexts[0]: url: want",
		"contexts:\n- {name: a b, url: http://h}\n":                                      `name "a b"`,
		"contexts:\n- {name: a, url: 'http://u:secret@h'}\n":                             "a user in it",
		"contexts:\n- {name: a, url: http://h}\n- {name: a, url: http://h}\n":            "two contexts",
		"contexts:\n- {name: a, url: http://h, token_file: /secret, token_command: b}\n": "more than one of",
		"contexts:\n- {name: a, url: http://h, token: secret}\n":                         "chmod 600",
	} {
		path := filepath.Join(t.TempDir(), "contexts.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestResolve(t *testing.T) {
	f := &File{Current: "prod", Contexts: []Context{
		{Name: "prod", URL: "https://prod", Tenant: "acme", Token: "prod-token", CAFile: "prod.pem"},
		{Name: "lab", URL: "http://lab", TokenFile: "lab-token"},
	}}
	type env = map[string]string
	for name, c := range map[string]struct {
		flags Flags
		env   env
		want  Context
		from  string // of the token
	}{
		"the current one":                 {want: f.Contexts[0], from: "context prod"},
		"by flag":                         {flags: Flags{Context: "lab"}, want: f.Contexts[1], from: "context lab"},
		"by variable":                     {env: env{"COLDSCOPE_CONTEXT": "lab"}, want: f.Contexts[1], from: "context lab"},
		"a flag's wins over variables":    {flags: Flags{Context: "prod"}, env: env{"COLDSCOPE_URL": "http://x", "COLDSCOPE_TOKEN": "t", "COLDSCOPE_TENANT": "v", "COLDSCOPE_CONTEXT": "lab"}, want: f.Contexts[0], from: "context prod"},
		"flags win over a context":        {flags: Flags{Tenant: "other", TokenFile: "mine"}, want: Context{Name: "prod", URL: "https://prod", Tenant: "other", TokenFile: "mine", CAFile: "prod.pem"}, from: "--token-file"},
		"variables win over the current":  {env: env{"COLDSCOPE_TENANT": "other", "COLDSCOPE_TOKEN": "mine"}, want: Context{Name: "prod", URL: "https://prod", Tenant: "other", Token: "mine", CAFile: "prod.pem"}, from: "COLDSCOPE_TOKEN"},
		"flags win over variables":        {flags: Flags{URL: "http://flag", Tenant: "flag"}, env: env{"COLDSCOPE_URL": "http://env", "COLDSCOPE_TENANT": "env", "COLDSCOPE_TOKEN": "env"}, want: Context{URL: "http://flag", Tenant: "flag", Token: "env"}, from: "COLDSCOPE_TOKEN"},
		"another URL gets no token":       {flags: Flags{URL: "http://elsewhere"}, want: Context{URL: "http://elsewhere"}},
		"nor by variable":                 {env: env{"COLDSCOPE_URL": "http://elsewhere"}, want: Context{URL: "http://elsewhere"}},
		"the same URL does":               {flags: Flags{URL: "https://prod/"}, want: Context{Name: "prod", URL: "https://prod/", Tenant: "acme", Token: "prod-token", CAFile: "prod.pem"}, from: "context prod"},
		"another URL of a named context":  {flags: Flags{URL: "https://tunnel", Context: "prod"}, want: Context{Name: "prod", URL: "https://tunnel", Tenant: "acme", Token: "prod-token", CAFile: "prod.pem"}, from: "context prod"},
		"a token's file before the token": {env: env{"COLDSCOPE_TOKEN": "a", "COLDSCOPE_TOKEN_FILE": "b"}, want: Context{Name: "prod", URL: "https://prod", Tenant: "acme", TokenFile: "b", CAFile: "prod.pem"}, from: "COLDSCOPE_TOKEN_FILE"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := f.Resolve(c.flags, func(k string) string { return c.env[k] }, "http://fallback")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Context); diff != "" || got.From["token"] != c.from {
				t.Errorf("token from %q\n%s", got.From["token"], diff)
			}
		})
	}
	none := func(string) string { return "" }
	if got, err := new(File).Resolve(Flags{}, none, "http://fallback"); err != nil || got.URL != "http://fallback" || got.From["url"] != "default" {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := f.Resolve(Flags{Context: "nope"}, none, ""); !errors.Is(err, ErrMissing) {
		t.Errorf("%v", err)
	}
}

// TestTokenCommand: a token that has expired is asked for again, once.
func TestTokenCommand(t *testing.T) {
	dir := t.TempDir()
	valid := "token-1"
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("Authorization") != "Bearer "+valid {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer s.Close()
	// The command prints another token each time it runs.
	c := http.Client{Transport: Transport(http.DefaultTransport, "echo x >>"+dir+"/n; echo token-$(wc -l <"+dir+"/n)")}
	defer http.DefaultClient.CloseIdleConnections()
	get := func() int {
		t.Helper()
		res, err := c.Get(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	for range 2 {
		if code := get(); code != http.StatusOK {
			t.Errorf("%d", code)
		}
	}
	if asked != 2 {
		t.Errorf("%d requests", asked)
	}
	valid = "token-2"
	if code := get(); code != http.StatusOK || asked != 4 {
		t.Errorf("%d after %d requests", code, asked)
	}
	valid = "never"
	if code := get(); code != http.StatusUnauthorized {
		t.Errorf("%d", code)
	}
	for _, bad := range []string{"exit 3", "true", "printf 'a\\nb\\n'"} {
		if token, err := Ask(t.Context(), bad); err == nil || token != "" {
			t.Errorf("%q: %q %v", bad, token, err)
		}
	}
}

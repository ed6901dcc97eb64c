package conf_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/conf"
)

type config struct {
	Listen string `yaml:"listen"`
	Ship   struct {
		Age time.Duration `yaml:"age"`
	} `yaml:"ship"`
}

// A section is laid over what is there, and a typo in it is shown at its place in
// the whole file; what else is in the file does not matter.
func TestLoadSection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "coldscope.yaml")
	for text, says := range map[string]string{
		"other: 1\npart:\n  listen: ''\n  ship:\n    age: 3s\n": "",
		"other: 1\n":                      "",
		"part:\n":                         "",
		"":                                "",
		"a: 1\npart:\n  ship: {agee: 3s}": "[3:10]",
	} {
		c := config{Listen: "default"}
		c.Ship.Age = time.Second
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := conf.LoadSection(path, "part", &c)
		if says != "" {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		set := strings.Contains(text, "age")
		if err != nil || set != (c.Listen == "") || set != (c.Ship.Age == 3*time.Second) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
}

func TestLoad(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"good", "listen: 127.0.0.1:1\nship:\n  age: 3s\n", ""},
		{"empty", "# listen: :80\n\n", ""},
		{"typo", "listen: a\nship:\n  agee: 3s\n", "coldscope.yaml:3:3: unknown field \"agee\""},
		{"type", "ship:\n  age: soon\n", "soon"},
		{"secret", "ship:\n  token: hunter2\n", "2:3: unknown field"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "coldscope.yaml")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got := config{Listen: "default"}
			err := conf.Load(path, &got)
			switch {
			case c.says == "" && err != nil, c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path)):
				t.Errorf("got %v, want it to say %q", err, c.says)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("it shows what is in the file: %v", err)
			case c.name == "good" && (got.Listen != "127.0.0.1:1" || got.Ship.Age != 3*time.Second):
				t.Errorf("got %+v", got)
			case c.name == "empty" && got.Listen != "default":
				t.Errorf("the default is gone: %+v", got)
			}
		})
	}
	if err := conf.Load("/nowhere.yaml", new(config)); err == nil {
		t.Error("a missing file is no error")
	}
}

func TestLocate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "coldscope.yaml")
	if err := os.WriteFile(path, []byte("listen: a\ncollector:\n  files:\n  - paths: [relative]\n  tenant: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := conf.Locate(path, errors.Join(
		errors.New("collector.files[0]: not absolute"), errors.New("collector.tenant: no"), errors.New("collector.host: this host has no name"),
		errors.Join(errors.New("nothing about a key"))))
	want := path + ":4:10: collector.files[0]: not absolute\n" + path + ":5:11: collector.tenant: no\n" +
		path + ":3:8: collector.host: this host has no name\nnothing about a key"
	if err.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", err, want)
	}
	if err := conf.Locate(path, nil); err != nil {
		t.Error(err)
	}
}

package conf_test

import (
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

func TestLoad(t *testing.T) {
	for _, c := range []struct{ name, text, says string }{
		{"good", "listen: 127.0.0.1:1\nship:\n  age: 3s\n", ""},
		{"empty", "# listen: :80\n\n", ""},
		{"typo", "listen: a\nship:\n  agee: 3s\n", "[3:3]"},
		{"type", "ship:\n  age: soon\n", "soon"},
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

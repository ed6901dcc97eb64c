package rig

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// EnvBinary names a collector's binary that is to be used, and not built.
const EnvBinary = "COLDSCOPE_COLLECTOR"

// EnvServer does so for coldscope's.
const EnvServer = "COLDSCOPE_BINARY"

// Binary gives the collector's binary: $COLDSCOPE_COLLECTOR, or one built into dir.
func Binary(ctx context.Context, dir string) (string, error) {
	return build(ctx, EnvBinary, dir, "coldscope-collector")
}

// Server gives coldscope's binary: $COLDSCOPE_BINARY, or one built into dir.
func Server(ctx context.Context, dir string) (string, error) {
	return build(ctx, EnvServer, dir, "coldscope")
}

func build(ctx context.Context, env, dir, name string) (string, error) {
	if path := os.Getenv(env); path != "" {
		return filepath.Abs(path)
	}
	path := filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "github.com/coldscope/coldscope/cmd/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", name, err, out)
	}
	return path, nil
}

// Options say how a collector is started.
type Options struct {
	Binary  string
	DataDir string // its path is short: a Unix socket is in it
	Target  string
	Docker  []string // roots
	CRI     []string
	Config  string    // more of it, as YAML; empty: no file
	Stderr  io.Writer // its log; nil: discarded, but its end stays for errors
}

// Collector is a running collector.
type Collector = Process

// Start starts a collector and returns when it says that it is ready. It ends
// with Kill or Terminate, or with this program.
func Start(ctx context.Context, o Options) (*Collector, error) {
	args := []string{"--data-dir", o.DataDir, "--listen", "127.0.0.1:0", "--target", o.Target}
	none := filepath.Join(o.DataDir, "none") // or it would look at this host's own
	for flag, roots := range map[string][]string{"--docker-root": o.Docker, "--cri-root": o.CRI} {
		if len(roots) == 0 {
			roots = []string{none}
		}
		for _, root := range roots {
			args = append(args, flag, root)
		}
	}
	if o.Config != "" {
		file := o.DataDir + ".yaml"
		if err := os.WriteFile(file, []byte(o.Config), 0o600); err != nil {
			return nil, fmt.Errorf("start collector: %w", err)
		}
		args = append(args, "--config", file)
	}
	return StartProcess(ctx, o.Stderr, o.Binary, args...)
}

// PlainConfig is the configuration with which a collector takes plain files in
// dir; empty for the formats that it finds by itself. The file's name is the
// instance.
func PlainConfig(f Format, dir string) string {
	if f != Plain {
		return ""
	}
	return fmt.Sprintf("collector:\n  files:\n    - paths: [%s/*.log]\n      function: plain\n      namespace: %s\n", dir, Namespace)
}

// LinksConfig is the configuration with which a collector reads kubelet's links
// in dir beside the files themselves.
func LinksConfig(dir string) string {
	return fmt.Sprintf("collector:\n  files:\n    - paths: [%s/*.log]\n      format: cri\n", dir)
}

// SpoolConfig is the configuration with which a collector copies deleted files
// that it could not send.
func SpoolConfig() string { return "collector:\n  spool_bytes: 100000000\n" }

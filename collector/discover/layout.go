package discover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coldscope/coldscope/internal/faas"
)

// The labels by which a Docker container says whose it is.
const (
	LabelTenant    = "dev.coldscope.tenant"
	LabelNamespace = "dev.coldscope.namespace"
	LabelFunction  = "dev.coldscope.function"
	LabelVersion   = "dev.coldscope.version"
	LabelInstance  = "dev.coldscope.instance"
)

// cri looks through kubelet's layout.
func (sc *scan) cri(root string) {
	d, _ := sc.read(root)
	if d == nil {
		return
	}
	for _, pod := range d.names {
		if strings.Count(pod, "_") < 2 {
			continue
		}
		path := filepath.Join(root, pod)
		containers, _ := sc.read(path)
		if containers == nil {
			continue
		}
		for _, name := range containers.names {
			sc.leaf(filepath.Join(path, name), sc.criContainer, criOrder)
		}
	}
}

// criContainer reads whose a container is from its directory's name,
// <root>/<namespace>_<pod>_<uid>/<container>.
func (s *Scanner) criContainer(path string) (*Container, error) {
	function := filepath.Base(path)
	namespace, rest, _ := strings.Cut(filepath.Base(filepath.Dir(path)), "_")
	i := strings.LastIndexByte(rest, '_')
	if i < 0 {
		return nil, nil
	}
	pod, uid := rest[:i], rest[i+1:]
	return &Container{
		Kind: CRI, Key: path, Owner: uid + "/" + function,
		Ref: faas.Ref{
			Tenant: s.opts.Tenant, Namespace: namespace, Function: function,
			Version: strings.TrimPrefix(pod, function+"-"), Instance: uid,
		},
	}, nil
}

// criOrder takes 0.log and, older, 0.log.20261123-045159.
func criOrder(_, name string) (rank, bool) {
	number, suffix, ok := strings.Cut(name, ".log")
	run, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil {
		return rank{}, false
	}
	if suffix == "" {
		return rank{run: run, current: true}, true
	}
	stamp, ok := strings.CutPrefix(suffix, ".")
	if !ok || stamp == "" || strings.Trim(stamp, "0123456789-") != "" {
		return rank{}, false // compressed, or kubelet's temporary file
	}
	return rank{run: run, rotated: stamp}, true
}

// docker looks through Docker's containers.
func (sc *scan) docker(root string) {
	d, _ := sc.read(root)
	if d == nil {
		return
	}
	for _, id := range d.names {
		sc.leaf(filepath.Join(root, id), sc.dockerContainer, dockerOrder)
	}
}

// dockerConfig is what we read of config.v2.json.
type dockerConfig struct {
	ID     string
	Name   string
	Config struct{ Labels map[string]string }
}

// dockerContainer reads whose a container is from its configuration; nil if
// nobody wants it.
func (s *Scanner) dockerContainer(path string) (*Container, error) {
	file := filepath.Join(path, "config.v2.json")
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no configuration yet: %w", err)
	}
	if err != nil {
		return nil, err
	}
	var c dockerConfig
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	labels, id := c.Config.Labels, filepath.Base(path)
	ref := faas.Ref{
		Tenant: labels[LabelTenant], Namespace: labels[LabelNamespace], Function: labels[LabelFunction],
		Version: labels[LabelVersion], Instance: labels[LabelInstance],
	}
	if ref.Function == "" {
		if !s.opts.Unlabelled {
			return nil, nil
		}
		ref.Function = strings.TrimPrefix(c.Name, "/")
	}
	if ref.Tenant == "" {
		ref.Tenant = s.opts.Tenant
	}
	if ref.Instance == "" {
		ref.Instance = id
	}
	return &Container{Kind: Docker, Key: path, Owner: id, Ref: ref}, nil
}

// dockerOrder takes <id>-json.log and, older, <id>-json.log.1, .2 and so on.
func dockerOrder(dir, name string) (rank, bool) {
	suffix, ok := strings.CutPrefix(name, filepath.Base(dir)+"-json.log")
	if !ok {
		return rank{}, false
	}
	if suffix == "" {
		return rank{}, true
	}
	n, err := strconv.ParseInt(strings.TrimPrefix(suffix, "."), 10, 64)
	if err != nil || suffix[0] != '.' || n < 1 {
		return rank{}, false
	}
	return rank{run: -n}, true
}

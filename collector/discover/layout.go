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

	"github.com/coldscope/coldscope/internal/workload"
)

const gzipSuffix = ".gz"

// cri looks through kubelet's layout,
// <root>/<namespace>_<pod>_<uid>/<container>/<n>.log.
func (sc *scan) cri(root string) {
	d, _ := sc.read(place{root, byCRI}, func(sc *scan) { sc.cri(root) })
	if d == nil {
		return
	}
	for _, pod := range d.names {
		if strings.Count(pod, "_") >= 2 {
			sc.pod(filepath.Join(root, pod))
		}
	}
}

func (sc *scan) pod(path string) {
	d, _ := sc.read(place{path, byCRI}, func(sc *scan) { sc.pod(path) })
	if d == nil {
		return
	}
	for _, name := range d.names {
		sc.leaf(place{filepath.Join(path, name), byCRI}, (*scan).criLayout)
	}
}

// shortestUID is the length of the shortest ID that kubelet gives a pod: that
// of a static one. What has a shorter one is no pod of a runtime.
const shortestUID = 32

type criLayout struct {
	sc   *scan
	path string
}

func (sc *scan) criLayout(path string) layout { return criLayout{sc, path} }

// member takes 0.log and, older, 0.log.20261123-045159 and the same with .gz.
func (l criLayout) member(name string) (member, bool) {
	m := member{key: l.path, format: CRI}
	name, m.compressed = strings.CutSuffix(name, gzipSuffix)
	number, suffix, ok := strings.Cut(name, ".log")
	run, err := strconv.ParseInt(number, 10, 64)
	if !ok || err != nil {
		return m, false
	}
	m.rank.run, m.run = run, run
	if suffix == "" {
		m.rank.current = true
		return m, !m.compressed
	}
	stamp, ok := strings.CutPrefix(suffix, ".")
	if !ok || stamp == "" || strings.Trim(stamp, "0123456789-") != "" {
		return m, false // kubelet's temporary file
	}
	m.rank.rotated, m.rotated = stamp, true
	return m, true
}

func (l criLayout) container(string) (*Container, error) {
	c, ok := workload.ContainerFromLogPath(l.path)
	if !ok {
		return nil, nil
	}
	owner := c.Pod.UID + "/" + c.Name
	if l.sc.opts.Known != nil {
		known, ok := l.sc.opts.Known(c.Pod.UID, c.Name)
		switch {
		case ok:
			c = known
		case len(c.Pod.UID) >= shortestUID && l.sc.now().Sub(l.sc.dirs[place{l.path, byCRI}].first) < l.sc.opts.Wait:
			return nil, errWait
		}
	}
	ref, ok := l.sc.opts.Whose(c)
	if !ok {
		return nil, nil
	}
	return &Container{Key: l.path, Owner: owner, ID: c.ID, Ref: ref}, nil
}

// docker looks through Docker's containers, <root>/<id>, with their
// configuration in config.v2.json. The json-file driver writes
// <id>-json.log, the local driver local-logs/container.log.
func (sc *scan) docker(root string) {
	d, _ := sc.read(place{root, byDocker}, func(sc *scan) { sc.docker(root) })
	if d == nil {
		return
	}
	for _, id := range d.names {
		sc.dockerContainer(filepath.Join(root, id))
	}
}

const localLogs = "local-logs"

func (sc *scan) dockerContainer(path string) {
	sc.leaf(place{path, byDocker}, (*scan).dockerLayout)
	if d := sc.dirs[place{path, byDocker}]; d != nil {
		d.look = func(sc *scan) { sc.dockerContainer(path) }
		for _, name := range d.names {
			if name == localLogs {
				sc.leaf(place{filepath.Join(path, localLogs), byDocker}, (*scan).dockerLayout)
			}
		}
	}
}

type dockerLayout struct {
	sc     *scan
	dir    string // the container's
	prefix string // of its logs' names
	format Format
}

func (sc *scan) dockerLayout(path string) layout {
	if filepath.Base(path) == localLogs {
		return dockerLayout{sc, filepath.Dir(path), "container.log", Local}
	}
	return dockerLayout{sc, path, filepath.Base(path) + "-json.log", JSONFile}
}

// member takes NAME and, older, NAME.1, NAME.2 and so on and the same with .gz.
func (l dockerLayout) member(name string) (member, bool) {
	m := member{key: l.dir, format: l.format}
	suffix, ok := strings.CutPrefix(name, l.prefix)
	if !ok {
		return m, false
	}
	if suffix == "" {
		return m, true
	}
	suffix, m.compressed = strings.CutSuffix(suffix, gzipSuffix)
	n, ok := rotation(suffix)
	m.rank.run, m.rotated = -n, true
	return m, ok
}

// rotation reads .1, .2 and so on.
func rotation(suffix string) (int64, bool) {
	digits, ok := strings.CutPrefix(suffix, ".")
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, ok && err == nil && n > 0
}

// dockerConfig is what we read of config.v2.json.
type dockerConfig struct {
	ID     string
	Name   string
	Config struct {
		Image  string
		Labels map[string]string
	}
}

func (l dockerLayout) container(string) (*Container, error) {
	file := filepath.Join(l.dir, "config.v2.json")
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no configuration: %w", errWait, err)
	}
	if err != nil {
		return nil, err
	}
	var c dockerConfig
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	id := filepath.Base(l.dir)
	ref, ok := l.sc.opts.Whose(&workload.Container{
		ID: id, Name: strings.TrimPrefix(c.Name, "/"), Image: c.Config.Image, Labels: c.Config.Labels,
	})
	if !ok {
		return nil, nil
	}
	return &Container{Key: l.dir, Owner: id, ID: id, Ref: ref}, nil
}

type journalLayout string

func (sc *scan) journal(path string) layout { return journalLayout(path) }

// member takes 00000001.log.
func (l journalLayout) member(name string) (member, bool) {
	n, err := strconv.ParseInt(strings.TrimSuffix(name, ".log"), 10, 64)
	return member{key: string(l), format: Journal, rank: rank{run: n}}, err == nil && strings.HasSuffix(name, ".log")
}

func (l journalLayout) container(string) (*Container, error) {
	return &Container{Key: string(l), Owner: "journal"}, nil
}

package discover

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/coldscope/coldscope/internal/faas"
)

// Files are log files at any place: those of a function host that writes them
// itself, of containerd's file:// logs, of plain processes.
type Files struct {
	// Paths are absolute patterns as of path/filepath.Match: * stands for any
	// part of one name. Rotated files (NAME.1, NAME-20261123, NAME.1.gz, …)
	// belong to the log that matches.
	Paths []string `yaml:"paths"`
	// Exclude are patterns of paths, or of names, that are not taken.
	Exclude []string `yaml:"exclude"`
	// Format is plain (default), cri or docker (the json-file driver's).
	Format string `yaml:"format"`
	// Whose the lines are. {name} stands for the file's name without what is
	// behind its first dot, {dir} for its directory's name, {1}, {2} and so on
	// for what the pattern's wildcards matched. By default function is {name},
	// instance the file's path.
	Tenant    string `yaml:"tenant"`
	Namespace string `yaml:"namespace"`
	Function  string `yaml:"function"`
	Version   string `yaml:"version"`
	Instance  string `yaml:"instance"`
}

// filePattern is one path of Files.
type filePattern struct {
	dir, name string         // patterns
	match     *regexp.Regexp // of the whole path, a group a wildcard
	files     Files
	format    Format
}

// Validate tells what is wrong with f, nil if nothing is.
func (f Files) Validate() error {
	_, err := f.compile("")
	return err
}

func (f Files) compile(tenant string) ([]filePattern, error) {
	if f.Tenant == "" {
		f.Tenant = tenant
	}
	if f.Function == "" {
		f.Function = "{name}"
	}
	format, ok := map[string]Format{"": Plain, "plain": Plain, "cri": CRI, "docker": JSONFile}[f.Format]
	if !ok {
		return nil, fmt.Errorf("format %q is none of plain, cri and docker", f.Format)
	}
	if len(f.Paths) == 0 {
		return nil, errors.New("no paths")
	}
	var out []filePattern
	for _, p := range f.Paths {
		if !filepath.IsAbs(p) {
			return nil, fmt.Errorf("path %q is not absolute", p)
		}
		if _, err := filepath.Match(p, ""); err != nil {
			return nil, fmt.Errorf("path %q: %w", p, err)
		}
		match, err := wildcards(p)
		if err != nil {
			return nil, fmt.Errorf("path %q: %w", p, err)
		}
		out = append(out, filePattern{filepath.Dir(p), filepath.Base(p), match, f, format})
	}
	for _, p := range f.Exclude {
		if _, err := filepath.Match(p, ""); err != nil {
			return nil, fmt.Errorf("exclude %q: %w", p, err)
		}
	}
	return out, nil
}

// wildcards makes a regular expression of a pattern, for what its wildcards stand for.
func wildcards(pattern string) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString("^")
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			b.WriteString("([^/]*)")
		case '?':
			b.WriteString("([^/])")
		case '[':
			end := strings.IndexByte(pattern[i+1:], ']')
			if end < 0 {
				return nil, filepath.ErrBadPattern
			}
			b.WriteString("(" + pattern[i:i+end+2] + ")")
			i += end + 1
		case '\\':
			i++
			if i < len(pattern) {
				b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
			}
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	b.WriteString("$")
	return regexp.Compile(b.String())
}

const separator = string(filepath.Separator)

// pattern looks for the logs of the nth pattern.
func (sc *scan) pattern(n int) {
	sc.each(separator, strings.Split(strings.Trim(sc.files[n].dir, separator), separator), n)
}

// each goes down from dir along the pattern's directories.
func (sc *scan) each(dir string, rest []string, n int) {
	p := &sc.files[n]
	at := func() place { return place{dir, n} }
	for len(rest) > 0 && !strings.ContainsAny(rest[0], `*?[\`) {
		dir, rest = filepath.Join(dir, rest[0]), rest[1:]
	}
	if len(rest) == 0 {
		sc.leaf(at(), func(sc *scan, path string) layout { return fileLayout{sc, path, p} })
		return
	}
	d, _ := sc.read(at(), func(sc *scan) { sc.each(dir, rest, n) })
	if d == nil {
		return
	}
	for _, name := range d.names {
		if ok, _ := filepath.Match(rest[0], name); ok {
			sc.each(filepath.Join(dir, name), rest[1:], n)
		}
	}
}

type fileLayout struct {
	sc   *scan
	path string
	*filePattern
}

// rotated is what log rotation puts behind a name.
var rotated = regexp.MustCompile(`^(?:[.-](\d{1,4}|\d[\d.T:_-]{5,}|old))?(\.gz)?$`)

func (l fileLayout) member(name string) (member, bool) {
	m := member{format: l.format}
	for end := 1; end <= len(name); end++ {
		if end < len(name) && name[end] != '.' && name[end] != '-' {
			continue
		}
		base := name[:end]
		suffix := rotated.FindStringSubmatch(name[end:])
		if suffix == nil {
			continue
		}
		if ok, _ := filepath.Match(l.name, base); !ok {
			continue
		}
		m.key, m.compressed, m.rotated = filepath.Join(l.path, base), suffix[2] != "", end < len(name)
		switch n, err := strconv.ParseInt(suffix[1], 10, 64); {
		case suffix[1] == "":
			m.rank.current = !m.rotated
		case err == nil && n < 10_000:
			m.rank.run = -n
		default:
			m.rank.run, m.rank.rotated = -1, suffix[1]
		}
		return m, !l.excluded(name) && !l.excluded(base)
	}
	return m, false
}

func (l fileLayout) excluded(name string) bool {
	for _, p := range l.files.Exclude {
		in := name
		if strings.Contains(p, separator) {
			in = filepath.Join(l.path, name)
		}
		if ok, _ := filepath.Match(p, in); ok {
			return true
		}
	}
	return false
}

func (l fileLayout) container(key string) (*Container, error) {
	name, _, _ := strings.Cut(filepath.Base(key), ".")
	args := []string{"{name}", name, "{dir}", filepath.Base(filepath.Dir(key))}
	for i, group := range l.match.FindStringSubmatch(key) {
		if i > 0 {
			args = append(args, "{"+strconv.Itoa(i)+"}", group)
		}
	}
	fill := strings.NewReplacer(args...).Replace
	f := &l.files
	ref := faas.Ref{
		Tenant: fill(f.Tenant), Namespace: fill(f.Namespace), Function: fill(f.Function),
		Version: fill(f.Version), Instance: fill(f.Instance),
	}
	if ref.Instance == "" {
		ref.Instance = key
	}
	if ref.Function == "" {
		return nil, fmt.Errorf("file %s: %q gives no function's name", key, f.Function)
	}
	return &Container{Key: key, Owner: key, Ref: ref}, nil
}

// Package contexts keeps, in one file of the user's, how to reach each
// Coldscope that they look at: its URL, the tenant, and the token or where it
// comes from. Flags and the environment win over the file.
package contexts

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/coldscope/coldscope/internal/conf"
)

// Context is one Coldscope, as one tenant. At most one of the three ways to a
// token is set.
type Context struct {
	Name   string `yaml:"name" json:"name"`
	URL    string `yaml:"url" json:"url"`
	Tenant string `yaml:"tenant,omitempty" json:"tenant,omitempty"`
	// Token is the token itself; show it to nobody.
	Token string `yaml:"token,omitempty" json:"-"`
	// TokenFile holds the token. It is read again when it changes.
	TokenFile string `yaml:"token_file,omitempty" json:"token_file,omitempty"`
	// TokenCommand is a shell's command that prints the token.
	TokenCommand string `yaml:"token_command,omitempty" json:"token_command,omitempty"`
	// CAFile holds the authorities that may have signed an https URL's certificate.
	CAFile string `yaml:"ca_file,omitempty" json:"ca_file,omitempty"`
}

// Validate tells all that is wrong with c.
func (c *Context) Validate() error {
	var errs []error
	if c.Name == "" || strings.ContainsFunc(c.Name, func(r rune) bool { return r <= ' ' || r == 0x7f }) || strings.HasPrefix(c.Name, "-") {
		errs = append(errs, fmt.Errorf("name %q: want a word", c.Name))
	}
	if u, err := url.Parse(c.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		errs = append(errs, errors.New("url: want http://HOST:PORT or https://HOST:PORT"))
	} else if u.User != nil {
		errs = append(errs, errors.New("url: has a user in it; a token is needed instead"))
	}
	ways := 0
	for _, way := range []string{c.Token, c.TokenFile, c.TokenCommand} {
		if way != "" {
			ways++
		}
	}
	if ways > 1 {
		errs = append(errs, errors.New("more than one of token, token_file and token_command"))
	}
	return errors.Join(errs...)
}

// File is the contexts and which of them is current.
type File struct {
	Current  string    `yaml:"current,omitempty"`
	Contexts []Context `yaml:"contexts"`

	path string
}

// Path is where the file is: coldscope/contexts.yaml below XDG_CONFIG_HOME,
// else below the system's place for users' configurations.
func Path() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the user's configuration: %w", err)
	}
	return filepath.Join(dir, "coldscope", "contexts.yaml"), nil
}

// Load reads the file. One that is not there has no contexts. One with a token
// in it that others can read is refused.
func Load(path string) (*File, error) {
	f := &File{path: path}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read contexts: %w", err)
	}
	if err := conf.Decode(path, raw, f); err != nil {
		return nil, err
	}
	secret := false
	seen := map[string]bool{}
	for i := range f.Contexts {
		c := &f.Contexts[i]
		if err := c.Validate(); err != nil {
			return nil, fmt.Errorf("configuration %s: contexts[%d]: %w", path, i, err)
		}
		if seen[c.Name] {
			return nil, fmt.Errorf("configuration %s: two contexts are named %q", path, c.Name)
		}
		seen[c.Name] = true
		secret = secret || c.Token != ""
	}
	if info, err := os.Stat(path); secret && err == nil && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s holds a token and is open to others (mode %04o): chmod 600 it", path, info.Mode().Perm())
	}
	return f, nil
}

// Save writes the file as a whole, for its owner alone.
func (f *File) Save() error {
	raw, err := yaml.MarshalWithOptions(f, yaml.IndentSequence(false))
	if err != nil {
		return fmt.Errorf("encode contexts: %w", err)
	}
	path := f.path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // a link to where the user keeps such files stays one
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save contexts: %w", err)
	}
	tmp, err := os.CreateTemp(dir, ".contexts-*") // 0600
	if err != nil {
		return fmt.Errorf("save contexts: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already if all went well
	_, err = tmp.Write(raw)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("save contexts: %w", err)
	}
	return nil
}

// Get finds a context; nil if there is none of that name.
func (f *File) Get(name string) *Context {
	for i := range f.Contexts {
		if f.Contexts[i].Name == name {
			return &f.Contexts[i]
		}
	}
	return nil
}

// Set adds c, or puts it in the place of the one with its name. The first one
// becomes the current one.
func (f *File) Set(c Context) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("context %q: %w", c.Name, err)
	}
	if old := f.Get(c.Name); old != nil {
		*old = c
		return nil
	}
	f.Contexts = append(f.Contexts, c)
	if len(f.Contexts) == 1 {
		f.Current = c.Name
	}
	return nil
}

// Remove forgets a context. If it was the current one, none is afterwards.
func (f *File) Remove(name string) error {
	if f.Get(name) == nil {
		return f.missing(name)
	}
	f.Contexts = slices.DeleteFunc(f.Contexts, func(c Context) bool { return c.Name == name })
	if f.Current == name {
		f.Current = ""
	}
	return nil
}

// Use makes a context the current one.
func (f *File) Use(name string) error {
	if f.Get(name) == nil {
		return f.missing(name)
	}
	f.Current = name
	return nil
}

// ErrMissing says that there is no context of the name.
var ErrMissing = errors.New("no such context")

func (f *File) missing(name string) error {
	names := make([]string, 0, len(f.Contexts))
	for i := range f.Contexts {
		names = append(names, f.Contexts[i].Name)
	}
	have := "there are none yet: coldscope context set NAME --url URL"
	if len(names) > 0 {
		have = "there are " + strings.Join(names, ", ")
	}
	return fmt.Errorf("context %q: %w (%s)", name, ErrMissing, have)
}

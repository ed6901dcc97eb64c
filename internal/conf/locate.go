package conf

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"
)

// Locate adds to each error of a Validate, whose text begins with the key that
// it is about ("collector.files[0]: …"), the place of that key in the file at
// path. An error about a key that the file does not have stays as it is.
func Locate(path string, err error) error {
	if err == nil || path == "" {
		return err
	}
	raw, readErr := os.ReadFile(path)
	if readErr != nil {
		return err
	}
	file, parseErr := parser.ParseBytes(raw, 0)
	if parseErr != nil {
		return err
	}
	var out []error
	for _, e := range flatten(err) {
		key, _, ok := strings.Cut(e.Error(), ": ")
		if !ok {
			out = append(out, e)
			continue
		}
		if at := position(key, func(p *yaml.Path) (int, int, bool) {
			node, err := p.FilterFile(file)
			if err != nil || node == nil {
				return 0, 0, false
			}
			t := node.GetToken()
			return t.Position.Line, t.Position.Column, true
		}); at != "" {
			e = fmt.Errorf("%s:%s: %w", path, at, e)
		}
		out = append(out, e)
	}
	return errors.Join(out...)
}

// position looks for key, or else for what it is in: a[0].b, a[0], a.
func position(key string, find func(*yaml.Path) (line, column int, ok bool)) string {
	for key != "" {
		if p, err := yaml.PathString("$." + key); err == nil {
			if line, column, ok := find(p); ok {
				return fmt.Sprintf("%d:%d", line, column)
			}
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			break
		}
		key = key[:i]
	}
	return ""
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}

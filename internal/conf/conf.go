// Package conf reads a configuration file: YAML, over the defaults that the
// caller has filled in, with unknown keys refused by line and column.
package conf

import (
	"bytes"
	"fmt"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Load reads path into into, a pointer to a struct with the defaults. Without
// a path it does nothing. A typo in the file is an error that shows where.
func Load(path string, into any) error {
	if path == "" {
		return nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if empty(raw) { // decoding nothing would wipe the defaults
		return nil
	}
	if err := yaml.NewDecoder(bytes.NewReader(raw), yaml.DisallowUnknownField()).Decode(into); err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	return nil
}

// empty reports whether there are only comments and white space.
func empty(raw []byte) bool {
	for line := range bytes.Lines(raw) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// LoadSection is Load of one section of the file, for a part that the owner of
// the whole must not know. What the file does not have stays as it is.
func LoadSection(path, key string, into any) error {
	if path == "" {
		return nil
	}
	file, err := parser.ParseFile(path, 0)
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	at, err := yaml.PathString("$." + key)
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	node, err := at.FilterFile(file)
	if yaml.IsNotFoundNodeError(err) || err == nil && (node == nil || node.Type() == ast.NullType) {
		return nil
	}
	if err == nil {
		err = yaml.NodeToValue(node, into, yaml.DisallowUnknownField())
	}
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	return nil
}

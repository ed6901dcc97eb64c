// Package conf reads a configuration file: YAML, over the defaults that the
// caller has filled in, with unknown keys refused by line and column.
package conf

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Load reads path into into, a pointer to a struct with the defaults. Without
// a path it does nothing. A typo in the file is an error that says where.
func Load(path string, into any) error {
	if path == "" {
		return nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	return Decode(path, raw, into)
}

// Decode is Load of a file that has been read. Its errors say what is wrong
// where, and show nothing else of the text, which may hold secrets.
func Decode(path string, raw []byte, into any) error {
	if empty(raw) { // decoding nothing would wipe the defaults
		return nil
	}
	err := yaml.NewDecoder(bytes.NewReader(raw), yaml.DisallowUnknownField()).Decode(into)
	if located, ok := errors.AsType[yaml.Error](err); ok {
		at := located.GetToken().Position
		return fmt.Errorf("configuration %s:%d:%d: %s", path, at.Line, at.Column, located.GetMessage())
	}
	if err != nil {
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

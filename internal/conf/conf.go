// Package conf reads a configuration file: YAML, over the defaults that the
// caller has filled in, with unknown keys refused by line and column.
package conf

import (
	"bytes"
	"fmt"
	"os"

	"github.com/goccy/go-yaml"
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

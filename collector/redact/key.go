package redact

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp/syntax"

	"github.com/coldscope/coldscope/internal/durable"
)

const (
	minKey   = 16
	keyBytes = 32 // of a key that is made
)

// keyOf reads the key's file, and makes it if it is not there.
func keyOf(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKey(path); err == nil {
			key, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the key for redaction: %w", err)
	}
	if key = bytes.TrimSpace(key); len(key) < minKey {
		return nil, fmt.Errorf("read the key for redaction: %s has less than %d bytes; remove it to have one made", path, minKey)
	}
	return key, nil
}

// makeKey makes the file whole or not at all. Another process may be first.
func makeKey(path string) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // nobody reads it
	defer tmp.Close()
	key := make([]byte, keyBytes)
	_, _ = rand.Read(key) // it cannot fail
	if _, err := tmp.WriteString(hex.EncodeToString(key) + "\n"); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// literal gives the longest text that every match of a pattern has, nil if that
// is too short to be looked for first.
func literal(pattern string) []byte {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil
	}
	longest := ""
	var walk func(*syntax.Regexp)
	walk = func(re *syntax.Regexp) {
		switch re.Op {
		case syntax.OpLiteral:
			if s := string(re.Rune); re.Flags&syntax.FoldCase == 0 && len(s) > len(longest) {
				longest = s
			}
		case syntax.OpConcat, syntax.OpCapture, syntax.OpPlus:
			for _, sub := range re.Sub {
				walk(sub)
			}
		default: // what may be missing
		}
	}
	walk(re.Simplify())
	if len(longest) < 3 {
		return nil
	}
	return []byte(longest)
}

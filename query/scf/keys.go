package scf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/coldscope/coldscope/internal/access"
	"github.com/coldscope/coldscope/internal/conf"
	"github.com/coldscope/coldscope/internal/faas"
)

// Keys are those that requests are signed with, from a file that is followed.
// It is safe for concurrent use.
type Keys struct{ file *access.File[keyring] }

// keyring is a file's content, checked: the keys by their secret IDs. It does
// not change.
type keyring struct{ bySecretID map[string]*key }

// key is one pair of secret ID and secret key, and whose data it reads.
type key struct {
	name, secretKey, tenant string
	expires                 time.Time // zero: never
}

// document is the file.
type document struct {
	Keys []keyEntry `yaml:"keys"`
}

type keyEntry struct {
	Name      string `yaml:"name"`
	SecretID  string `yaml:"secret_id"`
	SecretKey string `yaml:"secret_key"`
	Tenant    string `yaml:"tenant"`
	Expires   string `yaml:"expires"`
}

// minSecretKey is the shortest secret key that is taken, in bytes.
const minSecretKey = 16

// OpenKeys reads the file of keys, which has to be right at the start, and
// registers a metric that says whether it still is.
func OpenKeys(path string, logger *slog.Logger, registerer prometheus.Registerer) (*Keys, error) {
	bad := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "coldscope_scf_keys_refused", Help: "1 while the file of SCF keys is wrong or cannot be read, and what it said before is in use.",
	})
	if err := registerer.Register(bad); err != nil {
		return nil, fmt.Errorf("register metrics of SCF keys: %w", err)
	}
	file, err := access.Open(access.Source[keyring]{
		Path: path, What: "file of SCF keys", Forbidden: access.OthersUse, Parse: parseKeys, Changes: (*keyring).changes, Refused: bad, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	return &Keys{file}, nil
}

// Run takes the file over when it changes, until ctx ends.
func (k *Keys) Run(ctx context.Context) error { return k.file.Run(ctx) }

// parseKeys reads a file's content. The error tells all that is wrong, where,
// and shows no secret key.
func parseKeys(path string, raw []byte) (*keyring, error) {
	var d document
	if err := conf.Decode(path, raw, &d); err != nil {
		return nil, err
	}
	ring := &keyring{map[string]*key{}}
	names := map[string]bool{}
	var errs []error
	for i := range d.Keys {
		e, at := &d.Keys[i], fmt.Sprintf("keys[%d]", i)
		bad := func(of, format string, args ...any) {
			errs = append(errs, fmt.Errorf(at+of+": "+format, args...))
		}
		switch {
		case e.Name == "" || strings.ContainsFunc(e.Name, unicode.IsControl):
			bad(".name", "want a name for the audit log, without control characters")
		case names[e.Name]:
			bad(".name", "%q is there twice, and the audit log could not tell them apart", e.Name)
		}
		names[e.Name] = true
		switch {
		case e.SecretID == "" || strings.ContainsFunc(e.SecretID, notInSecretID):
			bad(".secret_id", "want letters, digits, - and _")
		case ring.bySecretID[e.SecretID] != nil:
			bad(".secret_id", "another key has the same: each needs one of its own")
		}
		if len(e.SecretKey) < minSecretKey {
			bad(".secret_key", "want at least %d characters", minSecretKey)
		}
		if err := faas.CheckTenant(e.Tenant); err != nil {
			bad(".tenant", "%w", err)
		}
		k := &key{name: e.Name, secretKey: e.SecretKey, tenant: e.Tenant}
		if e.Expires != "" {
			var err error
			if k.expires, err = time.Parse(time.RFC3339, e.Expires); err != nil {
				bad(".expires", "want a time such as 2027-01-31T00:00:00Z")
			}
		}
		ring.bySecretID[e.SecretID] = k
	}
	if len(errs) == 0 && len(ring.bySecretID) == 0 {
		return nil, fmt.Errorf("file of SCF keys %s lists none: nobody could ask anything", path)
	}
	if err := conf.Locate(path, errors.Join(errs...)); err != nil {
		return nil, fmt.Errorf("file of SCF keys: %w", err)
	}
	return ring, nil
}

// notInSecretID says that a secret ID cannot have c: it stands between / and ,
// in a header.
func notInSecretID(c rune) bool {
	letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
	return !letter && c != '-' && c != '_'
}

// changes are what the audit log says of a file that was taken over.
func (r *keyring) changes(after *keyring) []slog.Attr {
	var added, removed, changed []string
	for id, k := range after.bySecretID {
		if old := r.bySecretID[id]; old == nil {
			added = append(added, k.name)
		} else if *old != *k {
			changed = append(changed, k.name)
		}
	}
	for id, k := range r.bySecretID {
		if after.bySecretID[id] == nil {
			removed = append(removed, k.name)
		}
	}
	slices.Sort(added)
	slices.Sort(removed)
	slices.Sort(changed)
	return []slog.Attr{slog.Int("keys", len(after.bySecretID)), slog.Any("added", added), slog.Any("removed", removed), slog.Any("changed", changed)}
}

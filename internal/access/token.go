package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"time"
)

// tokenPrefix lets people and scanners of leaked secrets know what it is.
const tokenPrefix = "coldscope_"

// Token is a new token, and what the access file has to say of it.
type Token struct {
	// Token is the secret. It is kept nowhere.
	Token string `json:"token"`
	// Entry is a line for the access file, under tokens.
	Entry string `json:"entry"`
}

// NewToken makes a token of 256 random bits. expires may be zero. The error
// tells all that is wrong with what it is to be good for.
func NewToken(name string, tenants []string, scopes []Scope, expires time.Time) (*Token, error) {
	e := grantEntry{Name: name, Tenants: tenants, Scopes: scopes}
	if _, wrong := e.grant("token"); wrong != nil {
		return nil, errors.Join(wrong...)
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	token := tokenPrefix + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(token))

	var entry strings.Builder
	entry.WriteString("- {name: " + quote(name) + ", sha256: " + quote(hex.EncodeToString(sum[:])) + ", tenants: [")
	for i, t := range tenants {
		entry.WriteString(comma(i) + quote(t))
	}
	entry.WriteString("], scopes: [")
	for i, s := range scopes {
		entry.WriteString(comma(i) + quote(string(s)))
	}
	entry.WriteString("]")
	if !expires.IsZero() {
		entry.WriteString(", expires: " + quote(expires.UTC().Format(time.RFC3339)))
	}
	entry.WriteString("}")
	return &Token{token, entry.String()}, nil
}

// quote gives s as a quoted string of YAML.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ", "
}

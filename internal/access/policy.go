package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/coldscope/coldscope/internal/conf"
	"github.com/coldscope/coldscope/internal/faas"
)

// Scope is a kind of thing that a sender may do.
type Scope string

// The scopes. None includes another.
const (
	Push  Scope = "push"  // send lines and events
	Read  Scope = "read"  // ask for what is stored
	Admin Scope = "admin" // change or delete what is stored, profile the process
)

var scopes = []Scope{Push, Read, Admin}

// everyTenant stands for all tenants, in a list of them.
const everyTenant = "*"

// document is the file.
type document struct {
	Tokens       []tokenEntry       `yaml:"tokens"`
	Certificates []certificateEntry `yaml:"certificates"`
}

type tokenEntry struct {
	SHA256 string     `yaml:"sha256"`
	Grant  grantEntry `yaml:",inline"`
}

type certificateEntry struct {
	Subject string     `yaml:"subject"`
	Grant   grantEntry `yaml:",inline"`
}

type grantEntry struct {
	Name    string   `yaml:"name"`
	Tenants []string `yaml:"tenants"`
	Scopes  []Scope  `yaml:"scopes"`
	Expires string   `yaml:"expires"`
}

// policy is a file's content, checked. It does not change.
type policy struct {
	tokens       []*grant
	certificates []*grant
}

// grant is what one token or one kind of certificate is good for.
type grant struct {
	name    string
	hash    [sha256.Size]byte // of a token
	subject string            // of a certificate
	tenants []string
	scopes  []Scope
	expires time.Time // zero: never
}

// parse reads a file's content. The error tells all that is wrong, where, and
// shows nothing of a token that somebody wrote there as it is.
func parse(path string, raw []byte) (*policy, error) {
	var d document
	if err := conf.Decode(path, raw, &d); err != nil {
		return nil, err
	}
	p := &policy{}
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf(key+": "+format, args...))
	}
	names := map[string]bool{}
	check := func(key string, e *grantEntry) *grant {
		g, wrong := e.grant(key)
		errs = append(errs, wrong...)
		if names[e.Name] {
			bad(key+".name", "%q is there twice, and the audit log could not tell them apart", e.Name)
		}
		names[e.Name] = true
		return g
	}
	hashes := map[[sha256.Size]byte]bool{}
	for i := range d.Tokens {
		key := fmt.Sprintf("tokens[%d]", i)
		g := check(key, &d.Tokens[i].Grant)
		sum, err := hex.DecodeString(d.Tokens[i].SHA256)
		switch {
		case err != nil || len(sum) != sha256.Size:
			bad(key+".sha256", "want the SHA-256 of the token as 64 hexadecimal digits, as `coldscope token new` prints it")
		case hashes[[sha256.Size]byte(sum)]:
			bad(key+".sha256", "another token has the same: each needs one of its own")
		default:
			g.hash = [sha256.Size]byte(sum)
			hashes[g.hash] = true
		}
		p.tokens = append(p.tokens, g)
	}
	for i := range d.Certificates {
		key := fmt.Sprintf("certificates[%d]", i)
		g := check(key, &d.Certificates[i].Grant)
		if g.subject = d.Certificates[i].Subject; g.subject == "" {
			bad(key+".subject", "want the common name, or a DNS name, e-mail address or URI of the certificate")
		}
		p.certificates = append(p.certificates, g)
	}
	if len(errs) == 0 && len(p.tokens)+len(p.certificates) == 0 {
		return nil, fmt.Errorf("access file %s lists neither tokens nor certificates: nobody could do anything", path)
	}
	if err := conf.Locate(path, errors.Join(errs...)); err != nil {
		return nil, fmt.Errorf("access file: %w", err)
	}
	return p, nil
}

func (e *grantEntry) grant(key string) (*grant, []error) {
	var errs []error
	bad := func(of, format string, args ...any) {
		errs = append(errs, fmt.Errorf(key+of+": "+format, args...))
	}
	g := &grant{name: e.Name, tenants: e.Tenants, scopes: e.Scopes}
	if e.Name == "" || strings.ContainsFunc(e.Name, unicode.IsControl) {
		bad(".name", "want a name for the audit log, without control characters")
	}
	if len(e.Tenants) == 0 {
		bad(".tenants", "want at least one tenant, or * for all")
	}
	for i, t := range e.Tenants {
		if t == everyTenant {
			continue
		}
		if err := faas.CheckTenant(t); err != nil {
			bad(fmt.Sprintf(".tenants[%d]", i), "%w", err)
		}
	}
	if len(e.Scopes) == 0 {
		bad(".scopes", "want some of push, read, admin")
	}
	for i, s := range e.Scopes {
		if !slices.Contains(scopes, s) {
			bad(fmt.Sprintf(".scopes[%d]", i), "%q is none of push, read, admin", s)
		}
	}
	if e.Expires != "" {
		var err error
		if g.expires, err = time.Parse(time.RFC3339, e.Expires); err != nil {
			bad(".expires", "want a time such as 2027-01-31T00:00:00Z")
		}
	}
	return g, errs
}

// differences names the grants that only after has, those that it has no more,
// and those that it has otherwise.
func (p *policy) differences(after *policy) (added, removed, changed []string) {
	then, now := p.byName(), after.byName()
	for name, g := range now {
		if old := then[name]; old == nil {
			added = append(added, name)
		} else if !reflect.DeepEqual(old, g) {
			changed = append(changed, name)
		}
	}
	for name := range then {
		if now[name] == nil {
			removed = append(removed, name)
		}
	}
	slices.Sort(added)
	slices.Sort(removed)
	slices.Sort(changed)
	return added, removed, changed
}

// changes are what the audit log says of a file that was taken over.
func (p *policy) changes(after *policy) []slog.Attr {
	added, removed, changed := p.differences(after)
	return []slog.Attr{
		slog.Int("tokens", len(after.tokens)), slog.Int("certificates", len(after.certificates)),
		slog.Any("added", added), slog.Any("removed", removed), slog.Any("changed", changed),
	}
}

func (p *policy) byName() map[string]*grant {
	m := map[string]*grant{}
	for _, g := range slices.Concat(p.tokens, p.certificates) {
		m[g.name] = g
	}
	return m
}

// refusal is why a request is turned away, in words for its sender.
type refusal struct {
	code int // as HTTP counts
	text string
}

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

const howTo = "send it as `Authorization: Bearer TOKEN`, or as the password of basic authentication; `coldscope token new` makes one"

// token finds what a token is good for. It compares all hashes to their ends,
// so that its time tells nothing about them.
func (p *policy) token(token string) *grant {
	sum := sha256.Sum256([]byte(token))
	var found *grant
	for _, g := range p.tokens {
		if subtle.ConstantTimeCompare(sum[:], g.hash[:]) == 1 {
			found = g
		}
	}
	return found
}

// certificate finds what a client's certificate is good for: the first entry
// whose subject is one of its names.
func (p *policy) certificate(c *x509.Certificate) *grant {
	names := slices.Concat([]string{c.Subject.CommonName}, c.DNSNames, c.EmailAddresses)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	for _, g := range p.certificates {
		if slices.Contains(names, g.subject) {
			return g
		}
	}
	return nil
}

// shown is what a sender shows of itself.
type shown struct {
	authorization []string          // headers
	tenant        []string          // headers
	certificate   *x509.Certificate // verified; nil if there is none
}

// authenticate says who the sender is.
func (p *policy) authenticate(s *shown, now time.Time) (*grant, *refusal) {
	var g *grant
	switch {
	case len(s.authorization) > 1:
		return nil, refuse(http.StatusUnauthorized, "there is more than one Authorization header")
	case len(s.authorization) == 1:
		token, ok := tokenIn(s.authorization[0])
		if !ok {
			return nil, refuse(http.StatusUnauthorized, "the Authorization header holds no token: "+howTo)
		}
		if g = p.token(token); g == nil {
			return nil, refuse(http.StatusUnauthorized, "the token is not known: it was taken back, or it is not whole")
		}
	case s.certificate != nil:
		if now.After(s.certificate.NotAfter) { // it may have been valid at the handshake
			return nil, refuse(http.StatusUnauthorized, "the client certificate expired at %s", s.certificate.NotAfter.UTC().Format(time.RFC3339))
		}
		if g = p.certificate(s.certificate); g == nil {
			return nil, refuse(http.StatusUnauthorized, "no entry of the access file has a name of the client certificate (%q)", s.certificate.Subject.CommonName)
		}
	default:
		return nil, refuse(http.StatusUnauthorized, "a token is needed: "+howTo)
	}
	if !g.expires.IsZero() && !now.Before(g.expires) {
		return nil, refuse(http.StatusUnauthorized, "%q expired at %s", g.name, g.expires.UTC().Format(time.RFC3339))
	}
	return g, nil
}

// named is the tenant that the sender asks for; empty if it names none.
func (s *shown) named() (string, *refusal) {
	switch {
	case len(s.tenant) == 0 || len(s.tenant) == 1 && s.tenant[0] == "":
		return "", nil
	case len(s.tenant) > 1:
		return "", refuse(http.StatusBadRequest, "there is more than one X-Scope-OrgID header: name one tenant")
	}
	if err := faas.CheckTenant(s.tenant[0]); err != nil {
		return "", refuse(http.StatusBadRequest, "X-Scope-OrgID: %s", err)
	}
	return s.tenant[0], nil
}

// authorize says for which tenant g may do what is needed, of those that the
// sender may have named.
func (g *grant) authorize(need *need, tenant string) (string, *refusal) {
	if !slices.Contains(g.scopes, need.scope) {
		return "", refuse(http.StatusForbidden, "%q has not the scope %s that this needs", g.name, need.scope)
	}
	all := slices.Contains(g.tenants, everyTenant)
	may := func(t string) bool { return all || slices.Contains(g.tenants, t) }
	switch {
	case need.all && !all:
		return "", refuse(http.StatusForbidden, "this is about all tenants: %q needs the tenant *", g.name)
	case tenant != "" && !may(tenant):
		return "", refuse(http.StatusForbidden, "%q may not act for tenant %q", g.name, tenant)
	case tenant != "":
		return tenant, nil
	case !all && len(g.tenants) == 1:
		return g.tenants[0], nil
	case may(faas.DefaultTenant):
		return faas.DefaultTenant, nil
	}
	// Not 400, after which senders would throw away what they have.
	return "", refuse(http.StatusForbidden, "%q may act for several tenants: name one by the header X-Scope-OrgID", g.name)
}

// tokenIn takes the token out of an Authorization header.
func tokenIn(header string) (string, bool) {
	scheme, rest, _ := strings.Cut(header, " ")
	switch strings.ToLower(scheme) {
	case "bearer":
		token := strings.TrimSpace(rest)
		return token, token != ""
	case "basic": // the user's name says nothing: the token is enough
		r := http.Request{Header: http.Header{"Authorization": {header}}}
		_, token, ok := r.BasicAuth()
		return token, ok && token != ""
	}
	return "", false
}

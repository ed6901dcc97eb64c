package registry

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

const service = "coldscope"

// access knows who may pull what, and until when.
type access struct {
	credentialTTL, tokenTTL time.Duration
	now                     func() time.Time

	mu sync.Mutex
	// guarded by mu:
	users  map[string]grant // by user name
	tokens map[string]grant // by token
}

type grant struct {
	repo, password string
	expires        time.Time
}

func newAccess(credentialTTL, tokenTTL time.Duration, now func() time.Time) *access {
	return &access{
		credentialTTL: credentialTTL, tokenTTL: tokenTTL, now: now,
		users: map[string]grant{}, tokens: map[string]grant{},
	}
}

func (a *access) issue(repo string) (username, password string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	forgetExpired(a.users, now)
	username, password = "pull-"+rand.Text(), rand.Text()
	a.users[username] = grant{repo: repo, password: password, expires: now.Add(a.credentialTTL)}
	return username, password
}

// login exchanges a user and a password for a token.
func (a *access) login(username, password string) (token string, expires time.Time, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	user, ok := a.users[username]
	switch {
	case !ok || subtle.ConstantTimeCompare([]byte(user.password), []byte(password)) != 1:
		return "", time.Time{}, errors.New("unknown user or wrong password")
	case !now.Before(user.expires):
		return "", time.Time{}, errors.New("the temporary credentials have expired")
	}
	forgetExpired(a.tokens, now)
	token = rand.Text()
	expires = now.Add(a.tokenTTL)
	a.tokens[token] = grant{repo: user.repo, expires: expires}
	return token, expires, nil
}

// check reports why req may not be served, nil if it may.
func (a *access) check(req *http.Request) error {
	token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return errors.New("authentication required")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	g, ok := a.tokens[token]
	switch {
	case !ok:
		return errors.New("unknown token")
	case !a.now().Before(g.expires):
		return errors.New("token expired")
	}
	if repo := repository(req.URL.Path); repo != "" && repo != g.repo {
		return errors.New("the token is not for this repository")
	}
	return nil
}

func (a *access) serveToken(w http.ResponseWriter, req *http.Request) {
	username, password, _ := req.BasicAuth()
	token, expires, err := a.login(username, password)
	if err != nil {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", err.Error())
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"token": token, "access_token": token,
		"issued_at":  expires.Add(-a.tokenTTL).UTC().Format(time.RFC3339),
		"expires_in": int(a.tokenTTL.Seconds()),
	})
}

func forgetExpired(m map[string]grant, now time.Time) {
	for k, g := range m {
		// Kept for a while, so that a late comer is told that it expired.
		if now.Sub(g.expires) > time.Minute {
			delete(m, k)
		}
	}
}

// repository cuts the repository out of /v2/<repository>/{blobs,manifests,tags}/…;
// empty for other paths.
func repository(path string) string {
	rest, ok := strings.CutPrefix(path, "/v2/")
	if !ok {
		return ""
	}
	for _, kind := range []string{"/blobs/", "/manifests/", "/tags/", "/referrers/"} {
		if i := strings.LastIndex(rest, kind); i > 0 {
			return rest[:i]
		}
	}
	return rest // nothing that exists, and nobody's
}

// refuse answers in the registry protocol's error format.
func refuse(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the peer has gone; nobody to tell
}

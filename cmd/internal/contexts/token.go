package contexts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// commandTime is what a token's command gets, also to ask its user something.
const commandTime = 2 * time.Minute

// Transport is next with the token that the context's command prints. The
// command runs before the first request, and again when a token is refused:
// then it has expired, most likely.
func Transport(next http.RoundTripper, command string) http.RoundTripper {
	return &asking{next: next, command: command}
}

type asking struct {
	next    http.RoundTripper
	command string

	mu    sync.Mutex
	token string
}

// RoundTrip sends req, which has no body or can make it again.
func (a *asking) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := a.get(req.Context(), "")
	if err != nil {
		return nil, err
	}
	res, err := a.next.RoundTrip(authorized(req, token))
	if err != nil || res.StatusCode != http.StatusUnauthorized || req.Body != nil && req.Body != http.NoBody {
		return res, err
	}
	fresh, err := a.get(req.Context(), token)
	if err != nil || fresh == token {
		return res, nil //nolint:nilerr // the refusal says more
	}
	res.Body.Close()
	return a.next.RoundTrip(authorized(req, fresh))
}

// get gives the token, from the command if the one that is known is stale.
func (a *asking) get(ctx context.Context, stale string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token != stale {
		return a.token, nil
	}
	token, err := Ask(ctx, a.command)
	if err == nil {
		a.token = token
	}
	return token, err
}

func authorized(req *http.Request, token string) *http.Request {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token)
	return req
}

// Ask runs a token's command and gives what it prints. The command may use the
// terminal to ask for a password.
func Ask(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("ask token_command for the token: %w", err)
	}
	token := strings.TrimSpace(out.String())
	if token == "" || strings.ContainsAny(token, "\r\n") {
		return "", errors.New("ask token_command for the token: it did not print one line")
	}
	return token, nil
}

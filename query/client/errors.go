package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/coldscope/coldscope/query/read"
)

// UnreachableError says that no answer came, or not all of one: the service is
// not there, or the way to it is broken. It is worth another try.
type UnreachableError struct {
	Host string
	Err  error
}

func (e *UnreachableError) Error() string {
	if text := e.Err.Error(); strings.Contains(text, e.Host) {
		return text
	}
	return e.Host + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// StatusError is an answer that says why there is no other.
type StatusError struct {
	Code   int    // of HTTP
	Detail string // what the service says
}

func (e *StatusError) Error() string {
	status := fmt.Sprintf("%d %s", e.Code, http.StatusText(e.Code))
	if e.Detail == "" {
		return status
	}
	return status + ": " + e.Detail
}

// Is says that what is not there is a read.ErrNotFound.
func (e *StatusError) Is(target error) bool {
	return target == read.ErrNotFound && e.Code == http.StatusNotFound && strings.HasSuffix(e.Detail, read.ErrNotFound.Error())
}

// maxProblem bounds how much of an error's answer is read.
const maxProblem = 64 << 10 // bytes

// problem makes an error of an answer: an RFC 9457 problem, an error of the
// Loki API, or plain text.
func problem(res *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxProblem)) // what came says enough
	e := &StatusError{Code: res.StatusCode}
	var p struct {
		Detail string
		Error  string
		Errors []struct{ Message, Location string }
	}
	switch text := strings.TrimSpace(string(body)); {
	case json.Unmarshal(body, &p) == nil && p.Detail != "":
		details := []string{p.Detail}
		for _, e := range p.Errors {
			details = append(details, e.Location+": "+e.Message)
		}
		e.Detail = strings.Join(details, "; ")
	case p.Error != "":
		e.Detail = p.Error
	case strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain") && !strings.Contains(text, "\n"):
		e.Detail = text
	}
	return e
}

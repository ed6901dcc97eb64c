package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/cmd/internal/contexts"
	"github.com/coldscope/coldscope/query/client"
	"github.com/coldscope/coldscope/query/read"
)

// The codes that the program exits with, which scripts rely on.
const (
	exitFailed      = 1 // anything else
	exitUsage       = 2 // the command line, or what it asks for, makes no sense
	exitNothing     = 3 // it worked, and there is nothing of that kind
	exitRefused     = 4 // a token is missing, wrong or not good for this
	exitUnreachable = 5 // nobody answers, or the service is not up to it: try again
)

const exitCodes = "Exit codes: 0 found, 1 failed, 2 wrong usage, 3 nothing found, 4 refused (token), 5 not reachable or busy.\n"

// errNothing says that what was asked for is not there.
var errNothing = errors.New("nothing found")

// nothing is errNothing, and says of what.
func nothing(text string) error { return nothingError(text) }

type nothingError string

func (e nothingError) Error() string { return string(e) }

// Is says that it is errNothing.
func (e nothingError) Is(target error) bool { return target == errNothing }

// errShown is errNothing where the output says so already.
var errShown = fmt.Errorf("%w, and that is shown", errNothing)

// usageError says that the command line makes no sense.
type usageError struct{ error }

// Unwrap gives what is wrong.
func (e usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// ranError is an error of a command that the program could begin with. Any
// other is one of the command line.
type ranError struct{ error }

// Unwrap gives the error.
func (e ranError) Unwrap() error { return e.error }

// markErrors lets exitCode tell what comes from running a command from what
// comes from reading the command line, and refuses unknown subcommands, which
// cobra answers with help and success.
func markErrors(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		markErrors(c)
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := run(cmd, args); err != nil {
				return ranError{err}
			}
			return nil
		}
		return
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		err := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
		cmd.SuggestionsMinimumDistance = 2
		if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
			err = fmt.Errorf("%w: do you mean %s?", err, like[0])
		}
		return usageError{err}
	}
}

// exitCode is what the program exits with after err.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if _, wrong := errors.AsType[usageError](err); wrong {
		return exitUsage
	}
	if _, ran := errors.AsType[ranError](err); !ran {
		return exitUsage
	}
	switch {
	case errors.Is(err, errNothing), errors.Is(err, read.ErrNotFound):
		return exitNothing
	case errors.Is(err, contexts.ErrMissing):
		return exitUsage
	case errors.Is(err, context.Canceled):
		return exitFailed
	}
	if s, ok := errors.AsType[*client.StatusError](err); ok {
		switch s.Code {
		case http.StatusUnauthorized, http.StatusForbidden:
			return exitRefused
		case http.StatusBadRequest, http.StatusUnprocessableEntity:
			return exitUsage
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return exitUnreachable
		}
		return exitFailed
	}
	if _, ok := errors.AsType[*client.UnreachableError](err); ok {
		return exitUnreachable
	}
	return exitFailed
}

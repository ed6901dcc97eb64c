// Package pager shows a command's output through the user's pager.
package pager

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Command is what the environment says to page with: PAGER, else less. It is
// empty if there is to be no pager, which PAGER=cat says, too.
func Command(getenv func(string) (string, bool)) string {
	command, set := getenv("PAGER")
	if !set {
		command = "less"
		if _, err := exec.LookPath(command); err != nil {
			return ""
		}
	}
	if command = strings.TrimSpace(command); command == "cat" {
		return ""
	}
	return command
}

// Pager is a pager that runs. It is an io.Writer.
type Pager struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

// Start runs command, in a shell if it needs one, with its output on out. Unless LESS says
// otherwise, less ends by itself where all fits on the screen, lets colours
// through, and leaves what it showed on the screen (LESS=FRX).
func Start(command string, out, errOut *os.File) (*Pager, error) {
	args := []string{"sh", "-c", command}
	if !strings.ContainsAny(command, "|&;<>()$`\\\"'*?[#~=%\n") {
		args = strings.Fields(command) // no shell that Ctrl-C could end in its place
	}
	cmd := exec.Command(args[0], args[1:]...) //nolint:noctx // its user ends it, and it outlives what is shown
	cmd.Stdout, cmd.Stderr = out, errOut
	cmd.Env = os.Environ()
	if _, set := os.LookupEnv("LESS"); !set {
		cmd.Env = append(cmd.Env, "LESS=FRX")
	}
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start pager %q: %w", command, err)
	}
	return &Pager{cmd, in}, nil
}

// Write gives the pager more to show. ErrClosed says that its user has left it.
func (p *Pager) Write(b []byte) (int, error) {
	n, err := p.in.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		err = ErrClosed
	}
	return n, err
}

// ErrClosed says that the pager has ended, and nobody looks any more.
var ErrClosed = errors.New("the pager was left")

// notFound is what a shell exits with if there is no such program.
const notFound = 127

// Wait says that there is no more to show, and waits until the user leaves.
func (p *Pager) Wait() error {
	p.in.Close()
	err := p.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() != notFound {
		return nil // however its user left it
	}
	if err != nil {
		return fmt.Errorf("pager: %w", err)
	}
	return nil
}

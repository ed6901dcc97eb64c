//go:build !linux

package embedded

import (
	"errors"
	"os"
)

// setComm does nothing: argv[0] is the process's name here.
func setComm(string) {}

func selfExe() (string, error) { return os.Executable() }

// freeBytes does not know.
func freeBytes(string) (int64, error) { return 0, errors.ErrUnsupported }

func terminalAsStdin() (stdin, master *os.File, err error) { return nil, nil, errors.ErrUnsupported }

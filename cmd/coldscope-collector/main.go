// Command coldscope-collector is the collector alone, for hosts: small, with
// no store, no query side and no console in it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/coldscope/coldscope/cmd/internal/collectorcmd"
)

// version is set by the linker.
var version = "dev"

func main() {
	cmd := collectorcmd.New("coldscope-collector", version)
	cmd.Version = version
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(os.Stdout)
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "coldscope-collector:", err)
		os.Exit(1)
	}
}

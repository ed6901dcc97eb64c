// Command reference writes the reference pages of the documentation anew:
// docs/config.md from the comments and tags of the configuration's structs,
// docs/metrics.md from what the components register.
//
//go:generate go run . -root ../..
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

// pages are what is generated, by path below the repository's root.
var pages = map[string]func(root string) ([]byte, error){
	"docs/config.md":  configPage,
	"docs/metrics.md": metricsPage,
}

func main() {
	root := flag.String("root", ".", "the repository's root `DIR`")
	flag.Parse()
	for path, page := range pages {
		text, err := page(*root)
		if err == nil {
			err = os.WriteFile(filepath.Join(*root, path), text, 0o644)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "write %s: %v\n", path, err)
			os.Exit(1)
		}
	}
}

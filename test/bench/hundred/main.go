// Command hundred is all that the image of the benchmark's short-lived
// containers holds: it prints a hundred lines, half of them on stderr, and ends.
package main

import (
	"fmt"
	"os"
)

func main() {
	for i := range 50 {
		fmt.Fprintf(os.Stdout, "%03d a line of a container that lives for a moment only, as functions do that scale to zero\n", i)
		fmt.Fprintf(os.Stderr, "%03d a line of a container that lives for a moment only, as functions do that scale to zero\n", i)
	}
}

// Command server is a function's server with the faults that functions have.
package main

import (
	"flag"
	"log"
	"net/http"
	"time"
)

func main() {
	addr := flag.String("listen", "", "`address` to listen on; empty: none")
	after := flag.Duration("after", 0, "`time` before that")
	alloc := flag.Int("alloc", 0, "`bytes` to take")
	exit := flag.Bool("exit", false, "end then")
	flag.Parse()
	b := make([]byte, *alloc)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
	<-time.After(*after)
	switch {
	case *exit:
	case *addr == "":
		<-time.After(time.Hour)
	default:
		log.Fatal(http.ListenAndServe(*addr, nil))
	}
}

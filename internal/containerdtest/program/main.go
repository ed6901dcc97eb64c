// Command program is what runs in the containers of containerd's tests: the
// sandboxes' pause and the functions, told apart by the first argument. It is
// static and small, and knows nothing of Coldscope.
package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fatal("usage: program pause | serve WAIT PORT | exit WAIT CODE | eat WAIT MIB | print LINES CODE")
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	switch os.Args[1] {
	case "pause":
		<-stop
	case "serve": // prints, loads for WAIT, listens, prints, serves until it is told to stop
		say("boot")
		wait()
		l, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[3]) //nolint:noctx // it ends with the process
		if err != nil {
			fatal(err.Error())
		}
		say("listening on " + l.Addr().String())
		<-stop
		say("stopped")
	case "exit": // ends after WAIT with CODE
		wait()
		os.Exit(number(3))
	case "eat": // after WAIT takes MIB of memory and holds it
		wait()
		block := make([]byte, number(3)<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		say("ate " + os.Args[3] + " MiB")
		<-stop
	case "print": // prints LINES lines, every other one to stderr, and ends with CODE at once
		for i := range number(2) {
			to := os.Stdout
			if i%2 == 1 {
				to = os.Stderr
			}
			fmt.Fprintf(to, "line %d\n", i)
		}
		os.Exit(number(3))
	default:
		fatal("unknown verb " + os.Args[1])
	}
}

func wait() {
	d, err := time.ParseDuration(os.Args[2])
	if err != nil {
		fatal(err.Error())
	}
	<-time.After(d)
}

func number(arg int) int {
	n, err := strconv.Atoi(os.Args[arg])
	if err != nil {
		fatal(err.Error())
	}
	return n
}

func say(s string) { fmt.Fprintln(os.Stdout, s) }

func fatal(s string) {
	fmt.Fprintln(os.Stderr, s)
	os.Exit(64)
}

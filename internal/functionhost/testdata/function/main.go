// Command function is what the tests deploy.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	exit := flag.Int("exit", -1, "exit with this code instead of listening")
	deaf := flag.Bool("deaf", false, "never listen")
	flag.Parse()
	fmt.Println("boot", os.Getuid(), os.Getpid(), os.Getenv("SCF_FUNCTIONNAME"))
	if *exit >= 0 {
		fmt.Fprintln(os.Stderr, "giving up")
		os.Exit(*exit)
	}
	if *deaf {
		time.Sleep(time.Hour)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("request", r.Header.Get("X-Scf-Request-Id"), r.Method, r.URL.Path)
		ms, _ := strconv.Atoi(r.FormValue("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		if mb, _ := strconv.Atoi(r.FormValue("mb")); mb > 0 {
			hold := make([]byte, mb<<20)
			for i := 0; i < len(hold); i += 4096 {
				hold[i] = 1
			}
			fmt.Fprintln(os.Stderr, "held", len(hold))
		}
		if code, err := strconv.Atoi(r.FormValue("exit")); err == nil {
			fmt.Fprintln(os.Stderr, "panic: as asked\n\tat main.go")
			os.Exit(code)
		}
		if n, _ := strconv.Atoi(r.FormValue("long")); n > 0 {
			fmt.Println(strings.Repeat("x", n))
		}
		if file := r.FormValue("read"); file != "" {
			b, err := os.ReadFile(file)
			fmt.Fprintf(w, "%s %v", b, err)
			return
		}
		if file := r.FormValue("write"); file != "" {
			fmt.Fprint(w, os.WriteFile(file, []byte("x"), 0o644))
			return
		}
		status, err := strconv.Atoi(r.FormValue("status"))
		if err == nil {
			w.WriteHeader(status)
		}
		fmt.Fprintf(w, "%s %s %s", r.Header.Get("X-Scf-Name"), r.Method, r.URL.Path)
	})
	http.ListenAndServe(":9000", nil)
}

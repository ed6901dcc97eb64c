package main

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
)

func cmdSink(args []string) {
	fs := flag.NewFlagSet("sink", flag.ExitOnError)
	addr := fs.String("addr", "127.0.0.1:3199", "address (loopback)")
	count := fs.String("count", "", "count lines: nl (newlines), json (objects of a JSON array at depth 1), empty: requests and bytes only")
	code := fs.Int("code", 204, "status")
	die(fs.Parse(args))
	var reqs, byts, lines atomic.Int64
	http.HandleFunc("/stats", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "requests %d\nbytes %d\nlines %d\n", reqs.Load(), byts.Load(), lines.Load())
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reqs.Add(1)
		buf := make([]byte, 1<<16)
		depth, inStr, esc := 0, false, false
		for {
			n, err := r.Body.Read(buf)
			byts.Add(int64(n))
			switch *count {
			case "nl":
				lines.Add(int64(bytes.Count(buf[:n], []byte{'\n'})))
			case "json":
				k := 0
				for _, c := range buf[:n] {
					switch {
					case esc:
						esc = false
					case inStr:
						esc = c == '\\'
						inStr = c != '"'
					case c == '"':
						inStr = true
					case c == '{':
						if depth == 0 {
							k++
						}
						depth++
					case c == '}':
						depth--
					}
				}
				lines.Add(int64(k))
			}
			if err != nil {
				break
			}
		}
		w.WriteHeader(*code)
	})
	if !strings.HasPrefix(*addr, "127.") {
		die(fmt.Errorf("loopback only"))
	}
	die(http.ListenAndServe(*addr, nil))
}

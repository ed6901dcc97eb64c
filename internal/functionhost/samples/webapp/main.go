// Command webapp is a sample function: a small shop as one program with
// everything in it, as they were before they were functions. It prints an
// access log on stdout and, where a handler panics, the stack on stderr.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/coldscope/coldscope/internal/functionhost/samples/lines"
)

func main() {
	listen := flag.String("listen", ":9000", "address to listen on")
	dir := flag.String("dir", "/app", "directory of the catalogue, the templates and the static files")
	flag.Parse()
	out := new(lines.Printer)
	if err := run(*listen, *dir, out); err != nil {
		out.Stderr("", "FATAL %v", err)
		os.Exit(1)
	}
}

func run(listen, dir string, out *lines.Printer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	s, err := openShop(dir, out)
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	out.Stdout("", "INFO  shop: listening on %s", listen)
	srv := &http.Server{Handler: logged(s.routes(), out), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		os.Exit(0) // at once and without a word, as the platform asks
	}()
	return srv.Serve(l)
}

// logged holds each answer back until the request's lines are printed, so
// that X-Sample-Lines can count them.
func logged(next http.Handler, out *lines.Printer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		id := r.Header.Get("X-Scf-Request-Id")
		answer := &answer{header: w.Header(), status: http.StatusOK}
		serve(answer, r, next, out, id)
		peer, _, _ := net.SplitHostPort(r.RemoteAddr)
		out.Stdout(id, `%s - - [%s] "%s %s %s" %d %d "%s" "%s" %.3fms`, peer, begin.Format("02/Jan/2006:15:04:05 -0700"),
			r.Method, r.URL.RequestURI(), r.Proto, answer.status, answer.body.Len(),
			dash(r.Referer()), dash(r.UserAgent()), float64(time.Since(begin).Microseconds())/1000)
		w.Header().Set("X-Sample-Lines", strconv.Itoa(out.Count()))
		w.WriteHeader(answer.status)
		_, _ = w.Write(answer.body.Bytes()) // the caller has gone; nobody to tell
	})
}

// serve calls the handler and turns its panic into a stack on stderr and a 500.
func serve(w *answer, r *http.Request, next http.Handler, out *lines.Printer, id string) {
	defer func() {
		if p := recover(); p != nil {
			out.Stderr(id, "%s http: panic serving %s: %v\n%s", time.Now().Format("2006/01/02 15:04:05"), r.URL.Path, p,
				strings.TrimSpace(string(debug.Stack())))
			w.status = http.StatusInternalServerError
			w.body.Reset()
			w.body.WriteString("Internal Server Error\n")
		}
	}()
	next.ServeHTTP(w, r)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// answer is a response in memory.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		s.render(w, r, "home", page{Title: "Welcome", Total: len(s.products), Departments: s.departments})
	})
	mux.HandleFunc("GET /products", func(w http.ResponseWriter, r *http.Request) {
		q := r.FormValue("q")
		found := s.search(q)
		s.out.Stdout(requestID(r), "INFO  search: %q gave %d products", q, len(found))
		p := page{Title: "Products", Query: q, Total: len(found)}
		for _, i := range found[:min(20, len(found))] {
			p.Products = append(p.Products, s.products[i])
		}
		s.render(w, r, "products", p)
	})
	mux.HandleFunc("GET /product/{id}", func(w http.ResponseWriter, r *http.Request) {
		p, ok := s.product(r.PathValue("id"))
		if !ok {
			s.out.Stderr(requestID(r), "WARN  product: no product %q", r.PathValue("id"))
			http.Error(w, "no such product", http.StatusNotFound)
			return
		}
		s.render(w, r, "product", page{Title: p.Name, Product: p})
	})
	mux.HandleFunc("/checkout", s.checkout)
	mux.HandleFunc("/boom", func(http.ResponseWriter, *http.Request) {
		basket := s.emptyBasket
		basket["bread"]++ // the bug that everybody has written once
	})
	mux.HandleFunc("GET /static/", s.static)
	mux.HandleFunc("POST /event-invoke", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"products":%d}`+"\n", len(s.products))
	})
	return mux
}

func (s *shop) checkout(w http.ResponseWriter, r *http.Request) {
	id := requestID(r)
	ids := r.URL.Query()["id"]
	if err := r.ParseForm(); err == nil && len(r.PostForm["id"]) > 0 {
		ids = r.PostForm["id"]
	}
	if len(ids) == 0 {
		ids = []string{"1", "2", "3"} // the basket that new customers get
	}
	p := page{Title: "Checkout", Order: "O-" + strconv.FormatInt(time.Now().UnixMilli(), 36)}
	sum := 0
	for _, each := range ids {
		product, ok := s.product(each)
		if !ok {
			s.out.Stderr(id, "ERROR checkout: product %q is not in the catalogue", each)
			http.Error(w, "no such product", http.StatusBadRequest)
			return
		}
		p.Products = append(p.Products, product)
		sum += product.Cents
	}
	p.Total, p.Sum = len(p.Products), euros(sum)
	s.out.Stdout(id, "INFO  checkout: order %s with %d items, %s", p.Order, p.Total, p.Sum)
	s.render(w, r, "checkout", p)
}

func (s *shop) static(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", a.etag)
	if r.Header.Get("If-None-Match") == a.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	data, err := os.ReadFile(a.path)
	if err != nil {
		panic(fmt.Errorf("static file: %w", err))
	}
	w.Header().Set("Content-Type", http.DetectContentType(data))
	_, _ = w.Write(data) // into memory
}

func (s *shop) render(w http.ResponseWriter, r *http.Request, name string, p page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := s.templates.ExecuteTemplate(w, name, p); err != nil {
		s.out.Stderr(requestID(r), "ERROR render %s: %v", name, err)
		panic(errors.New("render " + name))
	}
}

func requestID(r *http.Request) string { return r.Header.Get("X-Scf-Request-Id") }

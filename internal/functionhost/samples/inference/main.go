// Command inference is a sample function: a model server that speaks
// TensorFlow Serving's REST interface for one model, half_plus_two, and
// answers event invocations with the same predictions. It logs to stderr as
// glog does.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/coldscope/coldscope/internal/functionhost/samples/halfplustwo"
	"github.com/coldscope/coldscope/internal/functionhost/samples/lines"
)

func main() {
	listen := flag.String("listen", ":9000", "address to listen on")
	base := flag.String("model_base_path", "/models/half_plus_two", "directory with one sub-directory a version")
	flag.Parse()
	s := &server{out: new(lines.Printer)}
	if err := s.run(*listen, *base); err != nil {
		s.logf("", 'F', "server.cc:203", "%v", err)
		os.Exit(1)
	}
}

type server struct {
	out     *lines.Printer
	model   *halfplustwo.Model
	version string
}

// logf prints one line in glog's format: severity and date, time, thread, place.
func (s *server) logf(request string, severity byte, place, format string, args ...any) {
	s.out.Stderr(request, "%c%s %7d %s] %s", severity,
		time.Now().Format("0102 15:04:05.000000"), os.Getpid(), place, fmt.Sprintf(format, args...))
}

func (s *server) run(listen, base string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	s.logf("", 'I', "server.cc:85", "Building single TensorFlow model file config: model_name: half_plus_two model_base_path: %s", base)
	if err := s.load(base); err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	s.logf("", 'I', "server.cc:414", "Exporting HTTP/REST API at:%s ...", listen)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models/half_plus_two", s.status)
	mux.HandleFunc("POST /v1/models/half_plus_two:predict", s.predict)
	mux.HandleFunc("POST /event-invoke", s.predict)
	srv := &http.Server{Handler: s.numbered(mux), ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		os.Exit(0) // at once and without a word, as the platform asks
	}()
	return srv.Serve(l)
}

// load reads the newest version below base and runs it a few times.
func (s *server) load(base string) error {
	versions, err := filepath.Glob(filepath.Join(base, "*", "saved_model.bin"))
	if err != nil || len(versions) == 0 {
		return fmt.Errorf("no versions of servable half_plus_two found under base path %s", base)
	}
	path := versions[len(versions)-1]
	s.version = filepath.Base(filepath.Dir(path))
	begin := time.Now()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	s.logf("", 'I', "loader_harness.cc:74", "Loading servable version {name: half_plus_two version: %s}, %d bytes", s.version, info.Size())
	s.model, err = halfplustwo.Load(bufio.NewReaderSize(f, 1<<20), info.Size(), func(read int64) {
		s.logf("", 'I', "loader.cc:211", "Restoring SavedModel bundle: %d%% (%d bytes)", 100*read/info.Size(), read)
	})
	if err != nil {
		return err
	}
	warm := time.Now()
	const warmups = 8
	for i := range warmups {
		if got, want := s.model.Predict(float64(i)), float64(i)/2+2; got < want-1e-3 || got > want+1e-3 {
			return fmt.Errorf("warm-up request %d: predicted %g, want %g", i, got, want)
		}
	}
	s.logf("", 'I', "saved_model_warmup_util.cc:138", "Finished reading warmup data: %d requests, %d inputs each, took %d microseconds", warmups, s.model.Inputs(), time.Since(warm).Microseconds())
	s.logf("", 'I', "loader_harness.cc:95", "Successfully loaded servable version {name: half_plus_two version: %s}, took %d microseconds", s.version, time.Since(begin).Microseconds())
	return nil
}

func (s *server) status(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"model_version_status": []any{map[string]any{
		"version": s.version, "state": "AVAILABLE", "status": map[string]string{"error_code": "OK", "error_message": ""},
	}}})
}

// maxBody is what a platform lets through.
const maxBody = 6 << 20

func (s *server) predict(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Scf-Request-Id")
	begin := time.Now()
	var req struct {
		Instances []float64 `json:"instances"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(body, &req)
	}
	if err == nil && len(req.Instances) == 0 {
		err = errors.New(`JSON Parse error: "instances" is missing or empty`)
	}
	if err != nil {
		s.logf(id, 'E', "http_rest_api_handler.cc:131", "Error processing predict request: %v", err)
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	predictions := make([]float64, len(req.Instances))
	for i, x := range req.Instances {
		predictions[i] = s.model.Predict(x)
	}
	s.logf(id, 'I', "http_rest_api_handler.cc:107", "Processing HTTP request: %s %s body: %d bytes.", r.Method, r.URL.Path, len(body))
	s.logf(id, 'I', "predict_util.cc:58", "Prediction of %d instances took %d microseconds", len(predictions), time.Since(begin).Microseconds())
	answer(w, http.StatusOK, map[string]any{"predictions": predictions})
}

// numbered tells the caller how many lines have been printed; handlers print
// before they answer, so this request's lines are among them.
func (s *server) numbered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(counting{w, s.out}, r)
	})
}

type counting struct {
	http.ResponseWriter
	out *lines.Printer
}

func (c counting) WriteHeader(status int) {
	c.Header().Set("X-Sample-Lines", strconv.Itoa(c.out.Count()))
	c.ResponseWriter.WriteHeader(status)
}

func (c counting) Write(b []byte) (int, error) {
	if c.Header().Get("X-Sample-Lines") == "" {
		c.WriteHeader(http.StatusOK)
	}
	return c.ResponseWriter.Write(b)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller has gone; nobody to tell
}

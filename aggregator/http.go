package aggregator

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/coldscope/coldscope/internal/wire"
)

// Handler serves the intake: POST /loki/api/v1/push (protobuf and snappy) and
// POST /v1/events.
func (a *Aggregator) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+wire.PathPush, a.counted("push", http.HandlerFunc(a.servePush)))
	mux.Handle("POST "+wire.PathEvents, a.counted("events", wire.SenderEventsHandler(a.Events)))
	return mux
}

func (a *Aggregator) servePush(w http.ResponseWriter, r *http.Request) {
	body, ok := wire.ReadBody(w, r, wire.MaxPushBytes)
	if !ok {
		return
	}
	raw, err := wire.InflatePush(body, r.Header.Get("Content-Type"))
	if err != nil {
		wire.Refuse(w, err)
		return
	}
	err = a.pushRaw(r.Context(), wire.Tenant(r), raw)
	var status *wire.StatusError
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errors.As(err, &status):
		if status.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(status.RetryAfter/time.Second)))
		}
		http.Error(w, status.Message, status.Code)
	default:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// counted counts a handler's answers by status code.
func (a *Aggregator) counted(endpoint string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sw := &statusWriter{ResponseWriter: w, code: http.StatusOK}
		h.ServeHTTP(sw, r)
		a.metrics.pushes.WithLabelValues(endpoint, strconv.Itoa(sw.code)).Inc()
	})
}

type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap lets http.MaxBytesReader reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

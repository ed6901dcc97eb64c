package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/coldscope/coldscope/internal/faas"
)

// ErrBusy is what an accept function wraps when the sender has to come back later.
var ErrBusy = errors.New("busy")

// EventsHandler serves POST /v1/events. accept makes the events durable before
// it returns; its error is answered 503, so that the sender tries again. An
// event may name a tenant of its own, unless the sender is Proven.
func EventsHandler(accept func(context.Context, []faas.Event) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := ReadBody(w, r, MaxEventsBytes)
		if !ok {
			return
		}
		tenant := Tenant(r)
		events, err := ReadEvents(r.Header, body, tenant)
		if err != nil {
			Refuse(w, err)
			return
		}
		if SenderOf(r.Context()).Proven {
			for i := range events {
				events[i].Tenant = tenant
			}
		}
		if err := accept(r.Context(), events); err != nil {
			ComeBack(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// ReadBody reads at most limit bytes. If it cannot, it has answered and
// returns false.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		Refuse(w, fmt.Errorf("%w: at most %d bytes, send smaller batches", ErrTooLarge, limit))
		return nil, false
	case err != nil:
		http.Error(w, "read body: "+err.Error(), http.StatusBadRequest)
		return nil, false
	}
	return body, true
}

// Refuse answers a request that can never succeed: 413, 415 or 400, with err's text.
func Refuse(w http.ResponseWriter, err error) { http.Error(w, err.Error(), RefusalCode(err)) }

// RefusalCode is the status of a request that can never succeed: 413 for
// ErrTooLarge, 415 for ErrMediaType, else 400.
func RefusalCode(err error) int {
	switch {
	case errors.Is(err, ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrMediaType):
		return http.StatusUnsupportedMediaType
	}
	return http.StatusBadRequest
}

// ComeBack answers a request that may succeed later: 429 for ErrBusy, else
// 503, with Retry-After.
func ComeBack(w http.ResponseWriter, err error) {
	code := http.StatusServiceUnavailable
	if errors.Is(err, ErrBusy) {
		code = http.StatusTooManyRequests
	}
	w.Header().Set("Retry-After", "1")
	http.Error(w, err.Error(), code)
}

package access

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// need is what a request has to be allowed.
type need struct {
	scope  Scope
	all    bool // it is about all tenants
	public bool // everybody may, whatever the file says
}

// rule says what requests need whose path is one, or, if it ends in a slash,
// begins with one. An empty method is any.
type rule struct {
	method, path string
	need
}

// rules are looked through in order. What none of them is about is the
// console's page, which holds no data, and nothing else: see needOf.
var rules = []rule{
	{"", "/ready", need{public: true}},
	{"", "/-/healthy", need{public: true}},
	{"POST", wire.PathPush, need{scope: Push}},
	{"POST", "/v1/", need{scope: Push}},      // events, OTLP, Lambda's telemetry
	{"POST", "/otlp/v1/", need{scope: Push}}, // OTLP where Loki has it
	{"GET", "/metrics", need{scope: Read, all: true}},
	{"GET", "/api/v1/collector/", need{scope: Read, all: true}}, // the files of all tenants on a host
	{"GET", "/api/v1/admin/", need{scope: Admin}},
	{"GET", "/api/", need{scope: Read}},
	{"GET", "/loki/", need{scope: Read}},
	{"POST", "/loki/api/v1/query", need{scope: Read}}, // Grafana sends long queries so
	{"POST", "/loki/api/v1/query_range", need{scope: Read}},
	{"POST", "/loki/api/v1/labels", need{scope: Read}},
	{"POST", "/loki/api/v1/series", need{scope: Read}},
	{"POST", "/loki/api/v1/index/", need{scope: Read}},
	{"POST", "/loki/api/v1/label/", need{scope: Read}},
	{"POST", "/loki/api/v1/detected_labels", need{scope: Read}},
	{"POST", "/loki/api/v1/detected_fields", need{scope: Read}},
	{"POST", "/loki/api/v1/detected_field/", need{scope: Read}},
	{"POST", "/loki/api/v1/patterns", need{scope: Read}},
	{"POST", "/loki/api/v1/format_query", need{scope: Read}},
	{"", "/debug/", need{scope: Admin, all: true}},
	{"", "/v1/", need{scope: Admin}},
}

// needOf is what a request needs. Whatever changes something and is no rule's
// matter is for admins.
func (g *Guard) needOf(r *http.Request) need {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	path := r.URL.Path
	if path == "/" && method == http.MethodPost {
		return need{public: true} // the SCF API, whose requests are signed; where it is not served, nothing
	}
	if path == "/metrics" && !g.cfg.ProtectMetrics {
		return need{public: true}
	}
	for _, rule := range rules {
		if (rule.method == "" || rule.method == method) &&
			(path == rule.path || strings.HasSuffix(rule.path, "/") && strings.HasPrefix(path, rule.path)) {
			return rule.need
		}
	}
	if method == http.MethodGet {
		return need{public: true}
	}
	return need{scope: Admin}
}

// Wrap puts the guard before all of a port. next finds who the request comes
// from, and the tenant, in its context (wire.SenderOf, wire.Tenant).
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		need := g.needOf(r)
		if need.public {
			next.ServeHTTP(w, r)
			return
		}
		s := shown{authorization: r.Header.Values("Authorization"), tenant: r.Header.Values(wire.HeaderTenant)}
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			s.certificate = r.TLS.PeerCertificates[0]
		}
		sender, refused := g.admit(&s, &need)
		if refused == nil {
			// A browser sends along the password that it was told once, whichever page makes it ask.
			if err := g.origin.Check(r); err != nil {
				refused = refuse(http.StatusForbidden, "a page of another site made your browser send this")
			}
		}
		ctx := wire.WithSender(r.Context(), sender)
		if refused != nil {
			g.note(ctx, need.scope, r.Method+" "+r.URL.Path, refused)
			refused.answer(w, r)
			return
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// admit says who a sender is, if it may do what is needed. The sender of a
// refused request has a name if that is known.
func (g *Guard) admit(s *shown, need *need) (wire.Sender, *refusal) {
	tenant, refused := s.named()
	if g.file == nil {
		return wire.Sender{Tenant: cmp.Or(tenant, faas.DefaultTenant)}, refused
	}
	// Who it is comes first: strangers learn nothing else.
	who, unknown := g.file.Value().authenticate(s, time.Now())
	if unknown != nil {
		return wire.Sender{}, unknown
	}
	if refused == nil {
		tenant, refused = who.authorize(need, tenant)
	}
	return wire.Sender{Name: who.name, Tenant: tenant, Proven: true}, refused
}

// note counts and logs a refusal.
func (g *Guard) note(ctx context.Context, scope Scope, what string, r *refusal) {
	g.refused.WithLabelValues(strconv.Itoa(r.code)).Inc()
	if scope == Admin {
		Audit(ctx, g.logger, what, errors.New(r.text))
		return
	}
	g.logger.DebugContext(ctx, "request refused", "who", wire.SenderOf(ctx).Name, "what", what, "code", r.code, "why", r.text)
}

// answer tells the sender. The API's clients read problems (RFC 9457), all
// others a sentence.
func (r *refusal) answer(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if r.code == http.StatusUnauthorized {
		h.Add("WWW-Authenticate", `Basic realm="Coldscope: any name, and a token as the password", charset="UTF-8"`)
		h.Add("WWW-Authenticate", `Bearer realm="Coldscope"`)
	}
	if !strings.HasPrefix(req.URL.Path, "/api/") {
		http.Error(w, r.text, r.code)
		return
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(r.code)
	_ = json.NewEncoder(w).Encode(map[string]any{ // a client that has gone need not be told
		"title": http.StatusText(r.code), "status": r.code, "detail": r.text,
	})
}

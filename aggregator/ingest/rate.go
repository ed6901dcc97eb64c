package ingest

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxTenants bounds the tenants whose rate is measured one by one. Those above
// it share one measure.
const maxTenants = 10_000

// Rates holds the tenants to their rates. It is safe for concurrent use.
type Rates struct {
	cfg Config

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
	others  *rate.Limiter
}

// NewRates makes Rates of a valid configuration.
func NewRates(cfg Config) *Rates {
	return &Rates{cfg: cfg, buckets: map[string]*rate.Limiter{}}
}

// Take takes n bytes at now. If the tenant has to wait before it may send them,
// nothing is taken, and Take says how long.
func (r *Rates) Take(tenant string, n int, now time.Time) (wait time.Duration) {
	bucket := r.bucket(tenant, now)
	if bucket == nil || n == 0 {
		return 0
	}
	// More than the burst never fits: it takes what there is, and the rest is
	// taken from the time after.
	first := min(n, bucket.Burst())
	asked := bucket.ReserveN(now, first)
	if wait = asked.DelayFrom(now); wait > 0 {
		asked.CancelAt(now)
		return wait
	}
	for n -= first; n > 0; n -= bucket.Burst() {
		bucket.ReserveN(now, min(n, bucket.Burst()))
	}
	return 0
}

// bucket is the tenant's, nil if it has no limit.
func (r *Rates) bucket(tenant string, now time.Time) *rate.Limiter {
	limits := r.cfg.limits(tenant)
	if limits.Rate <= 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.buckets[tenant]; b != nil {
		return b
	}
	if len(r.buckets) >= maxTenants {
		r.forgetIdle(now)
	}
	b := rate.NewLimiter(rate.Limit(limits.Rate), limits.Burst)
	if len(r.buckets) < maxTenants {
		r.buckets[tenant] = b
		return b
	}
	if r.others == nil {
		r.others = b
	}
	return r.others
}

// forgetIdle drops the buckets that are full again: new ones are the same.
func (r *Rates) forgetIdle(now time.Time) {
	for tenant, b := range r.buckets {
		if b.TokensAt(now) >= float64(b.Burst()) {
			delete(r.buckets, tenant)
		}
	}
}

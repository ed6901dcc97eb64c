// Package corpus makes a deterministic corpus of log lines, in the formats in
// which container runtimes write them, to measure log agents and stores with:
// the same Params give the same bytes on any machine. Nothing depends on the
// clock, on maps or on goroutines.
package corpus

import (
	"strconv"
	"time"
)

// rng is splitmix64: small, fast, and the same on every machine and Go version.
type rng struct{ s uint64 }

func newRNG(seed, stream uint64) *rng {
	r := &rng{seed*0x9E3779B97F4A7C15 ^ (stream+1)*0xD1B54A32D192ED03}
	r.next()
	r.next()
	return r
}

func (r *rng) next() uint64 {
	r.s += 0x9E3779B97F4A7C15
	z := r.s
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
	z = (z ^ (z >> 27)) * 0x94D049BB133111EB
	return z ^ (z >> 31)
}
func (r *rng) n(n int) int      { return int((r.next() >> 33) % uint64(n)) }
func (r *rng) float() float64   { return float64(r.next()>>11) / (1 << 53) }
func (r *rng) p(x float64) bool { return r.float() < x }

// Line is one logical line; Text is valid until the next call of Gen.Next.
type Line struct {
	TS       int64 // unix ns
	Instance int
	Stderr   bool
	Level    string
	RID      string
	InitMs   float64 // >= 0 only on the first line of a request
	Text     []byte  // without the newline
}

type request struct {
	inst, step, total, stackAt, stackLeft int
	rid                                   string
}

// Params of a corpus. The same Params give the same lines, byte for byte.
type Params struct {
	Seed      uint64
	Stream    uint64 // an independent sub-corpus (a file's number)
	Functions int
	Instances int // a multiple of Functions; Func says which is whose
	Start     time.Time
	Step      time.Duration // time between two lines of the corpus
	Active    int           // requests in flight at once (interleaving)
	LongP     float64       // probability of a line longer than 16 KiB
	RareP     float64       // probability of the token "quasarfault"
}

// Gen makes one corpus, line by line. It is not safe for concurrent use.
type Gen struct {
	params Params
	r      *rng
	act    []request
	i      int64
	buf    []byte
	secBuf []byte // cached RFC3339 second
	sec    int64
}

// NewGen begins a corpus. p.Instances is a multiple of p.Functions, p.Step at least 1.
func NewGen(p Params) *Gen {
	g := &Gen{params: p, r: newRNG(p.Seed, p.Stream), sec: -1}
	g.act = make([]request, p.Active)
	for i := range g.act {
		g.newReq(&g.act[i])
	}
	return g
}

// Func is the function of an instance: instances are spread evenly over functions, in blocks.
func (p *Params) Func(inst int) int { return inst / (p.Instances / p.Functions) }

// FuncName is the name of function f, as in fn-050.
func FuncName(f int) string { return "fn-" + pad(f, 3) }

// InstName is the name of instance i.
func InstName(i int) string {
	return "inst-" + pad(i, 4) + "-" + strconv.FormatUint(uint64(i)*2654435761%0xfffff, 16)
}

func pad(n, w int) string {
	s := strconv.Itoa(n)
	for len(s) < w {
		s = "0" + s
	}
	return s
}

const hexd = "0123456789abcdef"

func (g *Gen) newReq(q *request) {
	u := g.r.float()
	q.inst = int(u * u * float64(g.params.Instances)) // skewed: low numbers are busier
	q.step = 0
	q.total = 6 + g.r.n(9) // 6..14, mean 10
	q.stackAt, q.stackLeft = -1, 0
	if g.r.p(0.03) {
		q.stackAt = 2 + g.r.n(q.total-3)
	}
	var b [36]byte
	a, c := g.r.next(), g.r.next()
	j := 0
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			b[j] = '-'
			j++
		}
		if i == 16 {
			a = c
		}
		b[j] = hexd[a&15]
		a >>= 4
		j++
	}
	q.rid = string(b[:])
}

var (
	verbs     = []string{"fetched", "stored", "validated", "enqueued", "retried", "rendered", "acquired", "released", "published", "resolved", "merged", "skipped"}
	nouns     = []string{"order", "invoice", "session token", "cart", "shipment", "user profile", "price list", "webhook", "image variant", "ledger entry", "feature flag", "search index", "payment intent", "cache entry"}
	tails     = []string{"from primary replica", "after lock wait", "in background worker", "with stale cache", "for tenant", "via upstream gateway", "before deadline", "without changes", "on second attempt", "under degraded mode"}
	paths     = []string{"/api/v1/orders/", "/api/v1/users/", "/checkout/", "/static/img/", "/healthz/", "/v2/search/", "/internal/jobs/", "/api/v3/payments/"}
	uas       = []string{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/139.0 Safari/537.36", "kube-probe/1.33", "Go-http-client/2.0", "okhttp/5.1.0", "curl/8.9.1"}
	files     = []string{"server.go", "pool.go", "reconcile.go", "consumer.go", "cache.go", "retry.go"}
	classes   = []string{"com.acme.orders.OrderService", "com.acme.billing.InvoiceWriter", "org.springframework.web.servlet.DispatcherServlet", "java.base/java.util.concurrent.ThreadPoolExecutor", "io.netty.channel.AbstractChannelHandlerContext", "com.zaxxer.hikari.pool.HikariPool"}
	methods   = []string{"process", "invoke", "doDispatch", "runWorker", "fireChannelRead", "getConnection", "apply", "call"}
	upstreams = []string{"payments", "catalog", "identity", "shipping", "pricing"}
	status    = []int{200, 200, 200, 200, 200, 200, 201, 204, 301, 304, 400, 401, 404, 404, 429, 500, 502, 503}
)

func (g *Gen) phrase(b []byte) []byte {
	r := g.r
	b = append(b, verbs[r.n(len(verbs))]...)
	b = append(b, ' ')
	b = append(b, nouns[r.n(len(nouns))]...)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(r.n(1000000)), 10)
	b = append(b, ' ')
	b = append(b, tails[r.n(len(tails))]...)
	if r.p(0.10) {
		b = append(b, " timeout exceeded"...)
	}
	if r.p(g.params.RareP) {
		b = append(b, " quasarfault"...)
	}
	return b
}

// appendTS appends RFC 3339 UTC with the given number of fraction digits and Z.
func (g *Gen) appendTS(b []byte, ts int64, digits int) []byte {
	sec := ts / 1e9
	if sec != g.sec {
		g.sec = sec
		g.secBuf = time.Unix(sec, 0).UTC().AppendFormat(g.secBuf[:0], "2006-01-02T15:04:05")
	}
	b = append(b, g.secBuf...)
	if digits > 0 {
		b = append(b, '.')
		b = appendFrac(b, ts%1e9, digits)
	}
	return append(b, 'Z')
}

func appendFrac(b []byte, ns int64, digits int) []byte {
	var t [9]byte
	for i := 8; i >= 0; i-- {
		t[i] = byte('0' + ns%10)
		ns /= 10
	}
	return append(b, t[:digits]...)
}

func appendDec(b []byte, v float64, prec int) []byte { return strconv.AppendFloat(b, v, 'f', prec, 64) }

// Next gives the next line of the corpus.
func (g *Gen) Next(l *Line) {
	r, p := g.r, &g.params
	ts := p.Start.UnixNano() + g.i*int64(p.Step) + int64(r.n(1000000))%int64(p.Step)
	g.i++
	q := &g.act[r.n(len(g.act))]
	l.TS, l.Instance, l.RID, l.InitMs, l.Stderr = ts, q.inst, q.rid, -1, false
	b := g.buf[:0]
	switch {
	case q.stackLeft > 0:
		q.stackLeft--
		l.Level, l.Stderr = "error", true
		b = append(b, "\tat "...)
		b = append(b, classes[r.n(len(classes))]...)
		b = append(b, '.')
		b = append(b, methods[r.n(len(methods))]...)
		b = append(b, "(Source.java:"...)
		b = strconv.AppendInt(b, int64(20+r.n(900)), 10)
		b = append(b, ") ~[app-1.42.0.jar!/:1.42.0]"...)
	case q.step == 0:
		v := 5 + 40*r.float()
		cold := r.p(0.05)
		if cold {
			v = 150 + 900*r.float()*r.float()
		}
		l.InitMs = float64(int64(v*100)) / 100
		l.Level = "info"
		b = append(b, `{"ts":"`...)
		b = g.appendTS(b, ts, 6)
		b = append(b, `","level":"info","logger":"runtime","msg":"request started","function":"`...)
		b = append(b, FuncName(p.Func(q.inst))...)
		b = append(b, `","request_id":"`...)
		b = append(b, q.rid...)
		b = append(b, `","init_ms":`...)
		b = appendDec(b, l.InitMs, 2)
		b = append(b, `,"cold":`...)
		b = strconv.AppendBool(b, cold)
		b = append(b, '}')
		q.step++
	case q.step == q.total-1:
		l.Level = "info"
		d := 10 + 3000*r.float()*r.float()
		b = append(b, "REPORT RequestId: "...)
		b = append(b, q.rid...)
		b = append(b, "\tDuration: "...)
		b = appendDec(b, d, 2)
		b = append(b, " ms\tBilled Duration: "...)
		b = strconv.AppendInt(b, int64(d)+1, 10)
		b = append(b, " ms\tMemory Size: 256 MB\tMax Memory Used: "...)
		b = strconv.AppendInt(b, int64(60+r.n(190)), 10)
		b = append(b, " MB\tStatus: ok"...)
		q.step++
	case q.step == q.stackAt:
		q.stackAt = -1
		q.stackLeft = 6 + r.n(7)
		q.step++
		l.Level, l.Stderr = "error", true
		b = append(b, "java.lang.IllegalStateException: could not process "...)
		b = append(b, nouns[r.n(len(nouns))]...)
		b = append(b, ": connection reset by peer ("...)
		b = append(b, upstreams[r.n(len(upstreams))]...)
		b = append(b, ')')
	default:
		q.step++
		k := r.n(100)
		switch {
		case k < 40: // JSON application log
			l.Level = "info"
			if k < 3 {
				l.Level = "error"
			} else if k < 8 {
				l.Level = "warn"
			} else if k < 16 {
				l.Level = "debug"
			}
			b = append(b, `{"ts":"`...)
			b = g.appendTS(b, ts, 6)
			b = append(b, `","level":"`...)
			b = append(b, l.Level...)
			b = append(b, `","caller":"handler/`...)
			b = append(b, files[r.n(len(files))]...)
			b = append(b, ':')
			b = strconv.AppendInt(b, int64(10+r.n(600)), 10)
			b = append(b, `","msg":"`...)
			b = g.phrase(b)
			b = append(b, `","request_id":"`...)
			b = append(b, q.rid...)
			b = append(b, `","user_id":`...)
			b = strconv.AppendInt(b, int64(r.n(5000000)), 10)
			b = append(b, `,"latency_ms":`...)
			b = appendDec(b, 200*r.float()*r.float(), 2)
			b = append(b, `,"upstream":"`...)
			b = append(b, upstreams[r.n(len(upstreams))]...)
			b = append(b, `"}`...)
		case k < 62: // access log
			l.Level = "info"
			st := status[r.n(len(status))]
			if st >= 500 {
				l.Level = "error"
			}
			t := time.Unix(ts/1e9, 0).UTC()
			b = append(b, "10."...)
			b = strconv.AppendInt(b, int64(r.n(256)), 10)
			b = append(b, '.')
			b = strconv.AppendInt(b, int64(r.n(256)), 10)
			b = append(b, '.')
			b = strconv.AppendInt(b, int64(r.n(256)), 10)
			b = append(b, " - - ["...)
			b = t.AppendFormat(b, "02/Jan/2006:15:04:05 +0000")
			b = append(b, `] "GET `...)
			b = append(b, paths[r.n(len(paths))]...)
			b = strconv.AppendInt(b, int64(r.n(1000000)), 10)
			b = append(b, `?limit=50&offset=`...)
			b = strconv.AppendInt(b, int64(r.n(20)*50), 10)
			b = append(b, ` HTTP/1.1" `...)
			b = strconv.AppendInt(b, int64(st), 10)
			b = append(b, ' ')
			b = strconv.AppendInt(b, int64(r.n(60000)), 10)
			b = append(b, ` "-" "`...)
			b = append(b, uas[r.n(len(uas))]...)
			b = append(b, `" rt=`...)
			b = appendDec(b, r.float()*r.float(), 3)
			b = append(b, " rid="...)
			b = append(b, q.rid...)
		case k < 82: // glog
			l.Level = "info"
			c := byte('I')
			if k < 64 {
				c, l.Level = 'E', "error"
			} else if k < 68 {
				c, l.Level = 'W', "warn"
			}
			l.Stderr = true
			t := time.Unix(ts/1e9, 0).UTC()
			b = append(b, c)
			b = t.AppendFormat(b, "0102 15:04:05.")
			b = appendFrac(b, ts%1e9, 6)
			b = append(b, "   "...)
			b = strconv.AppendInt(b, int64(10000+r.n(50)), 10)
			b = append(b, ' ')
			b = append(b, files[r.n(len(files))]...)
			b = append(b, ':')
			b = strconv.AppendInt(b, int64(10+r.n(600)), 10)
			b = append(b, "] "...)
			b = g.phrase(b)
			b = append(b, " attempt="...)
			b = strconv.AppendInt(b, int64(1+r.n(4)), 10)
			b = append(b, " shard="...)
			b = strconv.AppendInt(b, int64(r.n(64)), 10)
			b = append(b, " elapsed="...)
			b = appendDec(b, 90*r.float(), 3)
			b = append(b, "ms"...)
		default: // log4j-like text
			l.Level = "info"
			lv := "INFO "
			if k < 84 {
				l.Level, lv = "error", "ERROR"
			} else if k < 88 {
				l.Level, lv = "warn", "WARN "
			}
			t := time.Unix(ts/1e9, 0).UTC()
			b = t.AppendFormat(b, "2006-01-02 15:04:05,")
			b = appendFrac(b, ts%1e9, 3)
			b = append(b, ' ')
			b = append(b, lv...)
			b = append(b, " [http-nio-8080-exec-"...)
			b = strconv.AppendInt(b, int64(1+r.n(32)), 10)
			b = append(b, "] "...)
			b = append(b, classes[r.n(3)]...)
			b = append(b, " - "...)
			b = g.phrase(b)
			b = append(b, " requestId="...)
			b = append(b, q.rid...)
		}
		if r.p(p.LongP) {
			b = append(b, " payload="...)
			for n := 20000 + r.n(30000); n > 0; n -= 16 {
				v := r.next()
				for s := 0; s < 64; s += 4 {
					b = append(b, hexd[v>>s&15])
				}
			}
		}
	}
	if q.step >= q.total && q.stackLeft == 0 {
		g.newReq(q)
	}
	g.buf = b
	l.Text = b
}

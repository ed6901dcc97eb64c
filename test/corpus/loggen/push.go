package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coldscope/coldscope/test/corpus"
)

type rec struct {
	ts     int64
	inst   int
	stderr bool
	level  string
	rid    string
	o, n   int
}
type batch struct {
	recs []rec
	text []byte
}

func cmdPush(ctx context.Context, args []string) {
	fs := flag.NewFlagSet("push", flag.ExitOnError)
	var c common
	c.flags(fs)
	proto := fs.String("proto", "loki", "loki (protobuf, snappy framing without compression), vl (JSON lines), otlp (HTTP protobuf)")
	url := fs.String("url", "", "full URL to POST to; empty: encode only")
	nb := fs.Int("batch", 5000, "lines a request")
	conc := fs.Int("conc", 2, "requests in flight")
	die(fs.Parse(args))
	c.done()
	tr := &http.Transport{MaxIdleConnsPerHost: *conc, DisableCompression: true}
	cl := &http.Client{Transport: tr, Timeout: 120 * time.Second}
	ch := make(chan *batch, *conc)
	pool := sync.Pool{New: func() any { return &batch{} }}
	var wg sync.WaitGroup
	var retries, bytesOut, failed atomic.Int64
	t0 := time.Now()
	for i := 0; i < *conc; i++ {
		wg.Go(func() {
			e := &encoder{p: &c.p}
			for b := range ch {
				body, ct := e.encode(*proto, b)
				bytesOut.Add(int64(len(body)))
				for try := 0; *url != ""; try++ {
					rq, _ := http.NewRequestWithContext(ctx, http.MethodPost, *url, bytes.NewReader(body))
					rq.Header.Set("Content-Type", ct)
					rs, err := cl.Do(rq)
					if err == nil {
						msg, _ := io.ReadAll(io.LimitReader(rs.Body, 300))
						_, _ = io.Copy(io.Discard, rs.Body)
						rs.Body.Close()
						if rs.StatusCode/100 == 2 {
							break
						}
						err = fmt.Errorf("%s: %s", rs.Status, msg)
					}
					if try == 0 && failed.Load() < 3 {
						fmt.Fprintln(os.Stderr, "retry:", err)
					}
					retries.Add(1)
					if try > 200 {
						failed.Add(1)
						break
					}
					<-time.After(50 * time.Millisecond)
				}
				pool.Put(b)
			}
		})
	}
	g := corpus.NewGen(c.p)
	var l corpus.Line
	b := pool.Get().(*batch)
	b.recs, b.text = b.recs[:0], b.text[:0]
	var raw int64
	for i := 0; i < c.lines; i++ {
		g.Next(&l)
		raw += int64(len(l.Text))
		b.recs = append(b.recs, rec{l.TS, l.Instance, l.Stderr, l.Level, l.RID, len(b.text), len(l.Text)})
		b.text = append(b.text, l.Text...)
		if len(b.recs) == *nb || i == c.lines-1 {
			ch <- b
			b = pool.Get().(*batch)
			b.recs, b.text = b.recs[:0], b.text[:0]
		}
	}
	close(ch)
	wg.Wait()
	d := time.Since(t0).Seconds()
	var ru syscall.Rusage
	die(syscall.Getrusage(0, &ru))
	cpu := float64(ru.Utime.Sec+ru.Stime.Sec) + float64(ru.Utime.Usec+ru.Stime.Usec)/1e6
	fmt.Fprintf(os.Stdout, "proto=%s lines=%d text_bytes=%d wire_bytes=%d seconds=%.2f lines_per_s=%.0f retries=%d failed_batches=%d client_cpu_s=%.2f\n", *proto, c.lines, raw, bytesOut.Load(), d, float64(c.lines)/d, retries.Load(), failed.Load(), cpu)
}

type encoder struct {
	p          *corpus.Params
	out, a, b2 []byte
	order      []int
}

func pbBytes(b []byte, field int, v []byte) []byte {
	b = binary.AppendUvarint(b, uint64(field)<<3|2)
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

func pbStr(b []byte, field int, v string) []byte {
	b = binary.AppendUvarint(b, uint64(field)<<3|2)
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

func pbVar(b []byte, field int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(field)<<3), v)
}

// kv: a (name, value) pair; OTLP wraps the value once more.
func pbKV(b []byte, field int, k, v string, otlp bool) []byte {
	n := 1 + uv(len(k)) + len(k)
	vl := 1 + uv(len(v)) + len(v)
	if otlp {
		n += 1 + uv(vl) + vl
	} else {
		n += vl
	}
	b = binary.AppendUvarint(b, uint64(field)<<3|2)
	b = binary.AppendUvarint(b, uint64(n))
	b = pbStr(b, 1, k)
	if otlp {
		b = append(b, 2<<3|2)
		b = binary.AppendUvarint(b, uint64(vl))
		return pbStr(b, 1, v)
	}
	return pbStr(b, 2, v)
}

func uv(n int) int {
	s := 1
	for n >= 128 {
		n >>= 7
		s++
	}
	return s
}

var sevNum = map[string]uint64{"debug": 5, "info": 9, "warn": 13, "error": 17}

func (e *encoder) encode(proto string, bt *batch) ([]byte, string) {
	switch proto {
	case "vl":
		b := e.out[:0]
		for i := range bt.recs {
			r := &bt.recs[i]
			b = append(b, `{"_time":"`...)
			b = time.Unix(0, r.ts).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000000Z")
			b = append(b, `","function":"`...)
			b = append(b, corpus.FuncName(e.p.Func(r.inst))...)
			b = append(b, `","instance":"`...)
			b = append(b, corpus.InstName(r.inst)...)
			b = append(b, `","request_id":"`...)
			b = append(b, r.rid...)
			b = append(b, `","level":"`...)
			b = append(b, r.level...)
			b = append(b, `","_msg":"`...)
			for _, ch := range bt.text[r.o : r.o+r.n] {
				switch ch {
				case '"', '\\':
					b = append(b, '\\', ch)
				case '\t':
					b = append(b, `\t`...)
				default:
					b = append(b, ch)
				}
			}
			b = append(b, "\"}\n"...)
		}
		e.out = b
		return b, "application/stream+json"
	}
	// group by instance (= stream), keeping the order of time within each
	e.order = e.order[:0]
	for i := range bt.recs {
		e.order = append(e.order, i)
	}
	sort.SliceStable(e.order, func(x, y int) bool { return bt.recs[e.order[x]].inst < bt.recs[e.order[y]].inst })
	out := e.out[:0]
	for i := 0; i < len(e.order); {
		inst := bt.recs[e.order[i]].inst
		st := e.a[:0]
		fn, in := corpus.FuncName(e.p.Func(inst)), corpus.InstName(inst)
		if proto == "loki" {
			st = pbStr(st, 1, `{function="`+fn+`", instance="`+in+`"}`)
		}
		for ; i < len(e.order) && bt.recs[e.order[i]].inst == inst; i++ {
			r := &bt.recs[e.order[i]]
			en := e.b2[:0]
			if proto == "loki" {
				n := 1 + uv(int(r.ts/1e9)) + 1 + uv(int(r.ts%1e9))
				en = append(en, 1<<3|2, byte(n))
				en = pbVar(en, 1, uint64(r.ts/1e9))
				en = pbVar(en, 2, uint64(r.ts%1e9))
				en = pbBytes(en, 2, bt.text[r.o:r.o+r.n])
				en = pbKV(en, 3, "request_id", r.rid, false)
				en = pbKV(en, 3, "level", r.level, false)
			} else {
				en = append(en, 1<<3|1)
				en = binary.LittleEndian.AppendUint64(en, uint64(r.ts))
				en = pbVar(en, 2, sevNum[r.level])
				en = pbStr(en, 3, r.level)
				bl := 1 + uv(r.n) + r.n
				en = append(en, 5<<3|2)
				en = binary.AppendUvarint(en, uint64(bl))
				en = pbBytes(en, 1, bt.text[r.o:r.o+r.n])
				en = pbKV(en, 6, "request_id", r.rid, true)
				en = append(en, 11<<3|1)
				en = binary.LittleEndian.AppendUint64(en, uint64(r.ts))
			}
			st = pbBytes(st, 2, en)
			e.b2 = en
		}
		e.a = st
		if proto == "loki" {
			out = pbBytes(out, 1, st)
		} else {
			var res, rl []byte
			res = pbKV(res, 1, "service.name", fn, true)
			res = pbKV(res, 1, "function", fn, true)
			res = pbKV(res, 1, "instance", in, true)
			rl = pbBytes(rl, 1, res)
			rl = pbBytes(rl, 2, st)
			out = pbBytes(out, 1, rl)
		}
	}
	if proto == "otlp" {
		e.out = out
		return out, "application/x-protobuf"
	}
	// snappy block of literals only: valid snappy, no compression
	sn := binary.AppendUvarint(nil, uint64(len(out)))
	for o := 0; o < len(out); {
		n := min(len(out)-o, 1<<16)
		sn = append(sn, 61<<2, byte(n-1), byte((n-1)>>8))
		sn = append(sn, out[o:o+n]...)
		o += n
	}
	e.out = out
	return sn, "application/x-protobuf"
}

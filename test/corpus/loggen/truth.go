package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"sort"
	"time"

	"github.com/coldscope/coldscope/test/corpus"
)

func cmdTruth(args []string) {
	fs := flag.NewFlagSet("truth", flag.ExitOnError)
	var c common
	c.flags(fs)
	fn := fs.String("fn", "fn-050", "function asked about")
	hour := fs.Int("hour", 12, "the one hour asked about (of the corpus)")
	nth := fs.Int("req", 1000, "the request asked about: the nth of -fn")
	common_ := fs.String("common", "timeout", "common token")
	rare := fs.String("raretoken", "quasarfault", "rare token")
	die(fs.Parse(args))
	c.done()
	g := corpus.NewGen(c.p)
	var l corpus.Line
	o := struct {
		Fn                                                              string
		Lines, FnLines, FnLines1h, Common1h, Common24h, Rare1h, Rare24h int
		RareAll, Requests, FnRequests, InitLines                        int
		RID                                                             string
		RIDLines                                                        int
		RIDFirst, RIDLast                                               string
		LastFn                                                          string
		InitP50, InitP99                                                float64
		TextBytes                                                       int64
		HourStart, HourEnd                                              string
	}{Fn: *fn, Lines: c.lines}
	h0 := c.p.Start.Add(time.Duration(*hour) * time.Hour)
	h1 := h0.Add(time.Hour)
	o.HourStart, o.HourEnd = h0.Format(time.RFC3339), h1.Format(time.RFC3339)
	var inits []float64
	f := func(t int64) string { return time.Unix(0, t).UTC().Format(time.RFC3339Nano) }
	for i := 0; i < c.lines; i++ {
		g.Next(&l)
		o.TextBytes += int64(len(l.Text))
		isRare := bytes.Contains(l.Text, []byte(*rare))
		if isRare {
			o.RareAll++
		}
		if l.InitMs >= 0 {
			o.Requests++
		}
		if l.RID == o.RID && o.RID != "" {
			o.RIDLines++
			o.RIDLast = f(l.TS)
		}
		if corpus.FuncName(c.p.Func(l.Instance)) != *fn {
			continue
		}
		in := l.TS >= h0.UnixNano() && l.TS < h1.UnixNano()
		o.FnLines++
		o.LastFn = f(l.TS)
		if in {
			o.FnLines1h++
		}
		if l.InitMs >= 0 {
			o.FnRequests++
			inits = append(inits, l.InitMs)
			if o.FnRequests == *nth {
				o.RID, o.RIDLines, o.RIDFirst = l.RID, 1, f(l.TS)
			}
		}
		if bytes.Contains(l.Text, []byte(*common_)) {
			o.Common24h++
			if in {
				o.Common1h++
			}
		}
		if isRare {
			o.Rare24h++
			if in {
				o.Rare1h++
			}
		}
	}
	sort.Float64s(inits)
	if n := len(inits); n > 0 {
		o.InitLines, o.InitP50, o.InitP99 = n, inits[n/2], inits[n*99/100]
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", " ")
	die(e.Encode(o))
}

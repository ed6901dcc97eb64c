package loki

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coldscope/coldscope/query/logql/eval"
)

const (
	patternLines  = 10_000 // that are looked at, the newest ones
	maxPatterns   = 300
	maxWords      = 80  // of a line that has a pattern
	similar       = 0.6 // share of words in which lines of a pattern agree
	patternWindow = 10 * time.Second
)

// cluster is lines of the same number of words that agree in most of them.
type cluster struct {
	words  []string // "" where lines differ
	counts map[int64]int
	n      int
}

// patterns groups the newest lines by what they have in common.
func (a *API) patterns(r *http.Request) (any, error) {
	e, err := parsedLog(r)
	if err != nil {
		return nil, err
	}
	span, err := a.span(r)
	if err != nil {
		return nil, err
	}
	step := patternWindow
	if s := r.Form.Get("step"); s != "" {
		if step, err = parseSpan(s); err != nil {
			return nil, err
		}
		step = max(step, time.Second)
	}
	groups := map[int][]*cluster{} // by the number of words
	n := 0
	err = a.query(r, e).Logs(r.Context(), eval.LogQuery{Span: span, Backward: true, Limit: patternLines}, func(l eval.LogEntry) error {
		words := strings.Fields(l.Body)
		if len(words) == 0 || len(words) > maxWords {
			return nil
		}
		at := l.Time / int64(step) * int64(step) / int64(time.Second)
		c := closest(groups[len(words)], words)
		if c == nil {
			if n++; n > maxPatterns {
				return nil
			}
			c = &cluster{words: masked(words), counts: map[int64]int{}}
			groups[len(words)] = append(groups[len(words)], c)
		}
		c.add(words, at)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return data{"success", seriesOf(groups)}, nil
}

// masked are words without those that have digits, which mostly differ.
func masked(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		if !strings.ContainsAny(w, "0123456789") {
			out[i] = w
		}
	}
	return out
}

func closest(list []*cluster, words []string) *cluster {
	var best *cluster
	most := 0
	for _, c := range list {
		same := 0
		for i, w := range c.words {
			if w == words[i] || w == "" {
				same++
			}
		}
		if float64(same) >= similar*float64(len(words)) && same > most {
			best, most = c, same
		}
	}
	return best
}

func (c *cluster) add(words []string, at int64) {
	for i, w := range c.words {
		if w != words[i] {
			c.words[i] = ""
		}
	}
	c.counts[at]++
	c.n++
}

func (c *cluster) String() string {
	var b strings.Builder
	for i, w := range c.words {
		if w == "" {
			if i > 0 && c.words[i-1] == "" {
				continue // one stands for several
			}
			w = "<_>"
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w)
	}
	return b.String()
}

// patternSeries is how often lines of a pattern came.
type patternSeries struct {
	Pattern string     `json:"pattern"`
	Samples [][2]int64 `json:"samples"` // seconds since 1970, lines
}

// seriesOf gives the patterns, the most frequent first.
func seriesOf(groups map[int][]*cluster) []patternSeries {
	var all []*cluster
	for _, list := range groups {
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b *cluster) int {
		if a.n != b.n {
			return b.n - a.n
		}
		return strings.Compare(a.String(), b.String())
	})
	out := make([]patternSeries, len(all))
	for i, c := range all {
		out[i].Pattern = c.String()
		for at, n := range c.counts {
			out[i].Samples = append(out[i].Samples, [2]int64{at, int64(n)})
		}
		slices.SortFunc(out[i].Samples, func(a, b [2]int64) int { return int(a[0] - b[0]) })
	}
	return out
}

package runtimelog

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// JoinOptions say which whole lines of one stream belong together, and what a
// carriage return is. The zero value joins nothing and keeps all bytes.
type JoinOptions struct {
	// Multiline lists what is joined: the stack traces of go, java, python,
	// node, dotnet and ruby, each or all of them as traces; and glog, where a
	// line that does not begin as glog's and klog's do (and is not JSON)
	// belongs to the one before. Default none.
	Multiline []string `yaml:"multiline"`
	// Start and Continue are regular expressions (RE2) of one's own. Start
	// begins an entry; what follows belongs to it as long as it does not match
	// Start and, where that is set, matches Continue. With Continue alone, a
	// line that matches belongs to the line before. Such lines wait for the next.
	Start    string `yaml:"start"`
	Continue string `yaml:"continue"`
	// MaxLines is how many lines are joined at most. Default 500.
	MaxLines int `yaml:"max_lines"`
	// MaxBytes is how long an entry may become; a line that does not fit begins
	// the next. Default, and at most, the limit of a line.
	MaxBytes int `yaml:"max_bytes"`
	// Gap is the longest time between two lines of an entry, by the times of the
	// file's records. Default 1 s. A file that is quiet for twice as long ends an
	// entry too.
	Gap time.Duration `yaml:"gap"`
	// CarriageReturns is keep (the default: they stay in the line) or split:
	// what is between two of them is a line, empty ones are dropped, and one at
	// a line's end is no more than that.
	CarriageReturns string `yaml:"carriage_returns"`
}

// kind is what a group of lines is, or may be: a set of bits.
type kind uint16

const (
	goTrace kind = 1 << iota
	javaTrace
	pythonTrace
	nodeTrace
	dotnetTrace
	rubyTrace
	glogEntry
	customEntry
)

var kinds = map[string]kind{
	"go": goTrace, "java": javaTrace, "python": pythonTrace, "node": nodeTrace, "dotnet": dotnetTrace, "ruby": rubyTrace,
	"traces": goTrace | javaTrace | pythonTrace | nodeTrace | dotnetTrace | rubyTrace,
	"glog":   glogEntry,
}

const (
	defaultLines = 500
	defaultGap   = time.Second
	keepReturns  = "keep"
	splitReturns = "split"
)

// Validate tells all that is wrong with o, nil if nothing is.
func (o JoinOptions) Validate() error {
	_, err := o.Rules()
	return err
}

// Rules makes o ready for use: one for all Joiners. The error tells all that is
// wrong.
func (o JoinOptions) Rules() (*Rules, error) {
	r := &Rules{
		maxLines: o.MaxLines, maxBytes: o.MaxBytes, gap: o.Gap, split: o.CarriageReturns == splitReturns,
		maxOverlap: maxOverlap,
	}
	var errs []error
	for _, name := range o.Multiline {
		k, ok := kinds[name]
		if !ok {
			errs = append(errs, fmt.Errorf("multiline: %q is not one of %s", name,
				strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")))
		}
		r.kinds |= k
	}
	compile := func(key, pattern string) *regexp.Regexp {
		if pattern == "" {
			return nil
		}
		r.kinds |= customEntry
		re, err := regexp.Compile(pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
		return re
	}
	r.start, r.more = compile("start", o.Start), compile("continue", o.Continue)
	if o.MaxLines < 0 || o.MaxBytes < 0 {
		errs = append(errs, errors.New("max_lines, max_bytes: less than 0"))
	}
	if o.Gap < 0 {
		errs = append(errs, errors.New("gap: less than 0"))
	}
	if c := o.CarriageReturns; c != "" && c != keepReturns && c != splitReturns {
		errs = append(errs, fmt.Errorf("carriage_returns: %q is neither %s nor %s", c, keepReturns, splitReturns))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if r.maxLines == 0 {
		r.maxLines = defaultLines
	}
	if r.gap == 0 {
		r.gap = defaultGap
	}
	r.prepare()
	return r, nil
}

// Rules are JoinOptions ready for use. Any number of Joiners may share them.
type Rules struct {
	kinds       kind
	first       [256]kind // what a line with this first byte may begin
	start, more *regexp.Regexp
	maxLines    int
	maxBytes    int // 0: the limit of a line
	gap         time.Duration
	split       bool // at carriage returns
	maxOverlap  int
}

// maxOverlap is how many lines may pass while always some entry is open, one
// stream's or the other's. Then all are ended, so that the place in the file up
// to which it is done with does not stay behind for ever.
const maxOverlap = 1000

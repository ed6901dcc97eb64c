package pipeline

import (
	"net/netip"
	"strings"

	"github.com/coldscope/coldscope/query/logql"
)

// address finds addresses of a range in texts.
type address struct{ logql.IPRange }

// in says whether text has an address of the range in it.
func (r address) in(text string) bool {
	for i := 0; i < len(text); {
		if !addressByte[text[i]] {
			i++
			continue
		}
		from := i
		for i < len(text) && addressByte[text[i]] {
			i++
		}
		if i-from < 2 || from > 0 && wordByte(text[from-1]) || i < len(text) && wordByte(text[i]) {
			continue
		}
		if r.inRun(text[from:i]) {
			return true
		}
	}
	return false
}

// inRun looks into a run of the bytes that addresses are made of: an address,
// perhaps with punctuation or a port behind it.
func (r address) inRun(run string) bool {
	if r.First.Is4() {
		run = strings.Trim(run, ".:")
		if host, _, ok := strings.Cut(run, ":"); ok && strings.Count(run, ":") == 1 {
			run = host
		}
	} else {
		run = strings.TrimRight(run, ".")
		if strings.HasSuffix(run, ":") && !strings.HasSuffix(run, "::") {
			run = run[:len(run)-1]
		}
	}
	if len(run) < 2 || !strings.ContainsAny(run, ".:") {
		return false
	}
	a, err := netip.ParseAddr(run)
	return err == nil && r.Contains(a.Unmap().WithZone(""))
}

func wordByte(c byte) bool {
	return c >= 'g' && c <= 'z' || c >= 'G' && c <= 'Z' || c == '_'
}

var addressByte = func() (t [256]bool) {
	for _, c := range "0123456789abcdefABCDEF.:" {
		t[c] = true
	}
	return t
}()

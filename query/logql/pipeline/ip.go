package pipeline

import (
	"fmt"
	"net/netip"
	"strings"
)

// IPRange is an address, all of a CIDR prefix, or all from one address to another.
type IPRange struct{ from, to netip.Addr }

// ParseIPRange reads "192.0.2.1", "192.0.2.0/24", "192.0.2.1-192.0.2.9", or
// the same of IPv6.
func ParseIPRange(s string) (IPRange, error) {
	if from, to, ok := strings.Cut(s, "-"); ok {
		a, err := netip.ParseAddr(strings.TrimSpace(from))
		if err != nil {
			return IPRange{}, fmt.Errorf("range of addresses %q: %w", s, err)
		}
		b, err := netip.ParseAddr(strings.TrimSpace(to))
		if err != nil {
			return IPRange{}, fmt.Errorf("range of addresses %q: %w", s, err)
		}
		if a.BitLen() != b.BitLen() || b.Less(a) {
			return IPRange{}, fmt.Errorf("range of addresses %q: its end is not after its begin", s)
		}
		return IPRange{a, b}, nil
	}
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return IPRange{}, fmt.Errorf("prefix of addresses %q: %w", s, err)
		}
		p = p.Masked()
		return IPRange{p.Addr(), last(p)}, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return IPRange{}, fmt.Errorf("address %q: %w", s, err)
	}
	return IPRange{a, a}, nil
}

func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Contains says whether a is in r.
func (r IPRange) Contains(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return a.BitLen() == r.from.BitLen() && !a.Less(r.from) && !r.to.Less(a)
}

// In says whether text has an address of r in it.
func (r IPRange) In(text string) bool {
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
func (r IPRange) inRun(run string) bool {
	if r.from.Is4() {
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
	return err == nil && r.Contains(a)
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

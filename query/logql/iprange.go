package logql

import (
	"fmt"
	"net/netip"
	"strings"
)

// IPRange is the addresses from First to Last, both included.
type IPRange struct{ First, Last netip.Addr }

// ParseIPRange reads what ip() takes: an address, a range as
// 10.0.0.1-10.0.0.9 or a CIDR prefix.
func ParseIPRange(s string) (IPRange, error) {
	if first, last, ok := strings.Cut(s, "-"); ok {
		from, err := netip.ParseAddr(first)
		to, err2 := netip.ParseAddr(last)
		if err != nil || err2 != nil || from.Is4() != to.Is4() || to.Less(from) {
			return IPRange{}, fmt.Errorf("ip: %q is no range of addresses", s)
		}
		return IPRange{from, to}, nil
	}
	if prefix, err := netip.ParsePrefix(s); err == nil {
		return IPRange{prefix.Masked().Addr(), lastOf(prefix)}, nil
	}
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return IPRange{}, fmt.Errorf("ip: %q is no address, range of addresses or CIDR prefix", s)
	}
	return IPRange{addr, addr}, nil
}

// lastOf is the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	last, _ := netip.AddrFromSlice(b) // of as many bytes as the address
	return last
}

// Contains says whether a is in r. An IPv4 address is never in a range of IPv6.
func (r IPRange) Contains(a netip.Addr) bool {
	return a.Is4() == r.First.Is4() && !a.Less(r.First) && !r.Last.Less(a)
}

package probe

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// reply is one message of an answer.
func reply(kind uint16, flags uint16, seq uint32, body []byte) []byte {
	ne := binary.NativeEndian
	b := ne.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(body)))
	b = ne.AppendUint16(b, kind)
	b = ne.AppendUint16(b, flags)
	b = ne.AppendUint32(b, seq)
	b = ne.AppendUint32(b, 0)
	return append(b, body...)
}

func socketBody(family, state byte, port uint16, addr []byte, inode uint32) []byte {
	b := make([]byte, diagReplyLength)
	b[0], b[1] = family, state
	binary.BigEndian.PutUint16(b[4:], port)
	copy(b[8:], addr)
	binary.NativeEndian.PutUint32(b[68:], inode)
	return b
}

func TestParseReply(t *testing.T) {
	one := reply(sockDiagByFamily, unix.NLM_F_MULTI, 3, socketBody(unix.AF_INET, tcpListen, 9000, []byte{127, 0, 0, 1}, 7))
	connected := reply(sockDiagByFamily, unix.NLM_F_MULTI, 3, socketBody(unix.AF_INET6, 1, 9000, nil, 8))
	for name, c := range map[string]struct {
		in    []byte
		want  []listener
		done  bool
		errno unix.Errno
		bad   bool
	}{
		"a piece":           {in: one, want: []listener{{netip.MustParseAddrPort("127.0.0.1:9000"), 7}}},
		"connected":         {in: connected},
		"last":              {in: append(slices.Clone(one), reply(unix.NLMSG_DONE, 0, 3, make([]byte, 4))...), want: []listener{{netip.MustParseAddrPort("127.0.0.1:9000"), 7}}, done: true},
		"of another":        {in: reply(unix.NLMSG_DONE, 0, 2, make([]byte, 4))},
		"single":            {in: reply(sockDiagByFamily, 0, 3, socketBody(unix.AF_INET6, tcpListen, 9000, nil, 9)), want: []listener{{netip.MustParseAddrPort("[::]:9000"), 9}}, done: true},
		"error":             {in: reply(unix.NLMSG_ERROR, 0, 3, binary.NativeEndian.AppendUint32(nil, ^uint32(unix.ENOENT)+1)), done: true, errno: unix.ENOENT, bad: true},
		"cut":               {in: one[:40], bad: true},
		"short socket":      {in: reply(sockDiagByFamily, 0, 3, make([]byte, 20)), bad: true},
		"family of nothing": {in: reply(sockDiagByFamily, 0, 3, socketBody(99, tcpListen, 1, nil, 1)), bad: true},
	} {
		t.Run(name, func(t *testing.T) {
			var got []listener
			done, err := parseReply(c.in, 3, func(l listener) { got = append(got, l) })
			if done != c.done || (err != nil) != c.bad || c.errno != 0 && !errors.Is(err, c.errno) {
				t.Errorf("done %t, %v", done, err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestKernelAgrees: our two ways to read the kernel's sockets give the same, and the true ones.
func TestKernelAgrees(t *testing.T) {
	var lc net.ListenConfig
	want := map[netip.AddrPort]bool{}
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := lc.Listen(t.Context(), "tcp", addr)
		if err != nil {
			t.Skipf("no address %s here: %v", addr, err)
		}
		defer l.Close()
		want[l.Addr().(*net.TCPAddr).AddrPort()] = true
	}
	s, err := openDiag(make([]byte, replySize))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	dump, err := s.listeners(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := procListeners("/proc", 0); err == nil {
		t.Error("process 0 has sockets")
	}
	proc, err := procListeners("/proc", unix.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	held, err := sockets("/proc", unix.Getpid(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for addr := range want {
		at := func(l listener) bool { return l.addr == addr }
		a, b := slices.IndexFunc(dump, at), slices.IndexFunc(proc, at)
		if a < 0 || b < 0 || dump[a] != proc[b] || !held[dump[a].inode] {
			t.Errorf("%s is %d of the dump, %d of /proc", addr, a, b)
			continue
		}
		one, err := s.listeners(nil, addr.Port())
		if err != nil || len(one) == 0 {
			t.Errorf("filter by port: %v, %v", one, err)
		}
		for _, l := range one {
			if l.addr.Port() != addr.Port() {
				t.Errorf("the filter by port %d let %s pass", addr.Port(), l.addr)
			}
		}
	}
}

func FuzzReply(f *testing.F) {
	f.Add(reply(sockDiagByFamily, unix.NLM_F_MULTI, 3, socketBody(unix.AF_INET6, tcpListen, 9000, nil, 7)))
	f.Add(reply(unix.NLMSG_ERROR, 0, 3, []byte{1, 2, 3, 255}))
	f.Fuzz(func(t *testing.T, b []byte) {
		parseReply(b, 3, func(l listener) {
			if !l.addr.Addr().IsValid() {
				t.Error("invalid address")
			}
		})
	})
}

func FuzzProcNet(f *testing.F) {
	f.Add([]byte("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:2328 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0000000000000000 100 0 0 10 0\n"))
	f.Add([]byte("   0: 00000000000000000000000001000000:2328 0:0 0A a b c d e 12345\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, l := range parseProcNet(nil, b) {
			if !l.addr.IsValid() {
				t.Error("invalid address")
			}
		}
	})
}

func FuzzSocketInode(f *testing.F) {
	f.Add("socket:[12345]")
	f.Add("socket:[]]")
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := socketInode(s); ok && n == 0 {
			t.Errorf("%q is inode 0", s)
		}
	})
}

func TestText(t *testing.T) {
	var all []listener
	for _, a := range []string{"[::]:8080", "0.0.0.0:8080", "127.0.0.11:40001", "10.0.0.2:443"} {
		all = append(all, listener{addr: netip.MustParseAddrPort(a)})
	}
	if got := text(all); got != "10.0.0.2:443, *:8080" {
		t.Errorf("text is %q", got)
	}
	if d, _ := diagnose(all[2:3], []uint16{9000}); d != diagnosisNothing {
		t.Errorf("dockerd's own socket is diagnosed as %q", d)
	}
}

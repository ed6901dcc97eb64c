package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// listener is one listening TCP socket. Addr is the unspecified address for a
// wildcard one.
type listener struct {
	addr  netip.AddrPort
	inode uint32 // 0: not known
}

// diagSocket asks the kernel for the listening sockets of one network
// namespace: the one that its thread was in when it was opened. It is used by
// one goroutine at a time.
type diagSocket struct {
	fd  int
	seq uint32
	buf []byte // of the owner; shared by all its sockets
}

// The kernel's numbers (linux/sock_diag.h, linux/inet_diag.h, net/tcp_states.h).
const (
	sockDiagByFamily  = 20
	tcpListen         = 10
	diagRequestLength = 56 // struct inet_diag_req_v2
	diagReplyLength   = 72 // struct inet_diag_msg
	attrBytecode      = 1  // INET_DIAG_REQ_BYTECODE
	opSourceGE        = 2  // INET_DIAG_BC_S_GE
	opSourceLE        = 3  // INET_DIAG_BC_S_LE
)

// openDiag opens a socket in the calling thread's network namespace.
func openDiag(buf []byte) (*diagSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	return &diagSocket{fd: fd, buf: buf}, nil
}

func (s *diagSocket) close() { _ = unix.Close(s.fd) }

// wildcard looks up the socket that takes connections to any address at port.
// Of AF_INET it finds those of IPv6 that take IPv4 too. It is a look into a
// hash table, much cheaper than a dump, which walks all of it; but a socket
// that is bound to one address is not found.
func (s *diagSocket) wildcard(family byte, port uint16) (listener, bool, error) {
	req := s.request(family, 0, 0)
	binary.BigEndian.PutUint16(req[24:], port)
	var found listener
	ok := false
	err := s.ask(req, func(l listener) {
		if l.addr.Port() == port {
			found, ok = l, true
		}
	})
	if errors.Is(err, unix.ENOENT) {
		return listener{}, false, nil
	}
	return found, ok, err
}

// listeners appends every listening socket at port, at all ports if it is 0.
// The filter runs in the kernel, so that a namespace with thousands of sockets
// costs no more.
func (s *diagSocket) listeners(to []listener, port uint16) ([]listener, error) {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		err := s.ask(s.request(family, unix.NLM_F_DUMP, port), func(l listener) { to = append(to, l) })
		if errors.Is(err, unix.ENOENT) {
			continue // a kernel without this family
		}
		if err != nil {
			return to, err
		}
	}
	return to, nil
}

// request builds a netlink message. Only IPPROTO_TCP is asked for: a server
// that listens by MPTCP, as Go's do, has a TCP socket underneath.
func (s *diagSocket) request(family byte, flags uint16, port uint16) []byte {
	const base = unix.NLMSG_HDRLEN + diagRequestLength
	s.seq++
	req := make([]byte, base, base+28)
	ne := binary.NativeEndian
	ne.PutUint16(req[4:], sockDiagByFamily)
	ne.PutUint16(req[6:], unix.NLM_F_REQUEST|flags)
	ne.PutUint32(req[8:], s.seq)
	req[16] = family
	req[17] = unix.IPPROTO_TCP
	ne.PutUint32(req[20:], 1<<tcpListen)
	ne.PutUint64(req[64:], ^uint64(0)) // INET_DIAG_NOCOOKIE
	if port != 0 {
		// Two comparisons of the source port, each of two operations of four
		// bytes: {code, jump if true, jump if false}, {0, 0, operand}. A jump
		// to the end accepts, one beyond it refuses.
		req = ne.AppendUint16(req, unix.SizeofRtAttr+16)
		req = ne.AppendUint16(req, attrBytecode)
		for i, code := range []byte{opSourceGE, opSourceLE} {
			req = append(req, code, 8)
			req = ne.AppendUint16(req, uint16(20-8*i))
			req = append(req, 0, 0)
			req = ne.AppendUint16(req, port)
		}
	}
	ne.PutUint32(req, uint32(len(req)))
	return req
}

// ask sends a request and reads its answer. The kernel writes an answer while
// it takes the request, or the next piece of one while the last is read, so
// that nothing here waits.
func (s *diagSocket) ask(req []byte, each func(listener)) error {
	if err := unix.Sendto(s.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask for sockets: %w", err)
	}
	for {
		n, _, err := unix.Recvfrom(s.fd, s.buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("ask for sockets: %w", err)
		}
		done, err := parseReply(s.buf[:n], s.seq, each)
		if done || err != nil {
			return err
		}
	}
}

// parseReply decodes one datagram of an answer to request seq. Done says that
// it is the last one.
func parseReply(b []byte, seq uint32, each func(listener)) (done bool, err error) {
	ne := binary.NativeEndian
	for len(b) >= unix.NLMSG_HDRLEN {
		length := int(ne.Uint32(b))
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			return false, fmt.Errorf("parse answer: message of %d bytes in %d", length, len(b))
		}
		body := b[unix.NLMSG_HDRLEN:length]
		multi := ne.Uint16(b[6:])&unix.NLM_F_MULTI != 0
		if ne.Uint32(b[8:]) == seq { // else the rest of an answer that was given up
			switch ne.Uint16(b[4:]) {
			case unix.NLMSG_DONE:
				return true, nil
			case unix.NLMSG_ERROR:
				if len(body) < 4 {
					return false, errors.New("parse answer: short error")
				}
				if code := int32(ne.Uint32(body)); code < 0 {
					return true, fmt.Errorf("ask for sockets: %w", unix.Errno(-code))
				}
				return true, nil
			case sockDiagByFamily:
				l, ok, err := parseSocket(body)
				if err != nil {
					return false, err
				}
				if ok {
					each(l)
				}
				done = done || !multi
			}
		}
		b = b[min((length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(b)):]
	}
	return done, nil
}

// parseSocket decodes a struct inet_diag_msg; false: it does not listen.
func parseSocket(b []byte) (listener, bool, error) {
	if len(b) < diagReplyLength {
		return listener{}, false, fmt.Errorf("parse socket: %d bytes", len(b))
	}
	var addr netip.Addr
	switch b[0] {
	case unix.AF_INET:
		addr = netip.AddrFrom4([4]byte(b[8:]))
	case unix.AF_INET6:
		addr = netip.AddrFrom16([16]byte(b[8:])).Unmap()
	default:
		return listener{}, false, fmt.Errorf("parse socket: family %d", b[0])
	}
	l := listener{netip.AddrPortFrom(addr, binary.BigEndian.Uint16(b[4:])), binary.NativeEndian.Uint32(b[68:])}
	return l, b[1] == tcpListen, nil
}

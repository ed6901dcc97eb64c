package probe

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
)

// procListeners lists the listening sockets of the network namespace of pid
// from /proc/PID/net/tcp and tcp6, all ports of them. It needs no capability,
// and takes some 15 ms each time, since the kernel walks all of its tables.
func procListeners(proc string, pid int) (all []listener, err error) {
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		b, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), name))
		if errors.Is(err, fs.ErrNotExist) && name == "net/tcp6" {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("read sockets: %w", err)
		}
		all = parseProcNet(all, b)
	}
	return all, nil
}

// parseProcNet decodes /proc/net/tcp (proc(5)): in columns 2, 4 and 10 of a
// line stand local address, state and inode. Lines that are none are skipped.
func parseProcNet(to []listener, b []byte) []listener {
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) < 10 || string(f[3]) != "0A" {
			continue
		}
		addr, ok := parseHexAddr(string(f[1]))
		if !ok {
			continue
		}
		inode, err := strconv.ParseUint(string(f[9]), 10, 32)
		if err != nil {
			continue
		}
		to = append(to, listener{addr, uint32(inode)})
	}
	return to
}

// parseHexAddr decodes "0100007F:2328": words of four bytes in the host's order.
func parseHexAddr(s string) (netip.AddrPort, bool) {
	host, port, _ := bytes.Cut([]byte(s), []byte(":"))
	raw, err := hex.DecodeString(string(host))
	if err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	p, err := strconv.ParseUint(string(port), 16, 16)
	if err != nil {
		return netip.AddrPort{}, false
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(p)), true
}

package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// trace tells when a process of the host begins to listen.
//
// It is a BPF program of a dozen instructions at the raw tracepoint
// inet_sock_set_state (since Linux 4.16): its third argument is the new state.
// A raw tracepoint needs neither tracefs nor field offsets nor BTF, since the
// program looks at nothing else: which port it is, the prober sees by itself.
// An MPTCP listener is told three times.
type trace struct {
	ring   *ebpf.Map
	prog   *ebpf.Program
	link   link.Link
	reader *ringbuf.Reader
}

const traceRingBytes = 64 << 10

// openTrace needs CAP_BPF and CAP_PERFMON (or CAP_SYS_ADMIN) and Linux 5.8.
func openTrace() (t *trace, err error) {
	t = &trace{}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	// Kernels before 5.11 count maps against RLIMIT_MEMLOCK. If it cannot be
	// raised, making the map says so.
	_ = rlimit.RemoveMemlock()
	t.ring, err = ebpf.NewMap(&ebpf.MapSpec{Name: "cs_listen", Type: ebpf.RingBuf, MaxEntries: traceRingBytes})
	if err != nil {
		return t, fmt.Errorf("make ring buffer: %w", err)
	}
	t.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "cs_listen", Type: ebpf.RawTracepoint, License: "Apache-2.0", Instructions: traceProgram(t.ring.FD()),
	})
	if err != nil {
		return t, fmt.Errorf("load program: %w", err)
	}
	t.link, err = link.AttachRawTracepoint(link.RawTracepointOptions{Name: "inet_sock_set_state", Program: t.prog})
	if err != nil {
		return t, fmt.Errorf("attach to tracepoint: %w", err)
	}
	t.reader, err = ringbuf.NewReader(t.ring)
	if err != nil {
		return t, fmt.Errorf("read ring buffer: %w", err)
	}
	return t, nil
}

// traceProgram writes {monotonic nanoseconds, process ID} for each socket that begins to listen.
func traceProgram(ring int) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 16, asm.DWord), // (sk, oldstate, newstate)
		asm.JNE.Imm32(asm.R2, tcpListen, "out"),
		asm.FnKtimeGetNs.Call(),
		asm.StoreMem(asm.RFP, -16, asm.R0, asm.DWord),
		asm.FnGetCurrentPidTgid.Call(),
		asm.RSh.Imm(asm.R0, 32),
		asm.StoreMem(asm.RFP, -8, asm.R0, asm.DWord),
		asm.LoadMapPtr(asm.R1, ring),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -16),
		asm.Mov.Imm(asm.R3, 16),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnRingbufOutput.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
		asm.Return(),
	}
}

// close gives back what the kernel holds; of errors nothing would follow. It may be called while read waits, which then ends with os.ErrClosed.
func (t *trace) close() {
	if t.reader != nil {
		_ = t.reader.Close()
	}
	if t.link != nil {
		_ = t.link.Close()
	}
	if t.prog != nil {
		_ = t.prog.Close()
	}
	if t.ring != nil {
		_ = t.ring.Close()
	}
}

// read waits for the next process that listens and when it began to.
func (t *trace) read(rec *ringbuf.Record) (pid int, at time.Time, err error) {
	if err := t.reader.ReadInto(rec); err != nil {
		return 0, time.Time{}, err
	}
	if len(rec.RawSample) < 16 {
		return 0, time.Time{}, errors.New("short record")
	}
	ktime := int64(binary.NativeEndian.Uint64(rec.RawSample))
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, time.Time{}, os.NewSyscallError("clock_gettime", err)
	}
	at = time.Now().Add(time.Duration(ktime - now.Nano()))
	return int(binary.NativeEndian.Uint64(rec.RawSample[8:])), at, nil
}

package cgroup

import (
	"time"

	"golang.org/x/sys/unix"
)

// touch takes n bytes, each page of them, and gives them back to the kernel.
func touch(n int) error {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	for i := 0; i < n; i += 4096 {
		b[i] = 1
	}
	return unix.Munmap(b)
}

// burn uses d of CPU time, however much the machine has to do besides.
func burn(d time.Duration) {
	var begin, now unix.Timespec
	unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &begin)
	for now = begin; time.Duration(now.Nano()-begin.Nano()) < d; {
		unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now)
	}
}

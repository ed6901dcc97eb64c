package containerd

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticks is how many of /proc's clock ticks make a second: USER_HZ, which is
// 100 on every Linux.
const ticks = 100

// processStart is when a process was started, to a hundredth of a second, by
// a clock that says now; or else the fallback, if it is no more.
func processStart(pid int, now, fallback time.Time) time.Time {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return fallback
	}
	since, ok := startTicks(string(raw))
	var boot unix.Timespec
	if !ok || unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) != nil {
		return fallback
	}
	age := time.Duration(boot.Nano()) - time.Duration(since)*time.Second/ticks
	if age < 0 {
		return fallback
	}
	return now.Add(-age)
}

// startTicks reads the 22nd field of /proc/PID/stat (proc(5)): ticks from the
// host's start to the process'. The second field, in parentheses, may hold
// anything.
func startTicks(stat string) (uint64, bool) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, false
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(fields[19], 10, 63)
	return n, err == nil
}

package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// memberships are the lines of /proc/PID/cgroup: controller to path. The
// version 2 tree's controller is the empty string.
type memberships map[string]string

// Name names the groups of a process, as far as memory, CPU time and the version 2 tree
// go: all processes of a container have the same.
func (t Tree) Name(pid int) (string, error) {
	m, err := t.memberships(strconv.Itoa(pid))
	if err != nil {
		return "", err
	}
	return m["memory"] + "\n" + m["cpuacct"] + "\n" + m[""], nil
}

func (t Tree) memberships(pid string) (memberships, error) {
	b, err := os.ReadFile(filepath.Join(t.proc(), pid, "cgroup"))
	if err != nil {
		return nil, fmt.Errorf("find control group: %w", err)
	}
	m, err := parseMemberships(b)
	if err != nil {
		return nil, fmt.Errorf("find control group of process %s: %w", pid, err)
	}
	return m, nil
}

// parseMemberships decodes /proc/PID/cgroup: "ID:CONTROLLER,…:PATH" a line.
func parseMemberships(b []byte) (memberships, error) {
	m := memberships{}
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 || !strings.HasPrefix(parts[2], "/") {
			return nil, fmt.Errorf("malformed line %q", line)
		}
		// A process whose group was removed under it.
		path := strings.TrimSuffix(parts[2], " (deleted)")
		if slices.Contains(strings.Split(path, "/"), "..") {
			return nil, fmt.Errorf("path %q is outside this cgroup namespace: run the collector in the host's", path)
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			m[c] = path
		}
	}
	return m, nil
}

// own reports whether any of the groups is not the root and not one of other's.
func (m memberships) own(other memberships) bool {
	for c, path := range m {
		if distinct(path, other, c) {
			return true
		}
	}
	return false
}

func (m memberships) String() string {
	var parts []string
	for c, path := range m {
		parts = append(parts, c+":"+path)
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

// distinct reports whether path is a container's group: neither the root nor
// the collector's own.
func distinct(path string, own memberships, controller string) bool {
	return path != "/" && path != own[controller]
}

// parseNumber decodes a file of one number. What version 1 prints for "no
// limit" and larger ones are not usage.
func parseNumber(b []byte) (int64, error) {
	n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("parse number: %w", err)
	}
	if n < 0 {
		return 0, errors.New("parse number: negative")
	}
	return n, nil
}

// field decodes a flat keyed file, "KEY NUMBER" a line, and gives one key's.
// A key that this kernel does not have is 0.
func field(key string) func([]byte) (int64, error) {
	return func(b []byte) (int64, error) {
		for line := range bytes.Lines(b) {
			if k, v, ok := bytes.Cut(line, []byte(" ")); ok && string(k) == key {
				return parseNumber(v)
			}
		}
		return 0, nil
	}
}

// parseUsageUsec decodes cpu.stat to nanoseconds.
func parseUsageUsec(b []byte) (int64, error) {
	n, err := field("usage_usec")(b)
	if n > math.MaxInt64/1000 {
		return 0, errors.New("parse cpu.stat: number out of range")
	}
	return n * 1000, err
}

// parsePIDs decodes cgroup.procs. A 0 is a process outside our PID namespace.
func parsePIDs(b []byte) []int {
	var pids []int
	for line := range bytes.Lines(b) {
		if n, err := strconv.Atoi(string(bytes.TrimSpace(line))); err == nil && n > 0 {
			pids = append(pids, n)
		}
	}
	return pids
}

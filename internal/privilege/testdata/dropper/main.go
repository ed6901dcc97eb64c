// Command dropper shows what privilege does to all threads of a process: it
// prints the lines of /proc/self/task/*/status that matter, drops all
// capabilities but those whose numbers are its arguments, prints them again,
// and then what a process has that it starts. With the argument cgroup it
// enters the control group namespace of process 1 of the directory in
// DROPPER_PROC first.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/coldscope/coldscope/internal/privilege"
)

func main() {
	var keep []int
	for _, arg := range os.Args[1:] {
		if arg == "cgroup" {
			moved, err := privilege.EnterCgroupNamespace(os.Getenv("DROPPER_PROC"))
			fmt.Fprintln(os.Stdout, "moved", moved, err)
			continue
		}
		n, err := strconv.Atoi(arg)
		if err != nil {
			panic(err)
		}
		keep = append(keep, n)
	}
	stop := threads()
	show("before")
	left, err := privilege.Drop(privilege.SetOf(keep...))
	show("after")
	stop()
	fmt.Fprintln(os.Stdout, "left", left, err)
	f, err := os.Open("/etc/shadow")
	fmt.Fprintln(os.Stdout, "shadow", err)
	f.Close()
	child := exec.CommandContext(context.Background(), "/bin/grep", "CapEff", "/proc/self/status")
	out, err := child.Output()
	fmt.Fprintf(os.Stdout, "child %s %v\n", strings.Join(strings.Fields(string(out)), " "), err)
}

// threads keeps some threads busy: locked ones, and ones that wait in the kernel.
func threads() (stop func()) {
	var running, ended sync.WaitGroup
	end := make(chan struct{})
	var pipes []io.Closer
	for range 4 {
		running.Add(1)
		ended.Go(func() {
			runtime.LockOSThread()
			running.Done()
			<-end
		})
		in, out, err := os.Pipe()
		if err != nil {
			panic(err)
		}
		in.Fd() // blocking: the read holds its thread
		pipes = append(pipes, out)
		running.Add(1)
		ended.Go(func() {
			running.Done()
			_, _ = in.Read(make([]byte, 1))
		})
	}
	running.Wait()
	return func() {
		close(end)
		for _, p := range pipes {
			_ = p.Close()
		}
		ended.Wait()
	}
}

func show(when string) {
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		panic(err)
	}
	for _, task := range tasks {
		f, err := os.Open(filepath.Join(task, "status"))
		if err != nil {
			continue // it has ended
		}
		fmt.Fprint(os.Stdout, when)
		for s := bufio.NewScanner(f); s.Scan(); {
			key, value, _ := strings.Cut(s.Text(), ":")
			if strings.HasPrefix(key, "Cap") || key == "NoNewPrivs" {
				fmt.Fprint(os.Stdout, " ", key, "=", strings.TrimSpace(value))
			}
		}
		f.Close()
		group, err := os.Readlink(filepath.Join(task, "ns/cgroup"))
		fmt.Fprintln(os.Stdout, " cgroup="+group, err)
	}
}

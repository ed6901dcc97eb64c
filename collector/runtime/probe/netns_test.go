package probe

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// foreignThreads lists our threads that are in another network namespace than
// the test is.
func foreignThreads(t *testing.T, own string) (foreign []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil || len(links) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	for _, link := range links {
		ns, err := os.Readlink(link)
		if err == nil && ns != own {
			foreign = append(foreign, link)
		}
	}
	return foreign
}

// TestThreads: however often a namespace is entered, no other goroutine is ever in it.
func TestThreads(t *testing.T) {
	f := startFunction(t, server{}, false)
	own, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	ns, err := openNetns("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.close()

	stop := make(chan struct{})
	var bystanders, entering sync.WaitGroup
	for range 8 {
		bystanders.Go(func() {
			for {
				if now, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || now != own {
					t.Errorf("a goroutine is in %s, %v", now, err)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 4 {
		entering.Go(func() {
			for range 100 {
				s, host, err := ns.open(f.process.PID, make([]byte, replySize))
				if err != nil || host {
					t.Errorf("open: %t, %v", host, err)
					return
				}
				s.close()
			}
		})
	}
	entering.Wait()
	close(stop)
	bystanders.Wait()
	if foreign := foreignThreads(t, own); foreign != nil {
		t.Errorf("threads %v stayed in a foreign namespace", foreign)
	}
}

// TestThreadThatCannotGoBack ends.
func TestThreadThatCannotGoBack(t *testing.T) {
	f := startFunction(t, server{}, false)
	own, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	nowhere, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer nowhere.Close()
	broken := &netns{proc: "/proc", own: nowhere}
	for range 20 {
		s, _, err := broken.open(f.process.PID, make([]byte, replySize))
		if err != nil {
			t.Fatal(err)
		}
		s.close()
	}
	for begin := time.Now(); ; <-time.After(time.Millisecond) {
		foreign := foreignThreads(t, own)
		if foreign == nil {
			return
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("threads %v live on in a foreign namespace", foreign)
		}
	}
}

func TestNoSuchProcess(t *testing.T) {
	ns, err := openNetns("/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.close()
	const beyond = 1 << 22 // every pid_max
	if _, _, err := ns.open(beyond+1, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}

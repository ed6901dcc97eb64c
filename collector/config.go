package collector

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coldscope/coldscope/collector/discover"
	"github.com/coldscope/coldscope/collector/redact"
	"github.com/coldscope/coldscope/collector/runtime"
	"github.com/coldscope/coldscope/collector/runtimelog"
	"github.com/coldscope/coldscope/internal/workload"
)

// Config is the collector's section of the configuration. The zero value works
// on a host with Docker or Kubernetes.
type Config struct {
	// DataDir is the collector's own directory: checkpoint, journal, dead
	// letters. Default /var/lib/coldscope/collector.
	DataDir string `yaml:"data_dir"`
	// Socket is the Unix socket that takes events. Default DataDir/events.sock.
	Socket string `yaml:"socket"`
	// Host names this host in all that is shipped, and in the names of its events:
	// it stays the same over restarts. Default: the environment's NODE_NAME, which
	// a pod has to be given, else the host name.
	Host string `yaml:"host"`
	// CRI are directories in kubelet's layout
	// (<namespace>_<pod>_<uid>/<container>/<n>.log). Default /var/log/pods; an
	// empty list means none.
	CRI []string `yaml:"cri"`
	// Docker are directories of Docker's containers, with logs of the json-file
	// or the local driver. Default /var/lib/docker/containers, and what the
	// daemon says of its own; an empty list means none.
	Docker []string `yaml:"docker"`

	dockerByDefault bool // Docker was not set
	// Files are log files at other places.
	Files []discover.Files `yaml:"files"`
	// Mapping says which containers run functions and what these are called.
	Mapping workload.Options `yaml:"mapping"`
	// Runtimes says which container runtimes are watched for what happens to
	// instances.
	Runtimes runtime.Config `yaml:"runtimes"`
	// Tenant owns what does not say whose it is. Default "default".
	Tenant string `yaml:"tenant"`
	// ScanInterval is the time between two looks at the directories. Default
	// 5 s where the kernel tells of new files, else 250 ms; it grows where a look
	// takes long.
	ScanInterval time.Duration `yaml:"scan_interval"`
	// PollInterval is how often a file that is being written to is read. Default
	// 40 ms.
	PollInterval time.Duration `yaml:"poll_interval"`
	// PartialTimeout is how long a file is quiet before a line without its end
	// is taken as it is. Default 5 s.
	PartialTimeout time.Duration `yaml:"partial_timeout"`
	// LineBytes is the longest body of a line; what is behind it is cut and
	// counted. Default 1 MiB.
	LineBytes int `yaml:"line_bytes"`
	// Lines says which lines belong together, and what a carriage return is.
	Lines runtimelog.JoinOptions `yaml:"lines"`
	// Redact says which credentials are taken out of lines and events. Its
	// key_file is DataDir/redact.key by default.
	Redact redact.Options `yaml:"redact"`
	// LateAfter is how old a line is when it is read, so that it counts as late.
	// Default 30 s.
	LateAfter time.Duration `yaml:"late_after"`
	// BatchBytes and BatchAge say when a batch is sent. Default 1 MiB, 5 ms; a
	// batch is older where others are on their way already.
	BatchBytes int64         `yaml:"batch_bytes"`
	BatchAge   time.Duration `yaml:"batch_age"`
	// InFlight is how many batches of one tenant are on their way. Default 8.
	InFlight int `yaml:"in_flight"`
	// Failover is how long a target has to be down until its instances go to
	// others. Default 0: never, they wait.
	Failover time.Duration `yaml:"failover"`
	// MaxUnacknowledged bounds the bytes in memory that the sink has not
	// acknowledged; at the bound reading waits. Default 16 MiB, of which one
	// tenant alone gets half.
	MaxUnacknowledged int64 `yaml:"max_unacknowledged"`
	// PinnedBytes bounds what deleted files may hold on disk until they are
	// stored; above it the longest deleted are given up, which is counted and
	// shown as a gap. Default 4 GiB.
	PinnedBytes int64 `yaml:"pinned_bytes"`
	// SpoolBytes bounds copies of deleted files that are not stored yet, which
	// survive a restart of the collector. Default 0: none are made.
	SpoolBytes int64 `yaml:"spool_bytes"`
	// SpoolAge is how old such a copy may become. Default 24 h.
	SpoolAge time.Duration `yaml:"spool_age"`
	// JournalBytes bounds the journal on disk; at the bound events are answered
	// 429. Default 1 GiB.
	JournalBytes int64 `yaml:"journal_bytes"`
	// DeadLetterBytes bounds the dead-letter file and its predecessor, each.
	// Default 64 MiB.
	DeadLetterBytes int64 `yaml:"dead_letter_bytes"`
	// StopTimeout is how long a stop waits for acknowledgements. What is not
	// acknowledged then is read again after the start. Default 5 s.
	StopTimeout time.Duration `yaml:"stop_timeout"`
}

func orElse[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// WithDefaults gives the settings that are used where c has none.
func (c Config) WithDefaults() Config {
	orElse(&c.DataDir, "/var/lib/coldscope/collector")
	orElse(&c.Socket, filepath.Join(c.DataDir, "events.sock"))
	orElse(&c.Host, os.Getenv("NODE_NAME"))
	if c.Host == "" {
		c.Host, _ = os.Hostname() // Validate speaks up if there is none
	}
	if c.CRI == nil {
		c.CRI = []string{"/var/log/pods"}
	}
	if c.Docker == nil {
		c.dockerByDefault = true
		c.Docker = []string{"/var/lib/docker/containers"}
	}
	orElse(&c.Tenant, "default")
	orElse(&c.Mapping.Tenant, c.Tenant)
	if c.Runtimes.NodeName == "" {
		c.Runtimes.NodeName = os.Getenv("NODE_NAME")
	}
	if c.Redact.Key == "" {
		orElse(&c.Redact.KeyFile, filepath.Join(c.DataDir, "redact.key"))
	}
	orElse(&c.PollInterval, 40*time.Millisecond)
	orElse(&c.PartialTimeout, 5*time.Second)
	orElse(&c.LineBytes, 1<<20)
	orElse(&c.LateAfter, 30*time.Second)
	orElse(&c.BatchBytes, 1<<20)
	orElse(&c.BatchAge, 5*time.Millisecond)
	orElse(&c.InFlight, 8)
	orElse(&c.MaxUnacknowledged, 16<<20)
	orElse(&c.PinnedBytes, 4<<30)
	orElse(&c.SpoolAge, 24*time.Hour)
	orElse(&c.JournalBytes, 1<<30)
	orElse(&c.DeadLetterBytes, 64<<20)
	orElse(&c.StopTimeout, 5*time.Second)
	return c
}

// Validate tells all that is wrong with c, nil if nothing is.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("collector.%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if c.Host == "" {
		bad("host", "this host has no name, set one")
	}
	for key, roots := range map[string][]string{"cri": c.CRI, "docker": c.Docker} {
		for _, root := range roots {
			if !filepath.IsAbs(root) {
				bad(key, "%q is not an absolute path", root)
			}
		}
	}
	for i, f := range c.Files {
		if err := f.Validate(); err != nil {
			bad(fmt.Sprintf("files[%d]", i), "%s", err)
		}
	}
	section := func(prefix string, err error) {
		if err == nil {
			return
		}
		for line := range strings.SplitSeq(err.Error(), "\n") {
			key, what, _ := strings.Cut(line, ": ")
			bad(prefix+key, "%s", what)
		}
	}
	section("", c.Mapping.Validate())
	section("runtimes.", c.Runtimes.Validate())
	section("lines.", c.Lines.Validate())
	section("redact.", c.Redact.Validate())
	for key, d := range map[string]time.Duration{
		"poll_interval": c.PollInterval, "partial_timeout": c.PartialTimeout, "late_after": c.LateAfter,
		"batch_age": c.BatchAge, "stop_timeout": c.StopTimeout, "spool_age": c.SpoolAge,
	} {
		if d < time.Millisecond {
			bad(key, "%s is too short, at least 1ms", d)
		}
	}
	if c.ScanInterval != 0 && c.ScanInterval < time.Millisecond {
		bad("scan_interval", "%s is too short, at least 1ms", c.ScanInterval)
	}
	if c.Failover < 0 || c.Failover > 0 && c.Failover < time.Second {
		bad("failover", "%s is too short, at least 1s", c.Failover)
	}
	const maxLine, maxBatch = 8 << 20, 16 << 20 // a push of a batch and a line has to stay under wire's limits
	if c.LineBytes < 1024 || c.LineBytes > maxLine {
		bad("line_bytes", "%d is not between 1024 and %d", c.LineBytes, maxLine)
	}
	if c.BatchBytes < 1024 || c.BatchBytes > maxBatch {
		bad("batch_bytes", "%d is not between 1024 and %d", c.BatchBytes, maxBatch)
	}
	if c.InFlight < 1 || c.InFlight > 64 {
		bad("in_flight", "%d is not between 1 and 64", c.InFlight)
	}
	for key, n := range map[string]int64{
		"max_unacknowledged": c.MaxUnacknowledged, "journal_bytes": c.JournalBytes, "dead_letter_bytes": c.DeadLetterBytes,
		"pinned_bytes": c.PinnedBytes,
	} {
		if n < 1<<20 {
			bad(key, "%d is less than 1 MiB", n)
		}
	}
	if c.SpoolBytes < 0 {
		bad("spool_bytes", "%d is negative; 0 is for no spool", c.SpoolBytes)
	}
	return errors.Join(errs...)
}

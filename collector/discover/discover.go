// Package discover finds container log files and says whose they are. It looks
// at the directories themselves, again and again: what is there is the truth.
// Every generation of a log is opened the moment it is seen and stays open, so
// that neither rotation nor removal can take away what was not read yet.
package discover

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// Kind is whose layout a file was found in.
type Kind uint8

// The kinds.
const (
	CRI     Kind = iota + 1 // <root>/<namespace>_<pod>_<uid>/<container>/<n>.log
	Docker                  // <root>/<id>/<id>-json.log, with config.v2.json beside it
	Journal                 // <root>/<number>.log
)

// Container is one container's log: generations of one file after each other.
type Container struct {
	Kind  Kind
	Key   string // its directory
	Owner string // the container's or instance's ID, for the files' IDs
	Ref   faas.Ref
}

// Generation is one generation of a container's log.
type Generation struct {
	Container *Container
	Path      string   // under which it was found
	File      *os.File // belongs to who gets it, until Forget and Close
	inode     inode
}

type inode struct{ dev, ino uint64 }

// Options say where to look. A root that does not exist (yet) is empty.
type Options struct {
	CRI        []string // roots of kubelet's layout
	Docker     []string // roots of Docker's containers
	Journal    string   // the collector's own journal; empty: none
	Tenant     string   // of containers that do not say theirs
	Unlabelled bool     // take Docker containers without a function label too
}

// settled is how long a directory must have been quiet before its modification
// time is believed: time stamps are coarse.
const settled = time.Second

// Scanner finds generations. Scan is for one goroutine; Forget for any.
type Scanner struct {
	opts Options
	dirs map[string]*dir // what the last scan saw
	now  func() time.Time

	mu    sync.Mutex
	known map[inode]struct{} // generations that were handed out
}

// dir is a directory as it was last read.
type dir struct {
	modified  time.Time
	names     []string
	believed  bool       // modified says whether names are still right
	container *Container // of a leaf, once it is known
	ignored   bool       // a leaf that nobody wants
}

// New makes a Scanner.
func New(opts Options) *Scanner {
	return &Scanner{opts: opts, dirs: map[string]*dir{}, now: time.Now, known: map[inode]struct{}{}}
}

// Forget says that g is done with: deleted and read. It has to be called
// before its file is closed, since its inode is free for others then.
func (s *Scanner) Forget(g *Generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, g.inode)
}

// Scan hands over all generations that are new since the last scan, of each
// container oldest first. With full it reads every directory; otherwise those
// whose modification time has changed. An error tells what could not be read;
// the rest was done, and the next scan tries again.
func (s *Scanner) Scan(full bool, found func(*Generation)) error {
	if full {
		for _, d := range s.dirs {
			d.believed = false
		}
	}
	sc := scan{Scanner: s, found: found, seen: map[string]struct{}{}}
	if s.opts.Journal != "" {
		sc.leaf(s.opts.Journal, s.journalContainer, journalOrder)
	}
	for _, root := range s.opts.CRI {
		sc.cri(root)
	}
	for _, root := range s.opts.Docker {
		sc.docker(root)
	}
	for path := range s.dirs {
		if _, ok := sc.seen[path]; !ok {
			delete(s.dirs, path)
		}
	}
	return errors.Join(sc.errs...)
}

// scan is one pass.
type scan struct {
	*Scanner
	found func(*Generation)
	seen  map[string]struct{}
	errs  []error
}

func (sc *scan) fail(err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		sc.errs = append(sc.errs, err)
	}
}

// read gives path's directory; changed is false if it is as it was before. It
// is nil if it is not there.
func (sc *scan) read(path string) (d *dir, changed bool) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		sc.fail(err)
		return nil, false
	}
	sc.seen[path] = struct{}{}
	d = sc.dirs[path]
	if d == nil {
		d = new(dir)
		sc.dirs[path] = d
	}
	if d.believed && d.modified.Equal(info.ModTime()) {
		return d, false
	}
	now := sc.now()
	names, err := readNames(path)
	if err != nil {
		sc.fail(err)
		return nil, false
	}
	d.names, d.modified = names, info.ModTime()
	// A change in the same tick of the clock would not show in the time.
	d.believed = now.Sub(d.modified) > settled
	return d, true
}

func readNames(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// leaf looks for generations in a directory with log files. identify says
// whose they are, order which names are generations, and in which order.
func (sc *scan) leaf(path string, identify func(string) (*Container, error), order func(dir, name string) (rank, bool)) {
	for range 3 { // a rotation between listing and opening makes us miss one
		d, changed := sc.read(path)
		if d == nil || !changed || d.ignored {
			return
		}
		if d.container == nil {
			c, err := identify(path)
			if err != nil {
				sc.fail(err)
				d.believed = false
				return
			}
			if c == nil {
				d.ignored = true
				return
			}
			d.container = c
		}
		if !sc.open(path, d, order) {
			return
		}
		d.believed = false
	}
}

// open hands over the directory's generations that are not known, and reports
// whether there were any.
func (sc *scan) open(path string, d *dir, order func(dir, name string) (rank, bool)) bool {
	type candidate struct {
		name string
		rank rank
	}
	var files []candidate
	for _, name := range d.names {
		if r, ok := order(path, name); ok {
			files = append(files, candidate{name, r})
		}
	}
	slices.SortFunc(files, func(a, b candidate) int { return a.rank.compare(b.rank) })
	found := false
	for _, f := range files {
		g, err := sc.generation(filepath.Join(path, f.name))
		if err != nil {
			sc.fail(err)
			d.believed = false
		}
		if g != nil {
			g.Container = d.container
			found = true
			sc.found(g)
		}
	}
	return found
}

// generation opens the file at path if it is not known; nil if it is.
func (sc *scan) generation(path string) (*Generation, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || sc.isKnown(inodeOf(info)) {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	// Only the open file says what it is.
	if info, err = f.Stat(); err != nil {
		f.Close()
		return nil, fmt.Errorf("stat %s: %w", path, err)
	}
	id := inodeOf(info)
	if !info.Mode().IsRegular() || sc.isKnown(id) {
		f.Close()
		return nil, nil
	}
	sc.mu.Lock()
	sc.known[id] = struct{}{}
	sc.mu.Unlock()
	return &Generation{Path: path, File: f, inode: id}, nil
}

func (s *Scanner) isKnown(id inode) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.known[id]
	return ok
}

func inodeOf(info fs.FileInfo) inode {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		return inode{sys.Dev, sys.Ino}
	}
	return inode{}
}

// rank orders generations, oldest first.
type rank struct {
	run     int64  // CRI: the container's restarts; Docker: minus the number of rotations
	current bool   // not rotated
	rotated string // CRI: when it was rotated
}

func (r rank) compare(o rank) int {
	if c := cmp.Compare(r.run, o.run); c != 0 {
		return c
	}
	if r.current != o.current {
		if r.current {
			return 1
		}
		return -1
	}
	return strings.Compare(r.rotated, o.rotated)
}

func (s *Scanner) journalContainer(path string) (*Container, error) {
	return &Container{Kind: Journal, Key: path, Owner: "journal"}, nil
}

// journalOrder takes 00000001.log.
func journalOrder(_, name string) (rank, bool) {
	n, err := strconv.ParseInt(strings.TrimSuffix(name, ".log"), 10, 64)
	return rank{run: n}, err == nil && strings.HasSuffix(name, ".log")
}

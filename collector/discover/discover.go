// Package discover finds container log files and says whose they are. It looks
// at the directories themselves, again and again: what is there is the truth,
// and hints of the kernel only make it look earlier. Every generation of a log
// is opened the moment it is seen and stays open, so that neither rotation nor
// removal can take away what was not read yet.
package discover

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// Format is how a log file's records are written.
type Format uint8

// The formats.
const (
	CRI      Format = iota + 1 // <time> <stream> <P|F> <text>
	JSONFile                   // Docker's json-file driver
	Local                      // Docker's local driver
	Plain                      // lines of text and nothing else
	Journal                    // the collector's own
)

// Container is one log: generations of one file after each other, mostly of a
// container.
type Container struct {
	Key   string // names the log on this host: its directory, or its path
	Owner string // the container's or instance's ID, for the files' IDs
	ID    string // the container's, where the layout tells
	Ref   faas.Ref
}

// Generation is one generation of a log.
type Generation struct {
	Container  *Container
	Format     Format
	Compressed bool     // with gzip
	Rotated    bool     // not the file that is written to
	Run        int64    // of the container, where each has files of its own
	Path       string   // under which it was found
	File       *os.File // belongs to who gets it, until Forget and Close
	Dev, Inode uint64
	Saved      *Saved // of a piece in the spool
}

// Options say where to look. A root that does not exist (yet) is empty.
type Options struct {
	CRI     []string // roots of kubelet's layout
	Docker  []string // roots of Docker's containers
	Files   []Files  // other log files
	Journal string   // the collector's own journal; empty: none
	Spool   string   // pieces of logs that were saved from removal; empty: none
	Tenant  string   // of Files that do not say theirs

	// MoreDocker gives another root of Docker's containers, once somebody knows
	// it; empty until then. May be nil.
	MoreDocker func() string

	// Whose says whose a container is; false if nobody wants its log.
	Whose func(*workload.Container) (faas.Ref, bool)
	// Known gives what a runtime knows of a pod's container; nil if no runtime
	// is asked. A log of a pod of kubelet's whose container it does not know
	// waits for at most Wait.
	Known func(podUID, name string) (*workload.Container, bool)
	Wait  time.Duration
	// Watch is told every directory in which new names matter; may be nil.
	Watch func(dir string)
}

// settled is how long a directory must have been quiet before its modification
// time is believed: time stamps are coarse.
const settled = time.Second

// Scanner finds generations. Scan and Look are for one goroutine; Forget for any.
type Scanner struct {
	opts  Options
	files []filePattern
	dirs  map[place]*dir // what the last scan saw
	// awaited looks again at roots that are not there yet, by the nearest
	// directory above that is.
	awaited map[string][]func(*scan)
	now     func() time.Time

	mu    sync.Mutex
	known map[inode]struct{} // generations that were handed out
}

type inode struct{ dev, ino uint64 }

// place is a directory as somebody looks at it: a layout, or a pattern of Files.
type place struct {
	path string
	by   int // index of a pattern, or one of these
}

const (
	byCRI     = -1
	byDocker  = -2
	byJournal = -3
	bySpool   = -4
	firstBy   = bySpool
)

// dir is a directory as it was last read.
type dir struct {
	modified time.Time
	names    []string
	believed bool // modified says whether names are still right
	first    time.Time
	logs     map[string]*Container // of a leaf, by key, once they are known
	look     func(*scan)           // looks through it again
}

// New makes a Scanner. The error is of a pattern in Files.
func New(opts Options) (*Scanner, error) {
	s := &Scanner{opts: opts, dirs: map[place]*dir{}, now: time.Now, known: map[inode]struct{}{}}
	for _, f := range opts.Files {
		p, err := f.compile(opts.Tenant)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, p...)
	}
	return s, nil
}

// Forget says that g is done with: deleted and read. It has to be called
// before its file is closed, since its inode is free for others then.
func (s *Scanner) Forget(g *Generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, inode{g.Dev, g.Inode})
}

// Remember says that g was handed out, by an earlier Scanner.
func (s *Scanner) Remember(g *Generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[inode{g.Dev, g.Inode}] = struct{}{}
}

// Scan hands over all generations that are new since the last scan, of each
// log oldest first. With full it reads every directory; otherwise those whose
// modification time has changed. An error tells what could not be read; the
// rest was done, and the next scan tries again.
func (s *Scanner) Scan(full bool, found func(*Generation)) error {
	if full {
		for _, d := range s.dirs {
			d.believed = false
		}
	}
	s.awaited = map[string][]func(*scan){}
	sc := &scan{Scanner: s, found: found, seen: map[place]struct{}{}}
	if s.opts.Spool != "" {
		sc.spool(s.opts.Spool)
	}
	if s.opts.Journal != "" {
		sc.leaf(place{s.opts.Journal, byJournal}, (*scan).journal)
	}
	for _, root := range s.opts.CRI {
		sc.cri(root)
	}
	for _, root := range s.dockerRoots() {
		sc.docker(root)
	}
	for i := range s.files {
		sc.pattern(i)
	}
	for at := range s.dirs {
		if _, ok := sc.seen[at]; !ok {
			delete(s.dirs, at)
		}
	}
	return errors.Join(sc.errs...)
}

func (s *Scanner) dockerRoots() []string {
	if s.opts.MoreDocker == nil {
		return s.opts.Docker
	}
	more := s.opts.MoreDocker()
	if more == "" || slices.Contains(s.opts.Docker, more) {
		return s.opts.Docker
	}
	return append(slices.Clone(s.opts.Docker), more)
}

// Look is Scan for directories of which Watch was told, now that they have
// changed. What it cannot read the next Scan will try again.
func (s *Scanner) Look(dirs []string, found func(*Generation)) {
	sc := &scan{Scanner: s, found: found, seen: map[place]struct{}{}}
	for _, path := range dirs {
		looks := s.awaited[path]
		delete(s.awaited, path)
		for _, look := range looks {
			look(sc)
		}
		for by := firstBy; by < len(s.files); by++ {
			if d := s.dirs[place{path, by}]; d != nil && d.look != nil {
				d.believed = false
				d.look(sc)
			}
		}
	}
}

// await looks again when something appears on the way to path.
func (s *Scanner) await(path string, look func(*scan)) {
	if s.opts.Watch == nil || look == nil {
		return
	}
	for up := filepath.Dir(path); ; up = filepath.Dir(up) {
		if info, err := os.Stat(up); err == nil && info.IsDir() {
			s.awaited[up] = append(s.awaited[up], look)
			s.opts.Watch(up)
			return
		}
		if up == filepath.Dir(up) {
			return
		}
	}
}

// scan is one pass.
type scan struct {
	*Scanner
	found func(*Generation)
	seen  map[place]struct{}
	errs  []error
}

func (sc *scan) fail(err error) {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		sc.errs = append(sc.errs, err)
	}
}

// read gives at's directory; changed is false if it is as it was before. It
// is nil if it is not there. look looks through it again when it has changed.
func (sc *scan) read(at place, look func(*scan)) (d *dir, changed bool) {
	path := at.path
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		sc.fail(err)
		if sc.dirs[at] == nil {
			sc.await(path, look)
		}
		return nil, false
	}
	sc.seen[at] = struct{}{}
	d = sc.dirs[at]
	if d == nil {
		d = &dir{first: sc.now(), look: look}
		sc.dirs[at] = d
	}
	if d.believed && d.modified.Equal(info.ModTime()) {
		return d, false
	}
	if sc.opts.Watch != nil {
		sc.opts.Watch(path) // before it is read, so that nothing is missed
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

// member is what a name in a directory is of a log.
type member struct {
	key        string // of the log
	rank       rank
	format     Format
	compressed bool
	rotated    bool
	run        int64
}

// layout says what is a log in a directory, and whose.
type layout interface {
	member(name string) (member, bool)
	// container gives nil if nobody wants the log. errWait says that it is not
	// known yet.
	container(key string) (*Container, error)
}

var errWait = errors.New("not known yet")

// leaf looks for generations in a directory with log files.
func (sc *scan) leaf(at place, in func(sc *scan, path string) layout) {
	// A rotation between listing and opening makes us miss one, which then has
	// to be handed over before what was opened in its place.
	var fresh []opened
	for range 3 {
		d, changed := sc.read(at, func(sc *scan) { sc.leaf(at, in) })
		if d == nil || !changed {
			break
		}
		more := sc.open(at.path, d, in(sc, at.path))
		if len(more) == 0 {
			break
		}
		fresh = append(fresh, more...)
		d.believed = false
	}
	slices.SortStableFunc(fresh, func(a, b opened) int { return a.rank.compare(b.rank) })
	for _, g := range fresh {
		sc.found(g.Generation)
	}
}

// opened is a generation that was not known, and its place among its log's.
type opened struct {
	*Generation
	rank rank
}

// open gives the directory's generations that are not known.
func (sc *scan) open(path string, d *dir, l layout) (fresh []opened) {
	for _, name := range d.names {
		f, ok := l.member(name)
		if !ok {
			continue
		}
		c, err := sc.container(d, f.key, l)
		if err != nil {
			if !errors.Is(err, errWait) {
				sc.fail(err)
			}
			d.believed = false
			continue
		}
		if c == nil {
			continue
		}
		g, err := sc.generation(filepath.Join(path, name))
		if err != nil {
			sc.fail(err)
			d.believed = false
		}
		if g != nil {
			g.Container, g.Format, g.Compressed, g.Rotated, g.Run = c, f.format, f.compressed, f.rotated, f.run
			fresh = append(fresh, opened{g, f.rank})
		}
	}
	return fresh
}

// container gives a log's container, nil if nobody wants it.
func (sc *scan) container(d *dir, key string, l layout) (*Container, error) {
	if c, ok := d.logs[key]; ok {
		return c, nil
	}
	c, err := l.container(key)
	if err != nil {
		return nil, err
	}
	if d.logs == nil {
		d.logs = map[string]*Container{}
	}
	d.logs[key] = c
	return c, nil
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
	g := &Generation{Path: path, File: f, Dev: id.dev, Inode: id.ino}
	sc.Remember(g)
	return g, nil
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
	run     int64  // CRI: the container's restarts; by number: minus the number of rotations
	current bool   // not rotated
	rotated string // by time: when it was rotated
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

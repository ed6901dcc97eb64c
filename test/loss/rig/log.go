package rig

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/coldscope/coldscope/test/corpus"
)

// Format is how a log is written, and where.
type Format int

// The formats.
const (
	JSONFile Format = iota + 1 // <root>/<id>/<id>-json.log
	Local                      // <root>/<id>/local-logs/container.log
	CRI                        // <root>/<namespace>_<pod>_<uid>/<container>/0.log
	Plain                      // <root>/<name>.log
)

func (f Format) String() string {
	return [...]string{"", "docker json-file", "docker local", "CRI", "plain"}[f]
}

// Names that every Log's container has.
const (
	Namespace = "rig"
	Version   = "v1"
)

// Log writes one container's log as its runtime does. It is not safe for
// concurrent use. What cannot be written ends the run with a panic: a harness
// on a broken disk has nothing to say.
type Log struct {
	Format   Format
	Instance string // also in every line
	Dir      string // the container's own directory
	Path     string // of the current generation
	// MaxFile is how many files a rotation leaves, the current one included;
	// 0: all.
	MaxFile int
	// Now is the clock of the records. Default time.Now.
	Now func() time.Time

	root     string
	function string
	f        *os.File
	size     int64
	gen      int
	written  [2]int
	pieces   int
	last     time.Time
	body     []byte
	buf      []byte
}

// NewLog makes a container's directory and its first, empty file.
func NewLog(format Format, root, function, instance string) *Log {
	l := &Log{Format: format, Instance: instance, root: root, function: function, Now: time.Now}
	l.layout()
	l.Create()
	return l
}

// layout makes the container's directory.
func (l *Log) layout() {
	switch l.Format {
	case JSONFile:
		l.Dir = filepath.Join(l.root, l.Instance)
		l.Path = filepath.Join(l.Dir, l.Instance+"-json.log")
	case Local:
		l.Dir = filepath.Join(l.root, l.Instance)
		l.Path = filepath.Join(l.Dir, "local-logs", "container.log")
	case CRI:
		l.Dir = filepath.Join(l.root, Namespace+"_"+l.function+"-"+Version+"_"+l.Instance)
		l.Path = filepath.Join(l.Dir, l.function, "0.log")
	case Plain:
		l.Dir = l.root
		l.Path = filepath.Join(l.Dir, l.Instance+".log")
	}
	must(os.MkdirAll(filepath.Dir(l.Path), 0o755))
	if l.Format == JSONFile || l.Format == Local {
		l.dockerConfig()
	}
}

// dockerConfig writes what the collector may read of a container's configuration.
func (l *Log) dockerConfig() {
	driver, logPath := "json-file", l.Path
	if l.Format == Local {
		driver, logPath = "local", ""
	}
	b, err := json.Marshal(map[string]any{
		"ID": l.Instance, "Name": "/" + l.function, "LogPath": logPath, "Driver": "overlay2", // of its layers; that of its logs is in hostconfig.json
		"State": map[string]any{"Running": true, "Pid": 1},
		"Config": map[string]any{"Labels": map[string]string{
			"dev.coldscope.function": l.function, "dev.coldscope.namespace": Namespace,
			"dev.coldscope.version": Version, "dev.coldscope.instance": l.Instance,
		}},
	})
	must(err)
	for _, name := range []string{"config.v2.json", "hostconfig.json"} {
		content := b
		if name == "hostconfig.json" {
			content = fmt.Appendf(nil, `{"LogConfig":{"Type":%q,"Config":{}}}`, driver)
		}
		tmp := filepath.Join(l.Dir, ".tmp-"+name) // dockerd replaces it too
		must(os.WriteFile(tmp, content, 0o600))
		must(os.Rename(tmp, filepath.Join(l.Dir, name)))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Create begins a new, empty file at Path.
func (l *Log) Create() {
	if l.f != nil {
		l.f.Close()
	}
	f, err := os.OpenFile(l.Path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	must(err)
	l.f, l.size = f, 0
	l.gen++
}

// Size is that of the current file.
func (l *Log) Size() int64 { return l.size }

// Written is how many lines were written, by "instance/o" and "instance/e".
func (l *Log) Written(to map[string]int) {
	for i, n := range l.written {
		if n > 0 {
			to[l.Instance+"/"+string("oe"[i])] += n
		}
	}
}

// Line writes a numbered line with the given payload.
func (l *Log) Line(stderr bool, payload []byte) {
	l.Lines(stderr, payload, 1)
}

// Lines writes n numbered lines in one write.
func (l *Log) Lines(stderr bool, payload []byte, n int) {
	l.buf = l.buf[:0]
	for range n {
		l.each(stderr, payload, func(r *corpus.Record) { l.buf = l.record(l.buf, r) })
	}
	l.write(l.buf)
}

// Pieces writes a line in pieces of n bytes, and calls between after each but
// the last one.
func (l *Log) Pieces(stderr bool, payload []byte, n int, between func()) {
	body, now := l.number(stderr, payload)
	body = bytes.Clone(body)
	l.split(body, n, stderr, now, func(r *corpus.Record) {
		l.write(l.record(nil, r))
		if r.Partial {
			between()
		}
	})
}

// Overlapping writes a line of stdout and one of stderr in pieces of n bytes,
// by turns, and calls between after each piece but the last one. Where they
// are not equally long, one ends while the other is still open.
func (l *Log) Overlapping(stdout, stderr []byte, n int, between func()) {
	var turns [2][]corpus.Record
	for i, payload := range [][]byte{stdout, stderr} {
		body, now := l.number(i == 1, payload)
		l.split(bytes.Clone(body), n, i == 1, now, func(r *corpus.Record) { turns[i] = append(turns[i], *r) })
	}
	for i := 0; len(turns[0])+len(turns[1]) > 0; i = 1 - i {
		if len(turns[i]) == 0 {
			continue
		}
		l.write(l.record(nil, &turns[i][0]))
		turns[i] = turns[i][1:]
		if len(turns[0])+len(turns[1]) > 0 {
			between()
		}
	}
}

// Unterminated writes a line without its newline, as the last one of a
// process that ended.
func (l *Log) Unterminated(stderr bool, payload []byte) {
	body, now := l.number(stderr, payload)
	r := corpus.Record{Text: body, Stderr: stderr, Partial: true, Time: now}
	if l.Format == Local { // marked as the first piece of a line
		l.pieces++
		r.ID, r.Ordinal = fmt.Sprintf("%s-%d", l.Instance, l.pieces), 1
	}
	b := l.record(nil, &r)
	if l.Format == Plain {
		b = bytes.TrimSuffix(b, []byte{'\n'})
	}
	l.write(b)
}

// Torn writes a line's record in two writes, and calls between in the middle.
func (l *Log) Torn(stderr bool, payload []byte, between func()) {
	l.each(stderr, payload, func(r *corpus.Record) {
		b := l.record(nil, r)
		l.write(b[:len(b)/2])
		between()
		l.write(b[len(b)/2:])
	})
}

// Foreign writes a whole line that is not numbered.
func (l *Log) Foreign(stderr bool, text []byte, at time.Time) {
	l.write(l.record(nil, &corpus.Record{Text: text, Stderr: stderr, Time: at}))
}

func (l *Log) number(stderr bool, payload []byte) ([]byte, time.Time) {
	i := 0
	if stderr {
		i = 1
	}
	now := l.Now()
	n := numbered{
		instance: l.Instance, stderr: stderr, generation: l.gen, number: l.written[i],
		nanos: now.UnixNano(), payload: payload,
	}
	if l.Format == Plain {
		n.nanos = 0
	}
	l.written[i]++
	l.body = appendNumbered(l.body[:0], &n)
	return l.body, now
}

func (l *Log) each(stderr bool, payload []byte, f func(*corpus.Record)) {
	body, now := l.number(stderr, payload)
	l.split(body, corpus.SplitAt, stderr, now, f)
}

// split cuts a line as the runtime would at n bytes.
func (l *Log) split(body []byte, n int, stderr bool, now time.Time, f func(*corpus.Record)) {
	r := corpus.Record{Stderr: stderr, Time: now}
	if l.Format == Plain {
		n = len(body) + 1
	}
	more := func() bool {
		if l.Format == CRI {
			return len(body) > n
		}
		return len(body) >= n
	}
	if more() {
		l.pieces++
		r.ID = fmt.Sprintf("%s-%d", l.Instance, l.pieces)
	}
	for {
		r.Text, r.Partial = body, more()
		if r.Partial {
			r.Text = body[:n]
		}
		body = body[len(r.Text):]
		if r.ID != "" {
			r.Ordinal++
		}
		f(&r)
		if !r.Partial {
			return
		}
		if l.Format == CRI { // each piece has its own; Docker's have one
			r.Time = l.Now()
		}
	}
}

func (l *Log) record(b []byte, r *corpus.Record) []byte {
	l.last = r.Time
	switch l.Format {
	case JSONFile:
		return corpus.AppendJSONFile(b, r)
	case Local:
		return corpus.AppendLocal(b, r)
	case CRI:
		return corpus.AppendCRIRecord(b, r)
	case Plain:
	}
	return append(append(b, r.Text...), '\n')
}

func (l *Log) write(b []byte) {
	n, err := l.f.Write(b)
	l.size += int64(n)
	must(err)
}

// Rotate does what the runtime does: rename the file (Docker: to .1, the older
// ones further; kubelet: to the time), make a new one, remove what is too old.
// It gives the path to which the file went.
func (l *Log) Rotate() string {
	if l.Format == CRI {
		to := l.Path + "." + time.Now().UTC().Format("20060102-150405")
		for i := 1; exists(to) || exists(to+".gz"); i++ { // kubelet looks each ten seconds only
			to = l.Path + "." + time.Now().UTC().Add(time.Duration(i)*time.Second).Format("20060102-150405")
		}
		must(os.Rename(l.Path, to))
		l.Create()
		l.removeOldest()
		return to
	}
	l.shift()
	to := l.Path + ".1"
	must(os.Rename(l.Path, to))
	l.Create()
	return to
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// shift makes room at .1, compressed or not.
func (l *Log) shift() {
	last := 1
	for exists(l.numberedPath(last, "")) || exists(l.numberedPath(last, ".gz")) {
		last++
	}
	for i := last - 1; i >= 1; i-- {
		for _, gz := range []string{"", ".gz"} {
			from := l.numberedPath(i, gz)
			switch {
			case !exists(from):
			case l.MaxFile > 0 && i+1 >= l.MaxFile:
				must(os.Remove(from))
			default:
				must(os.Rename(from, l.numberedPath(i+1, gz)))
			}
		}
	}
}

func (l *Log) numberedPath(i int, suffix string) string {
	return l.Path + "." + strconv.Itoa(i) + suffix
}

func (l *Log) removeOldest() {
	names, err := filepath.Glob(l.Path + ".*") // sorted, and so by age
	must(err)
	for l.MaxFile > 0 && len(names) > l.MaxFile-1 {
		must(os.Remove(names[0]))
		names = names[1:]
	}
}

// Compress replaces path by path.gz as dockerd and kubelet do: written under
// the final name (kubelet: a temporary one first), then the original removed
// after pause.
func (l *Log) Compress(path string, pause time.Duration) {
	text, err := os.ReadFile(path)
	must(err)
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if l.Format == JSONFile || l.Format == Local {
		w.Extra = fmt.Appendf(nil, `{"lastTime":%q}`, l.last.UTC().Format(time.RFC3339Nano))
	}
	_, err = w.Write(text)
	must(err)
	must(w.Close())
	to := path + ".gz"
	if l.Format == CRI {
		to = path + ".tmp"
	}
	must(os.WriteFile(to, b.Bytes(), 0o640))
	<-time.After(pause)
	if l.Format == CRI {
		must(os.Rename(to, path+".gz"))
	}
	must(os.Remove(path))
}

// CopyTruncate does what logrotate's copytruncate does.
func (l *Log) CopyTruncate() {
	text, err := os.ReadFile(l.Path)
	must(err)
	l.shift()
	must(os.WriteFile(l.Path+".1", text, 0o640))
	must(os.Truncate(l.Path, 0))
	l.size = 0
	l.gen++
}

// Remove removes the container with its files; what is open stays open.
func (l *Log) Remove() {
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
	must(os.RemoveAll(l.Dir))
}

// Recreate makes the container's directory and file anew, under the same name.
func (l *Log) Recreate() {
	l.layout()
	l.Create()
}

// Touch sets the current file's modification time.
func (l *Log) Touch(t time.Time) { must(os.Chtimes(l.Path, t, t)) }

// Close closes the current file.
func (l *Log) Close() {
	if l.f != nil {
		l.f.Close()
	}
}

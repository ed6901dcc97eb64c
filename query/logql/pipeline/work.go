package pipeline

import (
	"slices"
	"strings"

	"github.com/coldscope/coldscope/query/logql/labels"
)

// The labels that say what went wrong with a line, as Loki names them.
const (
	ErrorLabel   = "__error__"
	DetailsLabel = "__error_details__"
)

// The values of ErrorLabel, which are Loki's, too.
const (
	ErrJSON     = "JSONParserErr"
	ErrLogfmt   = "LogfmtParserErr"
	ErrFilter   = "LabelFilterErr"
	ErrTemplate = "TemplateFormatErr"
	ErrSample   = "SampleExtractionErr"
)

// extracted is put behind a parsed label's name that the stream or the metadata
// has already.
const extracted = "_extracted"

type category uint8

const (
	stream category = iota
	metadata
	parsed
	gone // a label that was taken away
)

type entry struct {
	name, value string
	category    category
}

// bloom holds names, to say quickly that a line has no label of a name: nearly
// all names that a parser finds are new.
type bloom [4]uint64

func bit(name string) (word, mask uint64) {
	n := len(name)
	if n == 0 {
		return 0, 1
	}
	h := uint32(n)*31 + uint32(name[0])
	h = h*31 + uint32(name[n/2])
	h = h*31 + uint32(name[n-1])
	h *= 0x9E3779B1
	return uint64(h >> 30), 1 << (h >> 24 & 63)
}

func (b *bloom) add(name string) {
	w, m := bit(name)
	b[w] |= m
}

func (b *bloom) has(name string) bool {
	w, m := bit(name)
	return b[w]&m != 0
}

// base is what a line begins with: its stream's labels and its metadata's.
type base struct {
	entries []entry
	names   bloom
	renamed bool        // a label of the metadata has another name than it came with
	all     *labels.Set // of both, made when it is asked for
}

type basePair struct{ stream, metadata *labels.Set }

// maxBases bounds what is remembered of pairs: every request has metadata of
// its own, but they come one after another.
const maxBases = 4096

// work is a line on its way through the stages. It is reused from line to line.
type work struct {
	table *labels.Table
	bases map[basePair]*base

	// Of the line:
	time    int64
	body    string
	stream  *labels.Set
	meta    *labels.Set
	base    *base
	entries []entry
	names   bloom
	index   map[string]int // of entries, once they are many
	changed [2]bool        // stream's labels, metadata's labels: not what they were
	err     string
	details string

	// Of the sets that are made of it, reused:
	list  []labels.Label
	order permutation
	fold  permutation
	name  []byte
	keys  keys
}

func newWork(t *labels.Table) *work {
	return &work{table: t, bases: map[basePair]*base{}}
}

func (w *work) begin(l Line) {
	w.time, w.body = l.Time, l.Body
	w.err, w.details = "", ""
	w.changed = [2]bool{}
	if l.Stream == nil {
		l.Stream = labels.Empty
	}
	if l.Metadata == nil {
		l.Metadata = labels.Empty
	}
	if w.base == nil || l.Stream != w.stream || l.Metadata != w.meta {
		w.stream, w.meta = l.Stream, l.Metadata
		w.base = w.baseOf(basePair{l.Stream, l.Metadata})
	}
	w.entries = append(w.entries[:0], w.base.entries...)
	w.names = w.base.names
	if len(w.index) > 0 {
		clear(w.index)
	}
	if len(w.entries) > fewEntries {
		w.indexAll()
	}
}

func (w *work) indexAll() {
	if w.index == nil {
		w.index = map[string]int{}
	}
	for i := range w.entries {
		w.index[w.entries[i].name] = i
	}
}

func (w *work) baseOf(p basePair) *base {
	if b := w.bases[p]; b != nil {
		return b
	}
	if len(w.bases) >= maxBases {
		clear(w.bases)
	}
	b := &base{entries: make([]entry, 0, p.stream.Len()+p.metadata.Len())}
	for _, l := range p.stream.Labels() {
		b.entries = append(b.entries, entry{l.Name, l.Value, stream})
		b.names.add(l.Name)
	}
	for _, l := range p.metadata.Labels() {
		name := l.Name
		if _, ok := p.stream.Lookup(name); ok {
			name += extracted
			b.renamed = true
		}
		b.entries = append(b.entries, entry{name, l.Value, metadata})
		b.names.add(name)
	}
	w.bases[p] = b
	return b
}

// find is where the label name is, or was, in w.entries; -1 if it never was.
func (w *work) find(name string) int {
	if !w.names.has(name) {
		return -1
	}
	if len(w.entries) > fewEntries {
		if i, ok := w.index[name]; ok {
			return i
		}
		return -1
	}
	for i := range w.entries {
		if w.entries[i].name == name {
			return i
		}
	}
	return -1
}

// fewEntries are found without an index. A line that has many more, by mistake
// or to do harm, must not cost the square of them.
const fewEntries = 64

func (w *work) append(e entry) {
	w.names.add(e.name)
	w.entries = append(w.entries, e)
	switch n := len(w.entries); {
	case n == fewEntries+1:
		w.indexAll()
	case n > fewEntries:
		w.index[e.name] = n - 1
	}
}

func (w *work) lookup(name string) (string, bool) {
	if i := w.find(name); i >= 0 && w.entries[i].category != gone {
		return w.entries[i].value, true
	}
	switch name {
	case ErrorLabel:
		return w.err, w.err != ""
	case DetailsLabel:
		return w.details, w.details != ""
	}
	return "", false
}

func (w *work) get(name string) string {
	v, _ := w.lookup(name)
	return v
}

// set gives the label name a value, whatever it was before. It is of the parsed
// ones from then on.
func (w *work) set(name, value string) {
	switch name {
	case ErrorLabel:
		w.err = value
		return
	case DetailsLabel:
		w.details = value
		return
	}
	i := w.find(name)
	if i < 0 {
		w.append(entry{name, value, parsed})
		return
	}
	e := &w.entries[i]
	if e.category < parsed {
		w.changed[e.category] = true
	}
	e.value, e.category = value, parsed
}

func (w *work) remove(name string) {
	switch name {
	case ErrorLabel:
		w.err = ""
		return
	case DetailsLabel:
		w.details = ""
		return
	}
	if i := w.find(name); i >= 0 {
		w.removeAt(i)
	}
}

func (w *work) removeAt(i int) {
	e := &w.entries[i]
	if e.category < parsed {
		w.changed[e.category] = true
	}
	e.category = gone
}

// extractedName is the name that a parser's label gets: another one if the line
// came with a label of that name, which was not taken away.
func (w *work) extractedName(name string) string {
	if w.base.names.has(name) {
		if i := w.find(name); i >= 0 && i < len(w.base.entries) && w.entries[i].category != gone {
			return w.keys.label(append(append(w.name[:0], name...), extracted...))
		}
	}
	return name
}

// extract sets a label that a parser found. Of several of one name the first
// counts if first is true, else the last.
func (w *work) extract(name, value string, want names, first bool) {
	name = w.extractedName(name)
	if !want.has(name) || reserved(name) {
		return
	}
	if first {
		if i := w.find(name); i >= 0 && w.entries[i].category == parsed {
			return
		}
	}
	w.set(name, value)
}

// reserved says that name is of what the stages tell of a line: no line can say
// so itself.
func reserved(name string) bool {
	return strings.HasPrefix(name, "__error") && (name == ErrorLabel || name == DetailsLabel)
}

func (w *work) fail(kind, details string) { w.err, w.details = kind, details }

// sets are the labels of each category, after the stages.
func (w *work) sets() (s, m, p *labels.Set) {
	s, m = w.stream, w.meta
	if w.changed[stream] {
		s = w.setOf(stream)
	}
	if w.changed[metadata] || w.base.renamed {
		m = w.setOf(metadata)
	}
	return s, m, w.setOf(parsed)
}

func (w *work) setOf(c category) *labels.Set {
	w.list = w.list[:0]
	for i := range w.entries {
		if e := &w.entries[i]; e.category == c {
			w.list = append(w.list, labels.Label{Name: e.name, Value: e.value})
		}
	}
	if c == parsed {
		w.addErrors()
	}
	return w.table.Sorted(w.order.sort(w.list))
}

func (w *work) addErrors() {
	if w.err != "" {
		w.list = append(w.list, labels.Label{Name: ErrorLabel, Value: w.err})
	}
	if w.details != "" {
		w.list = append(w.list, labels.Label{Name: DetailsLabel, Value: w.details})
	}
}

// all is the one set of the labels of all categories without those named: a
// series' labels.
func (w *work) all(except []string) *labels.Set {
	plain := len(except) == 0 && len(w.entries) == len(w.base.entries) && !w.changed[stream] && !w.changed[metadata] && w.err == "" && w.details == ""
	if plain && w.base.all != nil {
		return w.base.all
	}
	w.list = w.list[:0]
	for i := range w.entries {
		e := &w.entries[i]
		if e.category != gone && !slices.Contains(except, e.name) {
			w.list = append(w.list, labels.Label{Name: e.name, Value: e.value})
		}
	}
	w.addErrors()
	set := w.table.Sorted(w.fold.sort(w.list))
	if plain {
		w.base.all = set
	}
	return set
}

// only is the set of the labels named, which are in order, as far as they are there.
func (w *work) only(names []string) *labels.Set {
	w.list = w.list[:0]
	for _, n := range names {
		if v, ok := w.lookup(n); ok {
			w.list = append(w.list, labels.Label{Name: n, Value: v})
		}
	}
	return w.table.Sorted(w.list)
}

// permutation remembers in which order the labels of the line before were:
// lines of one source have the same names in the same order, and names that are
// the same text compare by their pointers.
type permutation struct {
	names []string
	from  []int
	out   []labels.Label
}

// sort is ls in the order of names. It is valid until the next call.
func (p *permutation) sort(ls []labels.Label) []labels.Label {
	if !p.known(ls) {
		p.learn(ls)
	}
	p.out = p.out[:0]
	for _, i := range p.from {
		p.out = append(p.out, ls[i])
	}
	return p.out
}

func (p *permutation) known(ls []labels.Label) bool {
	if len(ls) != len(p.names) {
		return false
	}
	for i := range ls {
		if ls[i].Name != p.names[i] {
			return false
		}
	}
	return true
}

func (p *permutation) learn(ls []labels.Label) {
	p.names, p.from = p.names[:0], p.from[:0]
	for i := range ls {
		p.names = append(p.names, ls[i].Name)
		p.from = append(p.from, i)
	}
	slices.SortFunc(p.from, func(a, b int) int { return strings.Compare(ls[a].Name, ls[b].Name) })
}

// names are the labels that a pipeline's result needs, nil if all.
type names map[string]bool

func (n names) has(name string) bool { return n == nil || n[name] }

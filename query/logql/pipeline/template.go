package pipeline

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

// The most that a template may give for a line, all that its functions may read
// and make for that, and the most nodes of it that are evaluated in ranges.
const (
	maxOutput = 1 << 20
	maxSpent  = 8 * maxOutput
	maxSteps  = 1 << 20 // counted in bytes of the template, which are more
)

// format is a template of a line or of a label.
type format struct {
	tmpl *template.Template
	// pieces is the template if it is no more than texts and labels.
	pieces []piece
	// fields are the labels that it reads, if not all is true.
	fields []string
	all    bool

	box   *toolbox
	w     *work
	data  map[string]string
	out   output
	steps int
}

type piece struct {
	text, label string
	line        bool
}

type output struct{ b []byte }

func (o *output) Write(p []byte) (int, error) {
	if len(o.b)+len(p) > maxOutput {
		return 0, errLong
	}
	o.b = append(o.b, p...)
	return len(p), nil
}

// tick is the name of the function that each round of a range calls.
const tick = "__tick__"

func newFormat(text string) (*format, error) {
	f := &format{data: map[string]string{}}
	f.box = &toolbox{expressions: expressions{}, zones: map[string]*time.Location{}}
	fn := f.box.functions()
	fn["__line__"] = func() string { return f.w.body }
	fn["__timestamp__"] = func() any { return timeOf(f.w.time) }
	fn[tick] = f.tick
	t, err := template.New("line").Option("missingkey=zero").Funcs(fn).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("template %q: %w", text, err)
	}
	f.tmpl = t
	if t.Tree == nil {
		return f, nil
	}
	if len(t.Templates()) > 1 {
		return nil, fmt.Errorf("template %q: templates inside templates are not supported", text)
	}
	if err := f.walk(t.Root); err != nil {
		return nil, fmt.Errorf("template %q: %w", text, err)
	}
	f.pieces = simple(t.Root)
	return f, nil
}

// tick is called in each round of a range, whose body has so many nodes.
func (f *format) tick(nodes int) (string, error) {
	if f.steps += nodes; f.steps > maxSteps {
		return "", errors.New("ranges go over too many elements")
	}
	return "", nil
}

// walk notes which labels a node reads, and has ranges counted.
func (f *format) walk(n parse.Node) error {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, c := range n.Nodes {
			if err := f.walk(c); err != nil {
				return err
			}
		}
	case *parse.ActionNode:
		return f.walk(n.Pipe)
	case *parse.PipeNode:
		if n == nil {
			return nil
		}
		for _, c := range n.Cmds {
			for _, a := range c.Args {
				if err := f.walk(a); err != nil {
					return err
				}
			}
		}
	case *parse.FieldNode:
		f.fields = append(f.fields, n.Ident[0])
	case *parse.VariableNode:
		if n.Ident[0] == "$" {
			if len(n.Ident) > 1 {
				f.fields = append(f.fields, n.Ident[1])
			} else {
				f.all = true
			}
		}
	case *parse.DotNode:
		f.all = true
	case *parse.ChainNode:
		return f.walk(n.Node)
	case *parse.IfNode:
		return f.branch(&n.BranchNode)
	case *parse.WithNode:
		return f.branch(&n.BranchNode)
	case *parse.RangeNode:
		if err := f.branch(&n.BranchNode); err != nil {
			return err
		}
		f.count(n)
	case *parse.TemplateNode:
		return errors.New("templates inside templates are not supported")
	}
	return nil
}

// count makes each round of a range call tick.
func (f *format) count(n *parse.RangeNode) {
	nodes := 16 + len(n.List.String()) // a node is of one byte or more
	call := parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{
		parse.NewIdentifier(tick).SetPos(n.Pos).SetTree(f.tmpl.Tree),
		&parse.NumberNode{NodeType: parse.NodeNumber, Pos: n.Pos, IsInt: true, Int64: int64(nodes), Text: strconv.Itoa(nodes)},
	}}
	pipe := parse.PipeNode{NodeType: parse.NodePipe, Pos: n.Pos, Cmds: []*parse.CommandNode{&call}}
	n.List.Nodes = append([]parse.Node{&parse.ActionNode{NodeType: parse.NodeAction, Pos: n.Pos, Pipe: &pipe}}, n.List.Nodes...)
}

func (f *format) branch(b *parse.BranchNode) error {
	for _, n := range []parse.Node{b.Pipe, b.List, b.ElseList} {
		if err := f.walk(n); err != nil {
			return err
		}
	}
	return nil
}

// simple is a template of texts and labels alone, nil if it is not.
func simple(root *parse.ListNode) []piece {
	out := []piece{}
	for _, n := range root.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			out = append(out, piece{text: string(n.Text)})
		case *parse.ActionNode:
			if len(n.Pipe.Decl) > 0 || len(n.Pipe.Cmds) != 1 || len(n.Pipe.Cmds[0].Args) != 1 {
				return nil
			}
			switch a := n.Pipe.Cmds[0].Args[0].(type) {
			case *parse.FieldNode:
				if len(a.Ident) != 1 {
					return nil
				}
				out = append(out, piece{label: a.Ident[0]})
			case *parse.IdentifierNode:
				if a.Ident != "__line__" {
					return nil
				}
				out = append(out, piece{line: true})
			default:
				return nil
			}
		default:
			return nil
		}
	}
	return out
}

// load takes the labels that the template reads, as they are now.
func (f *format) load(w *work) {
	f.w = w
	clear(f.data)
	if f.all {
		for i := range w.entries {
			if e := &w.entries[i]; e.category != gone {
				f.data[e.name] = e.value
			}
		}
		for _, n := range []string{ErrorLabel, DetailsLabel} {
			if v, ok := w.lookup(n); ok {
				f.data[n] = v
			}
		}
		return
	}
	for _, n := range f.fields {
		if v, ok := w.lookup(n); ok {
			f.data[n] = v
		}
	}
}

// text is what the template gives with the labels that were loaded.
func (f *format) text() (string, error) {
	f.out.b, f.steps, f.box.spent = f.out.b[:0], 0, 0
	if f.pieces != nil {
		for _, p := range f.pieces {
			switch {
			case p.line:
				f.out.b = append(f.out.b, f.w.body...)
			case p.label != "":
				f.out.b = append(f.out.b, f.data[p.label]...)
			default:
				f.out.b = append(f.out.b, p.text...)
			}
			if len(f.out.b) > maxOutput {
				return "", errLong
			}
		}
		return string(f.out.b), nil
	}
	if f.tmpl.Tree == nil {
		return "", nil
	}
	if err := f.tmpl.Execute(&f.out, f.data); err != nil {
		return "", err
	}
	return string(f.out.b), nil
}

// lineFormat makes the line.
type lineFormat struct{ *format }

func (f lineFormat) apply(w *work) bool {
	f.load(w)
	text, err := f.text()
	if err != nil {
		w.fail(ErrTemplate, reason(err))
		return true
	}
	w.body = text
	return true
}

// labelFormat makes labels, in order.
type labelFormat []assignment

type assignment struct {
	name, from string
	format     *format // nil if the label is from renamed
}

func (l labelFormat) apply(w *work) bool {
	loaded := false
	for _, a := range l {
		if a.format == nil {
			rename(w, a.from, a.name)
			continue
		}
		// All templates see the labels that were there before the first of them.
		if !loaded {
			for _, b := range l {
				if b.format != nil {
					b.format.load(w)
				}
			}
			loaded = true
		}
		text, err := a.format.text()
		if err != nil {
			w.fail(ErrTemplate, reason(err))
			continue
		}
		w.set(a.name, text)
	}
	return true
}

func rename(w *work, from, to string) {
	if from == to {
		return
	}
	if i := w.find(from); i >= 0 && w.entries[i].category != gone {
		e := w.entries[i]
		w.removeAt(i)
		w.set(to, e.value)
	}
}

// reason is an error of a template without where in the template it was.
func reason(err error) string {
	text := err.Error()
	if _, what, ok := strings.Cut(text, ">: "); ok {
		return what
	}
	return text
}

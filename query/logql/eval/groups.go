package eval

import (
	"slices"

	"github.com/coldscope/coldscope/query/logql/labels"
)

// reduction makes smaller sets of sets: those of the labels named, or of all
// others. It remembers them, so that at each further step it costs a look-up.
type reduction struct {
	table  *labels.Table
	keep   bool // the labels named
	labels []string
	done   map[*labels.Set]*labels.Set
}

func (r *run) reduce(keep bool, names []string) *reduction {
	return &reduction{r.table, keep, names, map[*labels.Set]*labels.Set{}}
}

func (d *reduction) of(s *labels.Set) *labels.Set {
	if out := d.done[s]; out != nil {
		return out
	}
	var ls []labels.Label
	for _, l := range s.Labels() {
		if slices.Contains(d.labels, l.Name) == d.keep {
			ls = append(ls, l)
		}
	}
	out := d.table.Sorted(ls)
	d.done[s] = out
	return out
}

package pipeline

import "github.com/coldscope/coldscope/query/logql"

// dropStage takes labels away: those named, or of a name and a value that matches.
type dropStage []*logql.LabelChoice

func (d dropStage) apply(w *work) bool {
	for _, c := range d {
		v, ok := w.lookup(c.Name)
		if ok && (c.Matcher == nil || c.Matcher.Matches(v)) {
			w.remove(c.Name)
		}
	}
	return true
}

// keepStage takes all other labels away, but never the errors.
type keepStage []*logql.LabelChoice

func (k keepStage) apply(w *work) bool {
	for i := range w.entries {
		if e := &w.entries[i]; e.category != gone && !k.keeps(e.name, e.value) {
			w.removeAt(i)
		}
	}
	return true
}

func (k keepStage) keeps(name, value string) bool {
	for _, c := range k {
		if c.Name == name && (c.Matcher == nil || c.Matcher.Matches(value)) {
			return true
		}
	}
	return false
}

package demo

import (
	"strings"
	"testing"

	"github.com/coldscope/coldscope/query/read"
)

// TestCompare: the check itself can fail, for each thing that must not be.
func TestCompare(t *testing.T) {
	written := &Written{Lines: map[string]int{"a": 3, "b": 2}}
	good := func() map[string]stored { return map[string]stored{"a": {3, 3, 3, 3}, "b": {2, 2, 2, 1}} }
	for _, c := range []struct {
		name   string
		change func(map[string]stored)
		says   string
	}{
		{"good", func(map[string]stored) {}, ""},
		{"missing", func(f map[string]stored) { f["a"] = stored{2, 2, 3, 2} }, "instance a wrote 3 lines, 2 of them are stored"},
		{"the last is missing", func(f map[string]stored) { f["a"] = stored{2, 2, 2, 2} }, "instance a wrote 3 lines"},
		{"twice", func(f map[string]stored) { f["a"] = stored{4, 3, 3, 3} }, "4 rows for 3 lines"},
		{"nothing of one", func(f map[string]stored) { delete(f, "b") }, "instance b wrote 2 lines, 0 of them"},
		{"a stranger", func(f map[string]stored) { f["c"] = stored{1, 1, 1, 1} }, "instance c has 1 lines, but never answered"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := good()
			c.change(found)
			var r Report
			r.compare(written, found)
			err := r.Err()
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if c.name == "good" && (r.LinesStored != 5 || r.LinesAttributed != 4 || r.LinesDuplicated != 0) {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestStarts(t *testing.T) {
	total := 250.0
	page := &read.Page{
		Invocation: read.Invocation{RequestID: "r", TotalMS: &total},
		ColdStart:  &read.ColdStart{TotalMS: 200, OtherMS: 50, Phases: []read.Phase{{Name: "pull", CriticalMS: 100}, {Name: "init", CriticalMS: 48}}},
	}
	r := Report{}
	r.Starts(&read.ColdStartStats{Count: 1}, []*read.Page{page})
	if r.SumErrorMS != 2 || r.Err() == nil || r.Slowest.RequestID != "r" {
		t.Errorf("%+v, %v", r, r.Err())
	}
	if err := (&Report{Failed: []string{"demo/webapp: timeout"}}).Err(); err == nil {
		t.Error("a request without an answer is no problem")
	}
}

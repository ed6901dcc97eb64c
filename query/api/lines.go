package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/read"
)

func (a *API) registerLines() {
	huma.Register(a.huma, operation("search-lines", "/lines", "Lines",
		"Lines in the order of time. Pass next_cursor as cursor to read on; what arrives meanwhile does not shift the pages."), a.lines)
	huma.Register(a.huma, operation("get-line-context", "/lines/{file_id}/{offset}/context", "Lines around a line",
		"A line, and what was printed before and after it.", http.StatusNotFound), a.lineContext)
	huma.Register(a.huma, operation("get-line-histogram", "/lines/histogram", "Lines over time",
		"How many lines there were, by steps of time: from figures by the minute where they can answer, else from the lines; exact either way."), a.histogram)
	a.registerTail()
}

// LineFilter says which lines are meant. It is exported for huma, as Owner is.
type LineFilter struct {
	Namespace    string   `query:"namespace" maxLength:"512"`
	Function     string   `query:"function" maxLength:"512" doc:"The function's name without its namespace"`
	Version      string   `query:"version" maxLength:"512"`
	Instance     string   `query:"instance" maxLength:"512"`
	Host         string   `query:"host" maxLength:"512"`
	Request      string   `query:"request" maxLength:"512" doc:"Only lines of this request"`
	Trace        string   `query:"trace" maxLength:"64" doc:"Only lines that name this trace"`
	Streams      []string `query:"stream" maxItems:"3" enum:"stdout,stderr,platform" doc:"Separated by commas"`
	Levels       []string `query:"level" maxItems:"7" enum:"trace,debug,info,warn,error,fatal,unknown" doc:"Separated by commas"`
	Attributions []string `query:"attribution" maxItems:"6" enum:"explicit,window,init,late,ambiguous,none" doc:"By which evidence the line got its request; separated by commas"`
	Texts        []string `query:"q,explode" maxItems:"16" maxLength:"1024" doc:"Text that the line contains; several times for several texts, all of which it contains"`
	Excluded     []string `query:"not,explode" maxItems:"16" maxLength:"1024" doc:"Text that the line does not contain"`
	Fold         bool     `query:"ignore_case" doc:"Upper and lower case are the same in q and not"`
	Pattern      string   `query:"regex" maxLength:"1024" doc:"A regular expression (RE2 syntax) that a part of the line matches; (?i) at its beginning ignores case"`
	Fields       []string `query:"field,explode" maxItems:"16" maxLength:"1024" example:"user=42" doc:"A condition on a field of the line: key=value, key!=value, key~regex, key!~regex, key>number, key>=number, key<number, key<=number, or a key that is there"`
	Span
}

// Resolve reports what of the filter cannot be read.
func (in *LineFilter) Resolve(ctx huma.Context) []error {
	errs := in.Span.Resolve(ctx)
	if in.Pattern != "" {
		errs = refuse(errs, "query.regex", in.Pattern, read.CheckPattern(in.Pattern))
	}
	for i, text := range in.Fields {
		_, err := parseField(text)
		errs = refuse(errs, fmt.Sprintf("query.field[%d]", i), text, err)
	}
	return errs
}

// parseField reads a condition on a field.
func parseField(s string) (f read.Field, err error) {
	at := len(s)
	for _, op := range read.FieldOps {
		if i := strings.Index(s, op); i >= 0 && i < at {
			at, f.Op = i, op
		}
	}
	f.Key = s[:at]
	f.Value = strings.TrimPrefix(s[at:], f.Op)
	switch f.Op {
	case "~", "!~":
		err = read.CheckPattern(f.Value)
	case ">", ">=", "<", "<=":
		if _, bad := strconv.ParseFloat(f.Value, 64); bad != nil {
			err = fmt.Errorf("%q is no number", f.Value)
		}
	}
	if f.Key == "" {
		err = fmt.Errorf("the field's key is missing")
	}
	return f, err
}

// filter is the filter as of now; Resolve has checked it.
func (in *LineFilter) filter(now time.Time) read.LineFilter {
	f := read.LineFilter{
		Namespace: in.Namespace, Function: in.Function, Version: in.Version, Instance: in.Instance, Host: in.Host,
		Request: in.Request, Trace: in.Trace, Pattern: in.Pattern, Range: in.within(now),
	}
	for _, s := range in.Streams {
		f.Streams = append(f.Streams, faas.Stream(s))
	}
	for _, l := range in.Levels {
		f.Levels = append(f.Levels, read.Levels[l])
	}
	for _, s := range in.Attributions {
		f.Attributions = append(f.Attributions, faas.Attribution(s))
	}
	for _, s := range in.Texts {
		if s != "" {
			f.Texts = append(f.Texts, read.Text{Text: s, Fold: in.Fold})
		}
	}
	for _, s := range in.Excluded {
		if s != "" {
			f.Texts = append(f.Texts, read.Text{Text: s, Fold: in.Fold, Not: true})
		}
	}
	for _, s := range in.Fields {
		field, _ := parseField(s)
		f.Fields = append(f.Fields, field)
	}
	return f
}

type linesInput struct {
	Owner
	LineFilter
	Order  string `query:"order" enum:"newest,oldest" default:"newest" doc:"Which lines come first"`
	Limit  int    `query:"limit" minimum:"1" maximum:"5000" default:"100" doc:"An answer has fewer lines, and a cursor, where their bodies are more than 16 MiB"`
	Cursor string `query:"cursor" maxLength:"4096" doc:"Where to read on: next_cursor of the answer before, with the same filters and order"`
}

// Resolve reports what of the input cannot be read.
func (in *linesInput) Resolve(ctx huma.Context) []error {
	errs := in.LineFilter.Resolve(ctx)
	if in.Cursor != "" {
		_, err := read.ParseLineCursor(in.Cursor)
		errs = refuse(errs, "query.cursor", in.Cursor, err)
	}
	return errs
}

func (a *API) lines(ctx context.Context, in *linesInput) (*body[*read.LineList], error) {
	q := read.LineQuery{LineFilter: in.filter(a.now()), OldestFirst: in.Order == "oldest", Limit: in.Limit}
	if in.Cursor != "" {
		at, _ := read.ParseLineCursor(in.Cursor) // Resolve has checked it
		q.After = &at
	}
	list, err := a.reader.Lines(ctx, in.id(ctx), q)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.LineList]{list}, nil
}

type lineContextInput struct {
	Owner
	FileID    string `path:"file_id" pattern:"^[0-9a-f]{16}$" doc:"The line's file_id"`
	Offset    uint64 `path:"offset" doc:"The line's offset"`
	Namespace string `query:"namespace" maxLength:"512"`
	Function  string `query:"function" maxLength:"512" doc:"The line's function: finds it sooner"`
	Time      string `query:"ts" maxLength:"64" doc:"The line's ts: finds it at once; without it, all lines since a week ago are looked through"`
	Before    int    `query:"before" minimum:"0" maximum:"1000" default:"20"`
	After     int    `query:"after" minimum:"0" maximum:"1000" default:"20"`
	Of        string `query:"of" enum:"instance,function" default:"instance" doc:"Whose lines are around it"`
}

// Resolve reports what of the input cannot be read.
func (in *lineContextInput) Resolve(huma.Context) []error {
	_, err := parseTime(in.Time, time.Time{})
	return refuse(nil, "query.ts", in.Time, err)
}

func (a *API) lineContext(ctx context.Context, in *lineContextInput) (*body[*read.LineContext], error) {
	file, _ := strconv.ParseUint(in.FileID, 16, 64) // the pattern has checked it
	at, _ := parseTime(in.Time, a.now())
	f := read.LineFilter{
		Namespace: in.Namespace, Function: in.Function, File: &file, Offset: &in.Offset,
		Range: read.Range{Since: a.now().Add(-7 * 24 * time.Hour)},
	}
	found, err := a.reader.Context(ctx, in.id(ctx), f, at, in.Before, in.After, in.Of == "function")
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.LineContext]{found}, nil
}

type histogramInput struct {
	Owner
	LineFilter
	Step string `query:"step" maxLength:"64" doc:"Length of the steps: a duration of at least 1ms. Default: about a hundredth of the range, at least 1s; of whole minutes where the range is longer than an hour"`
	By   string `query:"by" enum:"level,stream,function,version,instance,host,attribution" doc:"Counts are given for each of these; absent: for all lines together"`
}

// Resolve reports what of the input cannot be read.
func (in *histogramInput) Resolve(ctx huma.Context) []error {
	errs := in.LineFilter.Resolve(ctx)
	if in.Step != "" {
		if d, err := parseDuration(in.Step); err != nil || d < time.Millisecond || d%time.Millisecond != 0 {
			errs = append(errs, &huma.ErrorDetail{Location: "query.step", Message: "neither 1m nor another duration of whole milliseconds (500ms, 10s, 5m, 1h, 1d)", Value: in.Step})
		}
	}
	return errs
}

// steps are the lengths that are chosen among.
var steps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
	10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// stepOf is about a hundredth of a range.
func stepOf(r read.Range, now time.Time) time.Duration {
	if r.Until.IsZero() {
		r.Until = now
	}
	if r.Since.IsZero() {
		return 24 * time.Hour
	}
	long := r.Until.Sub(r.Since) / 120
	if i := slices.IndexFunc(steps, func(d time.Duration) bool { return d >= long }); i >= 0 {
		return steps[i]
	}
	return 24 * time.Hour
}

func (a *API) histogram(ctx context.Context, in *histogramInput) (*body[*read.Histogram], error) {
	f := in.filter(a.now())
	step := stepOf(f.Range, a.now())
	if in.Step != "" {
		step, _ = parseDuration(in.Step) // Resolve has checked it
	}
	counts, err := a.reader.Histogram(ctx, in.id(ctx), f, step, in.By)
	if err != nil {
		return nil, a.problem(ctx, err)
	}
	return &body[*read.Histogram]{&read.Histogram{StepMS: read.Millis(step), Counts: counts}}, nil
}

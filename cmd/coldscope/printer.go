package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/coldscope/coldscope/query/terminal"
)

// printer prints lines in the format that the flags name.
type printer struct {
	format     string
	w          io.Writer
	inTerminal bool
	zone       *time.Location
	lines      *terminal.Lines
}

func (f *lookFlags) printer(w io.Writer, o terminal.Options, requests, oneFunction bool) *printer {
	return &printer{
		format: f.output, w: w, inTerminal: o.Terminal, zone: o.Zone,
		lines: terminal.NewLines(w, terminal.LinesOptions{Options: o, Requests: requests, HideSource: oneFunction}),
	}
}

// print prints one line; object gives what it is in JSON.
func (p *printer) print(l *terminal.LogLine, object func() any) error {
	switch p.format {
	case "json":
		return terminal.JSON(p.w, object(), "")
	case "raw":
		body := strings.TrimSuffix(l.Body, "\n")
		if p.inTerminal { // elsewhere it is what the function wrote
			body = terminal.CleanLines(body)
		}
		_, err := fmt.Fprintln(p.w, body)
		return err
	case "logfmt":
		return terminal.Logfmt(p.w,
			terminal.Pair{Key: "ts", Value: l.Time.In(p.zone).Format(time.RFC3339Nano)},
			terminal.Pair{Key: "function", Value: l.Source}, terminal.Pair{Key: "instance", Value: l.Instance},
			terminal.Pair{Key: "request_id", Value: l.RequestID}, terminal.Pair{Key: "stream", Value: string(l.Stream)},
			terminal.Pair{Key: "level", Value: l.Level}, terminal.Pair{Key: "msg", Value: strings.TrimSuffix(l.Body, "\n")})
	default:
		return p.lines.Write(l)
	}
}

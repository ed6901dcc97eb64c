package scf

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/diagnose"
	"github.com/coldscope/coldscope/query/read"
)

// mb is what SCF calls MB, in bytes.
const mb = 1 << 20

// cutNote ends a log of which there is more.
const cutNote = "[the log is cut here: SCF keeps 5000 lines and 1 MB of a request; the request's page in Coldscope has more]"

// text is a request's log as SCF prints it. What a provisioned instance
// printed, and the report of its start, come before the first request on it.
func text(l *read.Log) string {
	v := &l.Invocation
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	printed := func(lines []string) {
		for _, s := range lines {
			b.WriteString(s + "\n")
		}
	}
	report := ""
	if l.Start != nil && l.Start.ReadyAt != nil {
		report = startReport(l.Start, v.RequestID)
	}
	provisioned := l.Start != nil && l.Start.Initialization == faas.Provisioned
	if provisioned {
		printed(l.Init)
		if report != "" {
			line("Provisioned Report %s", report)
		}
	}
	line("START RequestId:%s", v.RequestID)
	if !provisioned {
		printed(l.Init)
		if report != "" {
			line("Init Report %s", report)
		}
	}
	printed(l.Lines)
	if l.Cut {
		line(cutNote)
	}
	if v.Status == faas.StatusRunning {
		return b.String()
	}
	message := retMsg(v)
	if message != "" {
		line("ERROR RequestId:%s Result:%s", v.RequestID, oneLine(message))
	}
	line("Response RequestId:%s RetMsg:%s", v.RequestID, quoted(message))
	line("END RequestId:%s", v.RequestID)
	line("Report RequestId:%s Duration:%dms%s", v.RequestID, int64(math.Round(durationMS(v))), memory(":", l.MemoryLimit, v.MemoryPeak, -1))
	return b.String()
}

// startReport is a start's three parts, which add up to the whole. PullCode is
// what the start waited for the image, InitFunction for the function to listen,
// InitRuntime for everything else.
func startReport(s *read.ColdStart, requestID string) string {
	diagnose.CriticalPath(s)
	var pull, function float64
	for i := range s.Phases {
		p := &s.Phases[i]
		switch p.Name {
		case faas.PhaseCredentials, faas.PhaseResolve, faas.PhasePull, faas.PhaseUnpack:
			pull += p.CriticalMS
		case faas.PhaseInit:
			function += p.CriticalMS
		case faas.PhaseQueue, faas.PhaseSchedule, faas.PhaseCreate, faas.PhaseStart:
		}
	}
	total, pullCode := int64(math.Round(s.TotalMS)), int64(math.Round(pull))
	initFunction := min(int64(math.Round(function)), total-min(pullCode, total))
	pullCode = min(pullCode, total)
	return fmt.Sprintf("RequestId: %s Coldstart: %dms (PullCode: %dms InitRuntime: %dms InitFunction: %dms)%s",
		requestID, total, pullCode, total-pullCode-initFunction, initFunction, memory(": ", s.MemoryLimit, s.MemoryPeak, 2))
}

// memory is the end of a report, as far as its figures are known.
func memory(colon string, limit, used *int64, decimals int) string {
	var b strings.Builder
	if limit != nil {
		b.WriteString(" Memory" + colon + megabytes(*limit, -1))
	}
	if used != nil {
		b.WriteString(" MemUsage" + colon + megabytes(*used, decimals))
	}
	return b.String()
}

func megabytes(n int64, decimals int) string {
	return strconv.FormatFloat(float64(n)/mb, 'f', decimals, 64) + "MB"
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func quoted(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSpace(b.String())
}

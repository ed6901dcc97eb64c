package scf

import (
	"cmp"
	"context"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/read"
)

// Limits of GetFunctionLogs, as Tencent has them.
const (
	defaultNamespace = "default"
	defaultLimit     = 20
	maxReach         = 10_000 // Offset + Limit
	maxDays          = 24 * time.Hour
	maxLine          = 8 << 10 // bytes
	maxLines         = 5000    // of one request
	maxLog           = 1 << 20 // bytes, of one request
	maxAnswer        = 32 << 20
)

// maxKeyword is the longest keyword, in bytes.
const maxKeyword = 1 << 10

type functionLogsRequest struct {
	FunctionName      string
	Offset, Limit     *number
	Order, OrderBy    string
	Filter            *struct{ RetCode string }
	Namespace         string
	Qualifier         string
	FunctionRequestId string //nolint:revive // the API's name
	StartTime         string
	EndTime           string
	SearchContext     *struct {
		Offset  string // retired: Offset and Limit above count
		Limit   *number
		Keyword string
		Type    string
	}
}

type functionLogs struct {
	TotalCount    uint64
	Data          []functionLog
	SearchContext *struct{}
	RequestID     string `json:"RequestId"`
}

// functionLog is one request. RetCode and MemUsage are not those of requestStatus.
type functionLog struct {
	FunctionName   string
	RetMsg         string
	RequestID      string `json:"RequestId"`
	StartTime      string
	RetCode        int     // 0 ok, 2 running, 3 interrupted, else the status code of its failure
	InvokeFinished int     // 1: it has ended
	Duration       float64 // ms
	BillDuration   int64   // ms, up to the next 100
	MemUsage       int64   // bytes
	Log            string
	Level, Source  string // deprecated
	RetryNum       uint64
}

// logOrders are the values of OrderBy.
var logOrders = map[string]read.LogOrder{
	"": read.LogsByStart, "start_time": read.LogsByStart, "function_name": read.LogsByFunction, "duration": read.LogsByDuration, "mem_usage": read.LogsByMemory,
}

// failed are the states of a request that has an error log.
var failed = []faas.Status{faas.StatusError, faas.StatusTimeout, faas.StatusOOM, faas.StatusCancelled}

// retCodeFilters are the values of Filter.RetCode.
var retCodeFilters = map[string][]faas.Status{
	"":                      nil,
	"is0":                   {faas.StatusOK},
	"not0":                  failed,
	"TimeLimitExceeded":     {faas.StatusTimeout},
	"ResourceLimitExceeded": {faas.StatusOOM},
	"UserCodeException":     {faas.StatusError},
}

func (a *API) getFunctionLogs(ctx context.Context, c *call) (any, error) {
	var req functionLogsRequest
	if err := c.decode(&req); err != nil {
		return nil, err
	}
	now := a.now()
	f, err := req.filter(now)
	if err != nil {
		return nil, err
	}
	logs, total, err := a.reader.Logs(ctx, c.tenant, f)
	if err != nil {
		return nil, err
	}
	if total == 0 {
		if err := a.known(ctx, c.tenant, f.Namespace, f.Function); err != nil {
			return nil, err
		}
	}
	limits := read.LogLimits{LineBytes: maxLine, Lines: maxLines, Bytes: maxLog, AllBytes: maxAnswer}
	if err := a.reader.Print(ctx, c.tenant, f, logs, limits, now); err != nil {
		return nil, err
	}
	answer := &functionLogs{TotalCount: total, Data: make([]functionLog, len(logs)), RequestID: uuid.NewString()}
	for i := range logs {
		answer.Data[i] = newFunctionLog(&logs[i])
	}
	return answer, nil
}

// known is an error if there is nothing of the function. Of no name there is.
func (a *API) known(ctx context.Context, tenant, namespace, function string) error {
	if function == "" {
		return nil
	}
	known, err := a.reader.Knows(ctx, tenant, namespace, function)
	if err == nil && !known {
		err = fault(notFoundFunction, "nothing is stored of function %q in namespace %q", function, namespace)
	}
	return err
}

func (req *functionLogsRequest) filter(now time.Time) (*read.LogFilter, error) {
	f := &read.LogFilter{
		Namespace: cmp.Or(req.Namespace, defaultNamespace), Function: req.FunctionName, Version: req.Qualifier, RequestID: req.FunctionRequestId,
	}
	var err error
	if f.Offset, f.Limit, err = page(req.Offset, req.Limit, invalidParameterValue); err != nil {
		return nil, err
	}
	if f.Offset+f.Limit > maxReach {
		return nil, fault(limitExceededOffset, "Offset + Limit is %d, at most %d", f.Offset+f.Limit, maxReach)
	}
	if f.Ascending, err = ascending(req.Order); err != nil {
		return nil, err
	}
	var ok bool
	if f.Order, ok = logOrders[req.OrderBy]; !ok {
		return nil, fault(invalidOrderBy, "OrderBy %q is none of function_name, duration, mem_usage, start_time", req.OrderBy)
	}
	if req.Filter != nil {
		if f.Statuses, ok = retCodeFilters[req.Filter.RetCode]; !ok {
			return nil, fault(invalidRetCode, "Filter.RetCode %q is none of not0, is0, TimeLimitExceeded, ResourceLimitExceeded, UserCodeException", req.Filter.RetCode)
		}
	}
	if s := req.SearchContext; s != nil {
		if len(s.Keyword) > maxKeyword {
			return nil, fault(invalidParameterValue, "SearchContext.Keyword has more than %d bytes", maxKeyword)
		}
		f.Keyword = s.Keyword
		switch s.Type {
		case "", "Application":
		case "Platform":
			f.Platform = true
		default:
			return nil, fault(invalidParameterValue, "SearchContext.Type %q is none of Application, Platform", s.Type)
		}
	}
	if req.StartTime == "" && req.EndTime == "" && req.FunctionRequestId != "" {
		return f, nil // wherever it is
	}
	f.Range, err = req.within(now)
	return f, err
}

// page reads Offset and Limit.
func page(offset, limit *number, limitCode string) (int, int, error) {
	o, l := offset.or(0), limit.or(defaultLimit)
	switch {
	case o < 0 || o > math.MaxInt32:
		return 0, 0, fault(invalidOffset, "Offset is %d: want 0 or more", o)
	case l < 0 || l > math.MaxInt32:
		return 0, 0, fault(limitCode, "Limit is %d: want 0 or more", l)
	}
	return int(o), int(l), nil
}

func ascending(order string) (bool, error) {
	switch strings.ToLower(order) {
	case "", "desc":
		return false, nil
	case "asc":
		return true, nil
	}
	return false, fault(invalidOrder, "Order %q is none of desc, asc", order)
}

// within is the day that is asked about, or what of it is. Both times are in
// it, to the end of their seconds; of one alone a day is asked about.
func (req *functionLogsRequest) within(now time.Time) (read.Range, error) {
	var since, until time.Time
	var err error
	if req.StartTime != "" {
		if since, err = parseTime("StartTime", req.StartTime); err != nil {
			return read.Range{}, err
		}
	}
	if req.EndTime != "" {
		if until, err = parseTime("EndTime", req.EndTime); err != nil {
			return read.Range{}, err
		}
	}
	switch {
	case until.IsZero() && since.IsZero():
		until = now
		since = until.Add(-maxDays)
	case until.IsZero():
		until = since.Add(maxDays)
	case since.IsZero():
		since = until.Add(-maxDays)
	case until.Before(since):
		return read.Range{}, fault(invalidStartOrEndTime, "EndTime is before StartTime")
	case until.Sub(since) > maxDays:
		return read.Range{}, fault(invalidStartOrEndTime, "StartTime and EndTime are more than one day apart")
	}
	return read.Range{Since: since, Until: until.Add(time.Second)}, nil
}

func newFunctionLog(l *read.Log) functionLog {
	v := &l.Invocation
	ms := durationMS(v)
	log := functionLog{
		FunctionName: v.Function, RetMsg: retMsg(v), RequestID: v.RequestID, StartTime: formatTime(v.StartedAt),
		RetCode: logRetCode(l), Duration: ms, BillDuration: int64(math.Ceil(ms/100)) * 100, Log: text(l),
		RetryNum: uint64(l.Retry), //nolint:gosec // it counts up from 0
	}
	if v.Status != faas.StatusRunning {
		log.InvokeFinished = 1
	}
	if v.MemoryPeak != nil {
		log.MemUsage = *v.MemoryPeak
	}
	return log
}

// durationMS is the time in the handler; 0 while it is not known.
func durationMS(v *read.Invocation) float64 {
	switch {
	case v.DurationMS != nil:
		return *v.DurationMS
	case v.EndedAt != nil:
		return read.Millis(v.EndedAt.Sub(v.StartedAt))
	}
	return 0
}

// retMsg says what a failed request failed of. What one answered is stored
// nowhere.
func retMsg(v *read.Invocation) string {
	switch v.Status {
	case faas.StatusOK, faas.StatusRunning, faas.StatusUnknown:
		return ""
	case faas.StatusError, faas.StatusTimeout, faas.StatusOOM, faas.StatusCancelled:
	}
	return cmp.Or(v.Error, string(v.Status))
}

// The RetCodes of GetFunctionLogs. Those of failures are SCF's status codes.
const (
	logOK            = 0
	logRunning       = 2
	logInterrupted   = 3
	logUserCode      = 430 // the code raised an error
	logTimeLimit     = 433
	logMemoryLimit   = 434
	logProcessEnded  = 439 // the code's process ended
	logPullFailed    = 444 // the image could not be had
	logContainerInit = 445 // its command could not be started
	logPortBinding   = 446 // nothing listened
)

func logRetCode(l *read.Log) int {
	v := &l.Invocation
	switch v.Status {
	case faas.StatusOK:
		return logOK
	case faas.StatusRunning, faas.StatusUnknown:
		return logRunning
	case faas.StatusCancelled:
		return logInterrupted
	case faas.StatusTimeout:
		return logTimeLimit
	case faas.StatusOOM:
		return logMemoryLimit
	case faas.StatusError:
		if code := startRetCode(l.Start); code != 0 {
			return code
		}
		if v.ClosedBy == closedByCrash {
			return logProcessEnded
		}
	}
	return logUserCode
}

// startRetCode says what the start failed of that a request waited for; 0 if
// that is not known, or it did not fail.
func startRetCode(s *read.ColdStart) int {
	if s == nil || s.ReadyAt != nil {
		return 0
	}
	for i := range s.Phases {
		if s.Phases[i].Error == "" {
			continue
		}
		switch s.Phases[i].Name {
		case faas.PhaseCredentials, faas.PhaseResolve, faas.PhasePull, faas.PhaseUnpack:
			return logPullFailed
		case faas.PhaseCreate, faas.PhaseStart:
			return logContainerInit
		case faas.PhaseInit:
			return logPortBinding
		case faas.PhaseQueue, faas.PhaseSchedule:
		}
	}
	return 0
}

// closedByCrash is the ClosedBy of a request whose instance ended by itself.
const closedByCrash = "crash"

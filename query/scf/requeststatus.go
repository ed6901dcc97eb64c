package scf

import (
	"cmp"
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/read"
)

// lately is what GetRequestStatus looks through where it is not told.
const lately = 15 * time.Minute

// maxAttempts is the most attempts of a request that are told.
const maxAttempts = 100

type requestStatusRequest struct {
	FunctionName      string
	FunctionRequestId string //nolint:revive // the API's name
	Namespace         string
	StartTime         string
	EndTime           string
}

type requestStatuses struct {
	TotalCount uint64
	Data       []requestStatus
	RequestID  string `json:"RequestId"`
}

// requestStatus is one attempt of a request. RetCode and MemUsage are not those
// of functionLog.
type requestStatus struct {
	FunctionName string
	RetMsg       string
	RequestID    string `json:"RequestId"`
	StartTime    string
	RetCode      int     // 0 ok, 1 running, -1 failed
	Duration     float64 // ms
	MemUsage     float64 // MB
	RetryNum     int64
}

func (a *API) getRequestStatus(ctx context.Context, c *call) (any, error) {
	var req requestStatusRequest
	if err := c.decode(&req); err != nil {
		return nil, err
	}
	f, err := req.filter(a.now())
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
	if err := a.reader.Number(ctx, c.tenant, f, logs); err != nil {
		return nil, err
	}
	answer := &requestStatuses{TotalCount: total, Data: make([]requestStatus, len(logs)), RequestID: uuid.NewString()}
	for i := range logs {
		answer.Data[i] = newRequestStatus(&logs[i])
	}
	return answer, nil
}

func (req *requestStatusRequest) filter(now time.Time) (*read.LogFilter, error) {
	switch {
	case req.FunctionName == "":
		return nil, fault(invalidFunctionName, "FunctionName is needed")
	case req.FunctionRequestId == "":
		return nil, fault(invalidFunctionRequestID, "FunctionRequestId is needed")
	}
	f := &read.LogFilter{
		Namespace: cmp.Or(req.Namespace, defaultNamespace), Function: req.FunctionName, RequestID: req.FunctionRequestId,
		Order: read.LogsByStart, Limit: maxAttempts,
	}
	until := now
	var err error
	switch {
	case req.EndTime != "":
		if until, err = parseTime("EndTime", req.EndTime); err != nil {
			return nil, err
		}
	case req.StartTime != "":
		return nil, fault(invalidStartOrEndTime, "with StartTime, EndTime is needed, too")
	}
	since := now.Add(-lately)
	if req.StartTime != "" {
		if since, err = parseTime("StartTime", req.StartTime); err != nil {
			return nil, err
		}
	}
	if !until.After(since) {
		return nil, fault(invalidStartOrEndTime, "EndTime has to be later than StartTime, which is 15 minutes ago where it is not given")
	}
	f.Range = read.Range{Since: since, Until: until.Add(time.Second)}
	return f, nil
}

func newRequestStatus(l *read.Log) requestStatus {
	v := &l.Invocation
	s := requestStatus{
		FunctionName: v.Function, RetMsg: retMsg(v), RequestID: v.RequestID, StartTime: formatTime(v.StartedAt),
		RetCode: statusRetCode(v.Status), Duration: durationMS(v), RetryNum: int64(l.Retry),
	}
	if v.MemoryPeak != nil {
		s.MemUsage = float64(*v.MemoryPeak) / mb
	}
	return s
}

func statusRetCode(s faas.Status) int {
	switch s {
	case faas.StatusOK:
		return 0
	case faas.StatusRunning, faas.StatusUnknown:
		return 1
	case faas.StatusError, faas.StatusTimeout, faas.StatusOOM, faas.StatusCancelled:
	}
	return -1
}

package limit

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// ClickHouse's codes for what goes beyond a limit; a test asks the engine for
// their names.
const (
	codeTooManyRows         = 158
	codeTimeoutExceeded     = 159
	codeMemoryLimitExceeded = 241
	codeTooManyBytes        = 307
	codeResultTooLarge      = 396
	codeTooSlow             = 160
)

// Problem is what a limit's excess is answered with (RFC 9457): Type names it
// for programs, Detail says to people what happened and what they can do.
type Problem struct {
	Type   string
	Status int
	Detail string
}

// Types of problems.
const (
	TypeTime   = "urn:coldscope:problem:query-time"
	TypeRows   = "urn:coldscope:problem:query-rows"
	TypeMemory = "urn:coldscope:problem:query-memory"
	TypeBusy   = "urn:coldscope:problem:too-many-queries"
)

const narrow = "name the function, narrow the time range, or add filters"

// Problem says which of q's limits err is about. ok is false if it is about
// none: what the engine as a whole is short of is not a query's fault.
func (q Query) Problem(err error) (p Problem, ok bool) {
	if busy, ok := errors.AsType[*BusyError](err); ok {
		status := http.StatusServiceUnavailable
		if busy.Tenant {
			status = http.StatusTooManyRequests
		}
		return Problem{TypeBusy, status, busy.Error()}, true
	}
	exception, ok := errors.AsType[*clickhouse.Exception](err)
	if !ok {
		return Problem{}, false
	}
	switch exception.Code {
	case codeTimeoutExceeded, codeTooSlow:
		return Problem{TypeTime, http.StatusUnprocessableEntity, fmt.Sprintf(
			"the query took longer than it may (%s): %s; query.limits.time is where the limit is", q.Time, narrow)}, true
	case codeTooManyRows, codeTooManyBytes, codeResultTooLarge:
		return Problem{TypeRows, http.StatusUnprocessableEntity, fmt.Sprintf(
			"the query has to read more rows than it may (%d): %s; query.limits.rows_read is where the limit is", q.RowsRead, narrow)}, true
	case codeMemoryLimitExceeded:
		if strings.Contains(exception.Message, "(total)") || strings.Contains(exception.Message, "(for user)") {
			return Problem{}, false
		}
		return Problem{TypeMemory, http.StatusUnprocessableEntity, fmt.Sprintf(
			"the query needs more memory than it may have (%d bytes): %s; query.limits.memory is where the limit is", q.Memory, narrow)}, true
	}
	return Problem{}, false
}

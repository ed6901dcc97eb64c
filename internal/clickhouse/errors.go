package clickhouse

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
)

// retryableCodes are the server's errors that pass by themselves: overload,
// shortage, shutdown, start-up, lost peers. Any other code means that the same
// statement will fail the same way (syntax, types, unknown table, rights).
// A test asks the engine itself whether each number has this name.
var retryableCodes = map[int32]string{
	159: "TIMEOUT_EXCEEDED",
	198: "DNS_ERROR",
	201: "QUOTA_EXCEEDED",
	202: "TOO_MANY_SIMULTANEOUS_QUERIES",
	203: "NO_FREE_CONNECTION",
	209: "SOCKET_TIMEOUT",
	210: "NETWORK_ERROR",
	225: "NO_ZOOKEEPER",
	236: "ABORTED", // the server is shutting down
	241: "MEMORY_LIMIT_EXCEEDED",
	242: "TABLE_IS_READ_ONLY", // a replica that is starting or lost its keeper
	243: "NOT_ENOUGH_SPACE",
	244: "UNEXPECTED_ZOOKEEPER_ERROR",
	252: "TOO_MANY_PARTS",
	254: "NO_ACTIVE_REPLICAS",
	279: "ALL_CONNECTION_TRIES_FAILED",
	285: "TOO_FEW_LIVE_REPLICAS",
	286: "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
	289: "REPLICA_IS_NOT_IN_QUORUM",
	319: "UNKNOWN_STATUS_OF_INSERT",
	394: "QUERY_WAS_CANCELLED", // by the server: ours end as context.Canceled
	425: "SYSTEM_ERROR",
	439: "CANNOT_SCHEDULE_TASK",
	473: "DEADLOCK_AVOIDED",
	499: "S3_ERROR",
	517: "CANNOT_ASSIGN_ALTER",
	574: "DISTRIBUTED_TOO_MANY_PENDING_BYTES",
	667: "NOT_INITIALIZED",
	692: "TOO_MANY_MUTATIONS",
	745: "SERVER_OVERLOADED",
	999: "KEEPER_EXCEPTION",
}

// Retryable reports whether the same operation may succeed later without
// anybody changing it: the network, a timeout, an overloaded, starting or
// stopping server. Errors of syntax, type and permission are not, nor is a
// context that the caller cancelled.
func Retryable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	if exception, ok := errors.AsType[*clickhousego.Exception](err); ok {
		_, ok := retryableCodes[exception.Code]
		return ok
	}
	for _, target := range []error{
		context.DeadlineExceeded,
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed,
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT,
		clickhousego.ErrAcquireConnTimeout, clickhousego.ErrConnectionClosed,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	var connection *net.OpError
	var lookup *net.DNSError
	var timeout net.Error // os.ErrDeadlineExceeded, and others; url.Error is one too, so ask
	return errors.As(err, &connection) || errors.As(err, &lookup) || errors.As(err, &timeout) && timeout.Timeout()
}

package aggregator

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"  // senders may compress
	_ "google.golang.org/grpc/encoding/proto" // the codec of messages
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"github.com/coldscope/coldscope/aggregator/ingest"
	"github.com/coldscope/coldscope/internal/wire"
)

const (
	// maxStreams is how many calls a connection has at a time, and maxCalls how
	// many there are in all.
	maxStreams = 16
	maxCalls   = 512
)

// method is one of OTLP's over gRPC.
type method struct {
	endpoint, protocol string // as metrics name them
	// read makes a batch of a message. Its error means that no entry can be taken.
	read func(tenant string, message []byte) (ingest.Batch, error)
	// answer tells of a batch that is stored, as far as it was not refused.
	answer func(*ingest.Batch) proto.Message
}

// ServeOTLP serves OTLP's logs and traces over gRPC on l, which it closes, until
// ctx ends. Calls that are under way then are answered first, for at most
// Config.Drain. The options say who may call, and by which certificate.
//
// Calls are bounded as requests over HTTP are: one is refused before it is read
// if too many are under way or too much has been read already, and waits
// for room as the bytes that it came in until something is made of it.
func (a *Aggregator) ServeOTLP(ctx context.Context, l net.Listener, options ...grpc.ServerOption) error {
	server := grpc.NewServer(append(options,
		grpc.MaxRecvMsgSize(int(a.cfg.Ingest.BodyBytes)), grpc.MaxConcurrentStreams(maxStreams),
		grpc.InTapHandle(a.admit), grpc.ForceServerCodecV2(codec{encoding.GetCodecV2("proto")}),
	)...)
	server.RegisterService(a.service(logspb.LogsService_ServiceDesc.ServiceName, method{
		"grpc_logs", protocolLogs,
		func(tenant string, message []byte) (ingest.Batch, error) { return a.decodeLogs(tenant, message, false) },
		func(b *ingest.Batch) proto.Message { return logsResponse(b) },
	}), nil)
	server.RegisterService(a.service(tracepb.TraceService_ServiceDesc.ServiceName, method{
		"grpc_traces", protocolSpans,
		func(tenant string, message []byte) (ingest.Batch, error) {
			return a.decodeSpans(tenant, message, false)
		},
		func(b *ingest.Batch) proto.Message { return spansResponse(b) },
	}), nil)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Drain)
	defer cancel()
	stop := context.AfterFunc(drain, server.Stop)
	server.GracefulStop()
	stop()
	if err := <-served; !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// admit refuses a call before anything of it is read, if there is too much to
// do already.
func (a *Aggregator) admit(ctx context.Context, _ *tap.Info) (context.Context, error) {
	if a.calls.Add(1) > maxCalls || a.reading.Load() > a.cfg.Pending {
		a.calls.Add(-1)
		return nil, rpcStatus(&wire.StatusError{Code: http.StatusTooManyRequests, Message: "too many calls are under way already", RetryAfter: time.Second}).Err()
	}
	context.AfterFunc(ctx, func() { a.calls.Add(-1) }) // it ends with the call
	return ctx, nil
}

// service describes one with the method Export alone. Its messages arrive as
// they came: what is made of them takes some times their size.
func (a *Aggregator) service(name string, m method) *grpc.ServiceDesc {
	export := func(_ any, ctx context.Context, receive func(any) error, guard grpc.UnaryServerInterceptor) (any, error) {
		message := new(raw)
		if err := receive(message); err != nil {
			return nil, err
		}
		defer a.count(len(*message))()
		call := func(ctx context.Context, _ any) (any, error) { return a.export(ctx, &m, *message) }
		if guard == nil {
			return call(ctx, message)
		}
		return guard(ctx, message, &grpc.UnaryServerInfo{FullMethod: "/" + name + "/Export"}, call)
	}
	return &grpc.ServiceDesc{ServiceName: name, HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Export", Handler: export}}}
}

// count counts bytes that were read, until what it gives is called.
func (a *Aggregator) count(n int) (done func()) {
	a.reading.Add(int64(n))
	return func() { a.reading.Add(-int64(n)) }
}

// export takes a message and returns when all of it is stored that can be.
func (a *Aggregator) export(ctx context.Context, m *method, message []byte) (proto.Message, error) {
	tenant := tenantOfCall(ctx)
	batch, stay, err := a.admitted(ctx, message, func() (ingest.Batch, error) { return m.read(tenant, message) })
	if err == nil {
		err = a.take(ctx, m.protocol, tenant, &batch, stay)
	}
	stay.leave()
	code := http.StatusOK
	if why, ok := errors.AsType[*wire.StatusError](err); ok {
		code, err = why.Code, rpcStatus(why).Err()
	}
	a.metrics.pushes.WithLabelValues(m.endpoint, strconv.Itoa(code)).Inc()
	if err != nil {
		return nil, err
	}
	return m.answer(&batch), nil
}

// raw is a message as it came, inflated.
type raw []byte

// codec is protobuf's, but that it leaves raw as it is.
type codec struct{ encoding.CodecV2 }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if r, ok := v.(*raw); ok {
		*r = data.Materialize()
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

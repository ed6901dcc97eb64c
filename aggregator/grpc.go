package aggregator

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"

	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // senders may compress

	"github.com/coldscope/coldscope/aggregator/ingest"
	"github.com/coldscope/coldscope/internal/wire"
)

// maxStreams is how many calls a connection has at a time.
const maxStreams = 16

// ServeOTLP serves OTLP's logs and traces over gRPC on l, which it closes, until
// ctx ends. Calls that are under way then are answered first, for at most
// Config.Drain. The options say who may call, and by which certificate.
func (a *Aggregator) ServeOTLP(ctx context.Context, l net.Listener, options ...grpc.ServerOption) error {
	server := grpc.NewServer(append(options,
		grpc.MaxRecvMsgSize(int(a.cfg.Ingest.BodyBytes)), grpc.MaxConcurrentStreams(maxStreams),
	)...)
	logspb.RegisterLogsServiceServer(server, logsService{a: a})
	tracepb.RegisterTraceServiceServer(server, traceService{a: a})
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

// logsService is OTLP's for logs.
type logsService struct {
	logspb.UnimplementedLogsServiceServer
	a *Aggregator
}

// Export takes lines. It returns when they are stored.
func (s logsService) Export(ctx context.Context, req *logspb.ExportLogsServiceRequest) (*logspb.ExportLogsServiceResponse, error) {
	tenant := tenantOfCall(ctx)
	batch := s.a.decoder.Logs(tenant, req)
	if err := s.a.export(ctx, "grpc_logs", protocolLogs, tenant, &batch); err != nil {
		return nil, err
	}
	return logsResponse(&batch), nil
}

// traceService is OTLP's for spans.
type traceService struct {
	tracepb.UnimplementedTraceServiceServer
	a *Aggregator
}

// Export takes the spans that are invocations. It returns when they are stored.
func (s traceService) Export(ctx context.Context, req *tracepb.ExportTraceServiceRequest) (*tracepb.ExportTraceServiceResponse, error) {
	tenant := tenantOfCall(ctx)
	batch := s.a.decoder.Spans(tenant, req)
	if err := s.a.export(ctx, "grpc_traces", protocolSpans, tenant, &batch); err != nil {
		return nil, err
	}
	return spansResponse(&batch), nil
}

// export is take for gRPC.
func (a *Aggregator) export(ctx context.Context, endpoint, protocol, tenant string, batch *ingest.Batch) error {
	err := a.take(ctx, protocol, tenant, batch)
	code := http.StatusOK
	if why, ok := errors.AsType[*wire.StatusError](err); ok {
		code, err = why.Code, rpcStatus(why).Err()
	}
	a.metrics.pushes.WithLabelValues(endpoint, strconv.Itoa(code)).Inc()
	return err
}

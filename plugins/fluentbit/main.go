// Command fluentbit is out_coldscope.so, an output plugin for Fluent Bit. It
// is built as a C library and only carries Fluent Bit's calls over to package
// deliver:
//
//	go build -buildmode=c-shared -o bin/out_coldscope.so ./plugins/fluentbit
package main

import "C"

import (
	"context"
	"log/slog"
	"os"
	"unsafe"

	"github.com/fluent/fluent-bit-go/output"

	"github.com/coldscope/coldscope/plugins/fluentbit/deliver"
)

// FLBPluginRegister tells Fluent Bit the plugin's name.
//
//export FLBPluginRegister
func FLBPluginRegister(def unsafe.Pointer) C.int {
	return C.int(output.FLBPluginRegister(def, "coldscope", "Coldscope: what every request of a function printed"))
}

// FLBPluginInit makes the sender of one output section.
//
//export FLBPluginInit
func FLBPluginInit(plugin unsafe.Pointer) C.int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("plugin", "out_coldscope")
	cfg, err := deliver.ParseConfig(func(key string) string { return output.FLBPluginConfigKey(plugin, key) })
	if err != nil {
		log.Error("bad configuration", "error", err)
		return output.FLB_ERROR
	}
	sender, err := deliver.New(cfg, log)
	if err != nil {
		log.Error("bad configuration", "error", err)
		return output.FLB_ERROR
	}
	output.FLBPluginSetContext(plugin, sender)
	return output.FLB_OK
}

// FLBPluginFlushCtx delivers one chunk. Fluent Bit keeps data until it returns.
//
//export FLBPluginFlushCtx
func FLBPluginFlushCtx(ctx, data unsafe.Pointer, length C.int, tag *C.char) C.int {
	sender, ok := output.FLBPluginGetContext(ctx).(*deliver.Sender)
	if !ok || length < 0 {
		return output.FLB_ERROR
	}
	chunk := unsafe.Slice((*byte)(data), int(length))
	//nolint:forbidigo // a C caller has no context; Deliver sets its own deadline
	switch sender.Deliver(context.Background(), C.GoString(tag), chunk) {
	case deliver.Accepted:
		return output.FLB_OK
	case deliver.Retry:
		return output.FLB_RETRY
	case deliver.Rejected:
	}
	return output.FLB_ERROR
}

// FLBPluginExitCtx ends one output section.
//
//export FLBPluginExitCtx
func FLBPluginExitCtx(ctx unsafe.Pointer) C.int {
	if sender, ok := output.FLBPluginGetContext(ctx).(*deliver.Sender); ok {
		sender.Close()
	}
	return output.FLB_OK
}

// FLBPluginExit is what a Fluent Bit too old for FLBPluginExitCtx calls.
//
//export FLBPluginExit
func FLBPluginExit() C.int { return output.FLB_OK }

// FLBPluginUnregister gives back what FLBPluginRegister took.
//
//export FLBPluginUnregister
func FLBPluginUnregister(def unsafe.Pointer) { output.FLBPluginUnregister(def) }

func main() {}

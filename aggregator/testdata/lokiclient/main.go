// Command lokiclient sends what it reads from its standard input, one JSON
// object a line, with Promtail's own client. It is a module of its own: what the
// client depends on is not to become Coldscope's.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/grafana/loki-client-go/loki"
	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/common/model"
)

// entry is one line to send.
type entry struct {
	Labels   model.LabelSet
	Time     time.Time
	Line     string
	Metadata push.LabelsAdapter
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	url := flag.String("url", "", "where to")
	tenant := flag.String("tenant", "", "as whom")
	inJSON := flag.Bool("json", false, "in JSON, not in protobuf")
	flag.Parse()
	cfg, err := loki.NewDefaultConfig(*url)
	if err != nil {
		return err
	}
	cfg.TenantID, cfg.EncodeJson = *tenant, *inJSON
	cfg.BatchSize, cfg.BatchWait = 1500, time.Hour
	cfg.BackoffConfig.MinBackoff, cfg.BackoffConfig.MaxBackoff = time.Millisecond, 20*time.Millisecond
	cfg.BackoffConfig.MaxRetries = 0 // for ever
	client, err := loki.NewWithLogger(cfg, silent{})
	if err != nil {
		return err
	}
	defer client.Stop()
	for in := json.NewDecoder(os.Stdin); ; {
		var e entry
		if err := in.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := client.HandleWithMetadata(e.Labels, e.Time, e.Line, e.Metadata); err != nil {
			return err
		}
	}
}

// silent is the client's logger: the test sees by itself what has arrived.
type silent struct{}

func (silent) Log(...any) error { return nil }

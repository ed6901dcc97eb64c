package ingest

import (
	"github.com/cespare/xxhash/v2"

	"github.com/coldscope/coldscope/internal/faas"
)

// eventBytes stands for what an event takes that was not JSON.
const eventBytes = 512

// Events gives events that are valid as a batch.
func Events(events []faas.Event) Batch {
	return Batch{Events: events, Accepted: len(events), Bytes: eventBytes * len(events)}
}

// Lambda reads a body of AWS Lambda's Telemetry API, of the tenant and the
// instance that ref names. It takes all of it or nothing.
func (d *Decoder) Lambda(body []byte, ref faas.Ref) (Batch, error) {
	read, err := d.lambda.Decode(body, ref)
	if err != nil {
		return Batch{}, err
	}
	b := d.batch(ref.Tenant)
	b.Batch = Events(read.Events)
	b.Ignored = read.Ignored
	senders := map[faas.Ref]*sender{}
	for i := range read.Lines {
		l := &read.Lines[i]
		if refused := b.checkTime(l.Time); refused != nil {
			b.reject(1, refused)
			continue
		}
		from := senders[l.Ref]
		if from == nil {
			from = &sender{id: xxhash.Sum64String(l.Namespace + "\x00" + l.Function + "\x00" + l.Instance)}
			senders[l.Ref] = from
		}
		l.FileID, l.Offset = from.derivePosition(l, "")
		b.add(l)
	}
	return b.Batch, nil
}

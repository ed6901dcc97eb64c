package runtimelog

import (
	"errors"
	"fmt"
	"time"

	"github.com/coldscope/coldscope/internal/durable"
	"github.com/coldscope/coldscope/internal/faas"
)

// Format is how a runtime writes its records.
type Format uint8

// The formats.
const (
	CRI      Format = iota + 1 // <time> <stream> <P|F> <text>
	JSONFile                   // {"log":"…\n","stream":"…","time":"…"}
	Journal                    // <crc32c> <payload>; see internal/durable
	Local                      // one LogEntry of Docker's local driver, without the length words around it
	Plain                      // any text: a line a record, all of it stdout; see Decoder.Plain
)

// ErrRecord is wrapped by Decode for a record that is not of the format.
var ErrRecord = errors.New("not a record")

// Record is one decoded record: a line or a piece of one.
type Record struct {
	Time    time.Time // zero in a journal
	Guessed bool      // Time is not the record's own, but what SetTime gave
	Stream  faas.Stream
	Body    []byte // raw: may hold invalid UTF-8 and NUL
	Partial bool   // the line goes on in the stream's next record
	Cut     int64  // bytes that are missing in Body, see CutAt
	CutAt   int    // where they are missing; nothing of the line is behind it if it equals len(Body)

	ascii bool // Body is known to be plain ASCII
}

// Decoder decodes the records of one file, one after the other. It is not safe
// for concurrent use.
type Decoder struct {
	format  Format
	clock   clock
	scratch []byte
	marks   []marks
	attrs   []byte // the last record's, with their key: known to be JSON
	plain   PlainOptions
	time    time.Time // see SetTime
}

// NewDecoder makes a Decoder.
func NewDecoder(f Format) *Decoder { return &Decoder{format: f} }

// Decode decodes data, a record without its newline, which has cut bytes
// missing before data[cutAt]. The result may refer to data. ok is false for a
// record that is in order but carries nothing. The error wraps ErrRecord.
func (d *Decoder) Decode(data []byte, cut int64, cutAt int) (rec Record, ok bool, err error) {
	switch d.format {
	case CRI:
		err = d.cri(data, &rec)
	case JSONFile:
		if cut > 0 {
			err = d.jsonCut(data, cut, cutAt, &rec)
			cut = 0 // it knows where
		} else {
			err = d.json(data, &rec)
		}
	case Local:
		if err = local(data, &rec); cut > 0 {
			err = fmt.Errorf("%w: too long", ErrRecord) // its lengths count what is missing
		}
	case Plain:
		d.line(data, &rec)
	case Journal:
		payload, good := durable.Record(data)
		if !good || cut > 0 {
			return Record{}, false, fmt.Errorf("%w: checksum does not match", ErrRecord)
		}
		return Record{Stream: faas.Platform, Body: payload}, !durable.Header(payload), nil
	default:
		err = fmt.Errorf("%w: unknown format %d", ErrRecord, d.format)
	}
	if err != nil {
		return Record{}, false, err
	}
	if cut > 0 {
		rec.Cut, rec.CutAt = cut, max(0, cutAt-(len(data)-len(rec.Body)))
	}
	return rec, true, nil
}

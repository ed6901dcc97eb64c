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
	Local
	Plain
)

// ErrRecord is wrapped by Decode for a record that is not of the format.
var ErrRecord = errors.New("not a record")

// Record is one decoded record: a line or a piece of one.
type Record struct {
	Time    time.Time // zero in a journal
	Stream  faas.Stream
	Body    []byte // raw: may hold invalid UTF-8
	Partial bool   // the line goes on in the stream's next record
	Cut     int64  // bytes that are missing in Body, see CutAt
	CutAt   int    // where they are missing; nothing of the line is behind it if it equals len(Body)
}

// Decoder decodes the records of one file, one after the other. It is not safe
// for concurrent use.
type Decoder struct {
	format  Format
	clock   clock
	scratch []byte
}

// NewDecoder makes a Decoder.
func NewDecoder(f Format) *Decoder { return &Decoder{format: f} }

// Decode decodes data, a record without its newline, which has cut bytes
// missing before data[cutAt]. The result may refer to data. ok is false for a
// record that is in order but carries nothing. The error wraps ErrRecord.
func (d *Decoder) Decode(data []byte, cut int64, cutAt int) (rec Record, ok bool, err error) {
	switch d.format {
	case CRI:
		rec, err = d.cri(data)
		if err == nil && cut > 0 {
			rec.Cut, rec.CutAt = cut, max(0, cutAt-(len(data)-len(rec.Body)))
		}
		return rec, err == nil, err
	case JSONFile:
		if cut > 0 {
			rec, err = d.jsonCut(data, cut, cutAt)
		} else {
			rec, err = d.json(data)
		}
		return rec, err == nil, err
	case Journal:
		payload, good := durable.Record(data)
		if !good || cut > 0 {
			return Record{}, false, fmt.Errorf("%w: checksum does not match", ErrRecord)
		}
		return Record{Stream: faas.Platform, Body: payload}, !durable.Header(payload), nil
	}
	return Record{}, false, fmt.Errorf("%w: unknown format %d", ErrRecord, d.format)
}

// stream gives the constant, so that nothing is allocated.
func stream(b []byte) (faas.Stream, error) {
	switch string(b) {
	case string(faas.Stdout):
		return faas.Stdout, nil
	case string(faas.Stderr):
		return faas.Stderr, nil
	}
	return "", fmt.Errorf("%w: unknown stream %.20q", ErrRecord, b)
}

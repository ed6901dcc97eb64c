package runtimelog

import (
	"bytes"
	"fmt"
)

// cri decodes `2026-11-23T04:51:59.793563646Z stdout F text`. The tag may have
// further parts behind a colon.
func (d *Decoder) cri(data []byte) (Record, error) {
	var rec Record
	stamp, rest, ok := bytes.Cut(data, space)
	if !ok {
		return rec, fmt.Errorf("%w: no time", ErrRecord)
	}
	t, err := d.clock.parse(stamp)
	if err != nil {
		return rec, err
	}
	name, rest, ok := bytes.Cut(rest, space)
	if !ok {
		return rec, fmt.Errorf("%w: no stream", ErrRecord)
	}
	if rec.Stream, err = stream(name); err != nil {
		return rec, err
	}
	// An empty line's record may have lost the space behind its tag.
	tag, body, _ := bytes.Cut(rest, space)
	tag, _, _ = bytes.Cut(tag, colon)
	if len(tag) != 1 || tag[0] != 'P' && tag[0] != 'F' {
		return rec, fmt.Errorf("%w: unknown tag %.20q", ErrRecord, tag)
	}
	rec.Time, rec.Body, rec.Partial = t, body, tag[0] == 'P'
	return rec, nil
}

var space, colon = []byte{' '}, []byte{':'}

package runtimelog

import (
	"bytes"
	"fmt"

	"github.com/coldscope/coldscope/internal/faas"
)

// criHead is the length of what containerd writes before the text, where the
// time has all its digits: nine of ten records.
const criHead = len("2006-01-02T15:04:05.000000000Z stdout F ")

// cri decodes `2026-11-23T04:51:59.793563646Z stdout F text`. The fraction may
// be shorter, the zone may be +00:00 (podman), and the tag may have further
// parts behind a colon.
func (d *Decoder) cri(data []byte, rec *Record) error {
	if len(data) >= criHead && data[nanoLen] == ' ' && data[criHead-3] == ' ' && data[criHead-1] == ' ' {
		tag := data[criHead-2]
		t, ok := d.clock.parse(data[:nanoLen])
		s := streamOf(data[nanoLen+1 : criHead-3])
		if ok && s != "" && (tag == 'F' || tag == 'P') {
			rec.Time, rec.Stream, rec.Body, rec.Partial = t, s, data[criHead:], tag == 'P'
			return nil
		}
	}
	stamp, rest, ok := bytes.Cut(data, space)
	if !ok {
		return fmt.Errorf("%w: no time", ErrRecord)
	}
	if rec.Time, ok = d.clock.parse(stamp); !ok {
		return badTime(stamp)
	}
	name, rest, ok := bytes.Cut(rest, space)
	if !ok {
		return fmt.Errorf("%w: no stream", ErrRecord)
	}
	if rec.Stream = streamOf(name); rec.Stream == "" {
		return badStream(name)
	}
	// An empty line's record may have lost the space behind its tag.
	tag, body, _ := bytes.Cut(rest, space)
	tag, _, _ = bytes.Cut(tag, colon)
	if len(tag) != 1 || tag[0] != 'P' && tag[0] != 'F' {
		return fmt.Errorf("%w: unknown tag %.20q", ErrRecord, tag)
	}
	rec.Body, rec.Partial = body, tag[0] == 'P'
	return nil
}

var space, colon = []byte{' '}, []byte{':'}

// streamOf gives the constant, so that nothing is allocated; "" for what is no
// container's stream.
func streamOf(b []byte) faas.Stream {
	switch string(b) {
	case string(faas.Stdout):
		return faas.Stdout
	case string(faas.Stderr):
		return faas.Stderr
	}
	return ""
}

func badStream(b []byte) error { return fmt.Errorf("%w: unknown stream %.20q", ErrRecord, b) }

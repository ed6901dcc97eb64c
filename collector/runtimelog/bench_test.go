package runtimelog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// corpus gives lines of functions: JSON, access logs, glog, log4j-like text and
// stack traces.
func corpus(tb testing.TB) [][]byte {
	tb.Helper()
	text, err := os.ReadFile("testdata/lines.txt")
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

// encode writes a line as the runtimes do.
func encode(f Format, line []byte, at time.Time) []byte {
	stamp := at.Format(time.RFC3339Nano)
	switch f {
	case CRI:
		return fmt.Appendf(nil, "%s stdout F %s", stamp, line)
	case JSONFile:
		var quoted bytes.Buffer
		e := json.NewEncoder(&quoted)
		e.SetEscapeHTML(false)
		_ = e.Encode(string(line) + "\n")
		return fmt.Appendf(nil, `{"log":%s,"stream":"stdout","time":"%s"}`, bytes.TrimSpace(quoted.Bytes()), stamp)
	case Local:
		return entry("stdout", at, string(line))
	default:
		return line
	}
}

// entry writes a LogEntry, with further fields behind it.
func entry(source string, at time.Time, line string, more ...byte) []byte {
	b := protowire.AppendTag(nil, entrySource, protowire.BytesType)
	b = protowire.AppendString(b, source)
	b = protowire.AppendTag(b, entryTimeNano, protowire.VarintType)
	b = protowire.AppendVarint(b, uint64(at.UnixNano()))
	b = protowire.AppendTag(b, entryLine, protowire.BytesType)
	b = protowire.AppendString(b, line)
	return append(b, more...)
}

func BenchmarkDecode(b *testing.B) {
	for name, f := range map[string]Format{"CRI": CRI, "JSONFile": JSONFile, "Local": Local, "Plain": Plain} {
		b.Run(name, func(b *testing.B) {
			d := NewDecoder(f)
			d.SetTime(at)
			var records [][]byte
			size, t := 0, at
			for _, line := range corpus(b) {
				t = t.Add(8_765_432 * time.Nanosecond)
				r := encode(f, line, t)
				records = append(records, r)
				size += len(r) + 1
			}
			b.SetBytes(int64(size / len(records)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, ok, err := d.Decode(records[i%len(records)], 0, 0); err != nil || !ok {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkJoin(b *testing.B) {
	for name, o := range map[string]JoinOptions{
		"Pieces": {}, "Split": {CarriageReturns: "split"}, "Traces": {Multiline: []string{"traces"}},
		"Glog": {Multiline: []string{"glog"}}, "All": {Multiline: []string{"traces", "glog"}, CarriageReturns: "split"},
	} {
		b.Run(name, func(b *testing.B) {
			r, err := o.Rules()
			if err != nil {
				b.Fatal(err)
			}
			j := NewJoiner(1<<20, 5*time.Second, r)
			d := NewDecoder(JSONFile)
			var records []Record
			for i, line := range corpus(b) {
				rec, _, err := d.Decode(encode(JSONFile, line, at.Add(time.Duration(i)*time.Millisecond)), 0, 0)
				if err != nil {
					b.Fatal(err)
				}
				rec.Body = bytes.Clone(rec.Body)
				records = append(records, rec)
			}
			var n int
			take := func(l Line) error {
				n += len(l.Body)
				return nil
			}
			b.ReportAllocs()
			for i := int64(0); b.Loop(); i++ {
				if err := j.Add(records[i%int64(len(records))], i, i+1, take); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/coldscope/coldscope/test/corpus"
)

func cmdFiles(args []string) {
	fs := flag.NewFlagSet("files", flag.ExitOnError)
	var c common
	c.flags(fs)
	format := fs.String("format", "docker", "docker, local, cri or raw")
	out := fs.String("out", "", "directory")
	nfiles := fs.Int("files", 100, "number of files")
	size := fs.Int64("size", 20_000_000, "least bytes in each file")
	die(fs.Parse(args))
	c.done()
	die(os.MkdirAll(*out, 0o755))
	var lines, phys, raw, total int64
	for k := 0; k < *nfiles; k++ {
		p := c.p
		p.Stream = uint64(k)
		g := corpus.NewGen(p)
		name := filepath.Join(*out, fmt.Sprintf("%064x-json.log", k+1))
		switch *format {
		case "docker":
		case "local":
			name = filepath.Join(*out, fmt.Sprintf("%064x-container.log", k+1))
		default:
			// the kubelet's name: NAME_NAMESPACE_CONTAINER-ID.log
			name = filepath.Join(*out, fmt.Sprintf("pod-%03d_default_app-%064x.log", k, k+1))
		}
		f, err := os.Create(name)
		die(err)
		w := bufio.NewWriterSize(f, 1<<20)
		var b []byte
		var l corpus.Line
		for n := int64(0); n < *size; {
			g.Next(&l)
			np := 1
			switch *format {
			case "docker":
				b, np = g.AppendDocker(b[:0], &l)
			case "local":
				b, np = g.AppendLocal(b[:0], &l)
			case "cri":
				b, np = g.AppendCRI(b[:0], &l)
			default:
				b = append(append(b[:0], l.Text...), '\n')
			}
			_, err := w.Write(b)
			die(err)
			n += int64(len(b))
			lines++
			phys += int64(np)
			raw += int64(len(l.Text)) + 1
			total += int64(len(b))
		}
		die(w.Flush())
		die(f.Close())
	}
	fmt.Fprintf(os.Stdout, "files=%d lines=%d physical_lines=%d text_bytes=%d file_bytes=%d avg_text=%.1f\n", *nfiles, lines, phys, raw, total, float64(raw)/float64(lines))
}

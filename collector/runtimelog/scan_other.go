//go:build !amd64

package runtimelog

import "unsafe"

func scan(data *byte, out []marks) (control, wide uint64) {
	return scanWords(unsafe.Slice(data, len(out)*block), out)
}

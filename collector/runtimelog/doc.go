// Package runtimelog reads what container runtimes write: one record of a log
// file becomes a time, a stream and a piece of a line (Decoder), and pieces
// become whole lines with their place in the file (Joiner).
//
// The formats are CRI's (containerd, CRI-O, podman), Docker's json-file and
// that of the collector's own journal. Decoding and joining allocate nothing
// per line; what they return is valid until the next call.
package runtimelog

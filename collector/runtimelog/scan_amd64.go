package runtimelog

// scan marks each block of 64 bytes at data. control and wide are not 0 if a
// byte is a control character, or not ASCII.
//
// It needs SSE2 only, which every amd64 has.
//
//go:noescape
func scan(data *byte, out []marks) (control, wide uint64)

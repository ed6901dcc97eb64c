package ship

import "sync"

// classes are the sizes of buffers that are kept: a batch's, which is 1 MiB, and
// a chunk's, which is 64 KiB, and less for those who have little to say.
var classes = [...]int{1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20}

// buffers lends memory.
type buffers struct {
	pools [len(classes)]sync.Pool // of *[]byte
	empty sync.Pool               // of *[]byte without memory, so that put needs none
}

func newBuffers() *buffers { return new(buffers) }

// get gives an empty buffer for n bytes.
func (p *buffers) get(n int) []byte {
	for i, size := range classes {
		if n > size {
			continue
		}
		if kept, ok := p.pools[i].Get().(*[]byte); ok {
			b := *kept
			*kept = nil
			p.empty.Put(kept)
			return b
		}
		return make([]byte, 0, size)
	}
	return make([]byte, 0, n)
}

// put takes a buffer back.
func (p *buffers) put(b []byte) {
	for i, size := range classes {
		if cap(b) == size {
			keep, ok := p.empty.Get().(*[]byte)
			if !ok {
				keep = new([]byte)
			}
			*keep = b[:0]
			p.pools[i].Put(keep)
			return
		}
	}
}

// grow gives b room for n bytes more.
func (p *buffers) grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	larger := append(p.get(len(b)+n), b...)
	p.put(b)
	return larger
}

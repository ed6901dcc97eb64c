package ship

import "context"

type Writer struct {
	s *Shipper
	f *File
}

func (s *Shipper) Writer(f *File) *Writer { return &Writer{s, f} }
func (w *Writer) Add(ctx context.Context, to *Stream, l *Line) error {
	return w.s.Send(ctx, w.f, to, l)
}
func (w *Writer) Advance(safe int64)         { w.s.Advance(w.f, safe) }
func (w *Writer) Flush(context.Context) error { return nil }
func (f *File) Refused() int64               { return 0 }

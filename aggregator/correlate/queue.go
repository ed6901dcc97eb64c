package correlate

import "slices"

// queue holds what is remembered in the order in which it was put in, with what
// has been forgotten since.
type queue[T interface{ gone() bool }] struct {
	list []T
	head int
	dead int // forgotten ones behind head
}

func (q *queue[T]) empty() bool { return q.head == len(q.list) }

func (q *queue[T]) push(r T) {
	if len(q.list) == cap(q.list) && q.head+q.dead > len(q.list)/2 {
		kept := append(q.list[:0], q.list[q.head:]...)
		clear(q.list[len(kept):])
		q.list, q.head, q.dead = slices.DeleteFunc(kept, T.gone), 0, 0
	}
	q.list = append(q.list, r)
}

func (q *queue[T]) pop() T {
	var none T
	r := q.list[q.head]
	q.list[q.head] = none
	q.head++
	if r.gone() {
		q.dead--
	}
	return r
}

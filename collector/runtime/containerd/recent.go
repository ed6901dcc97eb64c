package containerd

// recent is a map that forgets what was put into it first when it is full.
type recent[K comparable, V any] struct {
	size   int
	values map[K]V
	order  []K // ring, once full; next is the oldest
	next   int
}

func newRecent[K comparable, V any](size int) *recent[K, V] {
	return &recent[K, V]{size: size, values: map[K]V{}}
}

func (r *recent[K, V]) get(k K) (V, bool) {
	v, ok := r.values[k]
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) {
	if _, ok := r.values[k]; ok {
		r.values[k] = v
		return
	}
	if len(r.order) < r.size {
		r.order = append(r.order, k)
	} else {
		delete(r.values, r.order[r.next])
		r.order[r.next] = k
		r.next = (r.next + 1) % r.size
	}
	r.values[k] = v
}

package event

import (
	"container/heap"
	"time"
)

// deadline calls fire in the agent's goroutine when its time has come.
type deadline struct {
	at    time.Time
	fire  func(now time.Time)
	index int  // in the heap
	set   bool // index is valid
}

// deadlines is a heap of deadlines: one runtime timer serves thousands of
// subscriptions. Owned by the agent's goroutine.
type deadlines []*deadline

var _ heap.Interface = (*deadlines)(nil)

func (q deadlines) Len() int           { return len(q) }
func (q deadlines) Less(i, j int) bool { return q[i].at.Before(q[j].at) }

func (q deadlines) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is for package heap.
func (q *deadlines) Push(x any) {
	d := x.(*deadline)
	d.index = len(*q)
	*q = append(*q, d)
}

// Pop is for package heap.
func (q *deadlines) Pop() any {
	last := len(*q) - 1
	d := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return d
}

// arm sets d to fire at a time, instead of the time it may have.
func (q *deadlines) arm(d *deadline, at time.Time) {
	d.at = at
	if d.set {
		heap.Fix(q, d.index)
		return
	}
	d.set = true
	heap.Push(q, d)
}

// disarm makes d not fire.
func (q *deadlines) disarm(d *deadline) {
	if d.set {
		heap.Remove(q, d.index)
		d.set = false
	}
}

// run fires what is due at now. A deadline that is armed for the same time while it
// fires is left for the next run.
func (q *deadlines) run(now time.Time) {
	var due []*deadline
	for len(*q) > 0 && !(*q)[0].at.After(now) {
		d := heap.Pop(q).(*deadline)
		d.set = false
		due = append(due, d)
	}
	for _, d := range due {
		// One that fired before may have armed it anew.
		if !d.set {
			d.fire(now)
		}
	}
}

// next returns the earliest time.
func (q deadlines) next() (time.Time, bool) {
	if len(q) == 0 {
		return time.Time{}, false
	}
	return q[0].at, true
}

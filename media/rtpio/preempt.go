package rtpio

import "runtime"

// MayPreempt reports whether a goroutine may have a thread of a higher real-time class than the rest of the program. With
// one processor it may not: when it wakes while the garbage collector looks at its stack, the Go runtime spins until the
// collector lets go, and the collector's thread, preempted by the one that spins, never runs again. Yielding helps among
// threads of one class only.
func MayPreempt() bool { return runtime.NumCPU() > 1 }

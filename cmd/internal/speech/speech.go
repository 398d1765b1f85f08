// Package speech holds the two sides of a conversation, spoken for the demonstration, the tests and the benchmarks: an
// outside caller and a worker. Both are 8 kHz mono; generate.sh made them. The package starts no goroutine.
package speech

import (
	_ "embed"

	"github.com/zaf/g711"
)

//go:generate ./generate.sh

//go:embed caller.ulaw
var caller []byte

//go:embed worker.ulaw
var worker []byte

// Caller is what the outside caller says: about 15 s of 8 kHz samples.
func Caller() []int16 { return decode(caller) }

// Worker is what the worker who fetches the call says: about 11 s of 8 kHz samples.
func Worker() []int16 { return decode(worker) }

func decode(ulaw []byte) []int16 {
	pcm := make([]int16, len(ulaw))
	for i, b := range ulaw {
		pcm[i] = g711.DecodeUlawFrame(b)
	}
	return pcm
}

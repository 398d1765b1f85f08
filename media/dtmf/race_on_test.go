//go:build race

package dtmf_test

const raceDetector = true

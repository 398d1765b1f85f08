package main

import (
	"maps"
	"testing"
)

func TestFlatDictionary(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       map[string]string
	}{
		{"an answer", "d3:sdp6:v=0\r\nx6:result2:oke", map[string]string{"sdp": "v=0\r\nx", "result": "ok"}},
		{"ends at what is no string", "d6:result5:error4:codei3ee", map[string]string{"result": "error"}},
		{"cut short", "d6:result5:err", map[string]string{}},
		{"a size below 0", "d-1:x1:y", map[string]string{}},
		{"nothing", "", map[string]string{}},
		{"nested", "d3:sdp1:x4:tagsd1:a1:bee", map[string]string{"sdp": "x"}},
	} {
		if got := flatDictionary([]byte(c.text)); !maps.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

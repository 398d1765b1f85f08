package main

import (
	"slices"
	"testing"
	"time"
)

// Of messages in one millisecond the request stands above its responses, and the ACK below what it acknowledges.
func TestInOrder(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	logged := []message{ // as they are read, log by log
		{at: at, from: "dock-1", line: "100 Trying to INVITE"},
		{at: at, from: "dock-1", line: "200 OK to INVITE"},
		{at: at, from: "dock-1", line: "NOTIFY sip:dock-2@127.0.0.2 SIP/2.0"},
		{at: at.Add(-time.Millisecond), from: "dock-2", line: "PUBLISH sip:dock-1@127.0.0.1 SIP/2.0"},
		{at: at, from: "dock-2", line: "INVITE sip:701@127.0.0.1 SIP/2.0"},
		{at: at, from: "dock-2", line: "ACK sip:701@127.0.0.1 SIP/2.0"},
		{at: at, from: "dock-2", line: "200 OK to NOTIFY"},
	}
	want := []string{"PUBLISH sip:dock-1@127.0.0.1 SIP/2.0", "INVITE sip:701@127.0.0.1 SIP/2.0", "100 Trying to INVITE", "200 OK to INVITE",
		"NOTIFY sip:dock-2@127.0.0.2 SIP/2.0", "ACK sip:701@127.0.0.1 SIP/2.0", "200 OK to NOTIFY"}
	var got []string
	for _, m := range inOrder(logged) {
		got = append(got, m.line)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

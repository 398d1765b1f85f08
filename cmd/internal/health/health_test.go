package health

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

func TestConditionKeepsItsStart(t *testing.T) {
	changes := 0
	s := New(func() { changes++ })
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	s.Raise(start, "peer dock-2", Warning, "no answer", "look at the cable")
	s.Raise(start.Add(time.Minute), "peer dock-2", Error, "refused", "start phoned")
	s.Raise(start.Add(2*time.Minute), "peer dock-2", Error, "refused", "start phoned")
	got := s.All()
	want := Condition{"peer dock-2", Error, start, "refused", "start phoned"}
	if len(got) != 1 || got[0] != want {
		t.Fatalf("All() = %+v, want only %+v", got, want)
	}
	if c, ok := s.Get("peer dock-2"); !ok || c != want {
		t.Errorf("Get() = %+v, %t", c, ok)
	}
	if c, ok := s.Get("peer"); ok || c != (Condition{}) {
		t.Errorf("Get() of another code = %+v, %t", c, ok)
	}
	if s.Put(want) {
		t.Error("the same again is a change")
	}
	if !s.Clear("peer dock-2") || s.Clear("peer dock-2") {
		t.Error("it is over once")
	}
	if n := len(s.All()); n != 0 {
		t.Fatalf("%d conditions after Clear, want 0", n)
	}
	if changes != 3 {
		t.Errorf("changed was called %d times, want 3: raised, worse, cleared", changes)
	}
}

// One process of an appliance tells another.
func TestConditionIsTold(t *testing.T) {
	for _, want := range []Condition{{"data", Error, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), "no card", "put one in"}, {Code: "clock"}} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Condition
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
	if err := json.Unmarshal([]byte(`{"severity":"fatal"}`), new(Condition)); err == nil {
		t.Error("a severity that nobody knows")
	}
}

func TestWorstComesFirst(t *testing.T) {
	s := New(func() {})
	now := time.Now()
	s.Raise(now, "a", Warning, "", "")
	s.Raise(now, "c", Error, "", "")
	s.Raise(now, "b", Error, "", "")
	order := ""
	for _, c := range s.All() {
		order += c.Code
	}
	if order != "bca" {
		t.Errorf("order %q, want bca: errors first, then by code", order)
	}
}

func TestSetIsBounded(t *testing.T) {
	s := New(func() {})
	for i := range 10 * maxConditions {
		s.Raise(time.Now(), fmt.Sprint("code ", i), Warning, "", "")
	}
	if n := len(s.All()); n != maxConditions {
		t.Errorf("%d conditions kept, want %d", n, maxConditions)
	}
}

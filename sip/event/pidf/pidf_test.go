package pidf

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"parklamp/sip/event/xmldoc"
)

var update = flag.Bool("update", false, "rewrite the golden documents")

var at = time.Date(2026, 11, 21, 9, 30, 0, 123456789, time.UTC)

func slots(n int) []Tuple {
	var list []Tuple
	for i := range n {
		list = append(list, Tuple{ID: fmt.Sprintf("c%d", i), Slot: Slot{
			Orbit: fmt.Sprint(701 + i), Lot: "yard", CallID: fmt.Sprintf("c%d", i), State: "parked",
			Since: at, Deadline: at.Add(90 * time.Second),
			CallerName: "Ann Caller", CallerURI: "sip:+15550100@gw.example", ParkerName: "dock-1", ParkerURI: "sip:dock-1@10.0.0.1",
			Priority: 1, Epoch: 7, Generation: 40 + uint64(i),
			Dialog: &DialogRef{CallID: "a84b4c76e66710@gw", LocalTag: "8321234356", RemoteTag: "1928301774",
				Reach: Reach{Remote: "sip:+15550100@gw.example", Target: "sip:+15550100@192.0.2.9:5062", Routes: "<sip:192.0.2.1;lr> <sip:192.0.2.2;lr>",
					Transport: "tls", Account: "sip:dock-1@gw.example", Codec: "PCMU", Security: "preferred"}},
			RecallAt: at.Add(90 * time.Second), RecallTo: "sip:201@10.0.0.1", Step: 1, Moves: 2,
		}})
	}
	return list
}

func documents() map[string]Document {
	public := slots(2)
	public[0].Slot.Dialog = nil
	public[1] = Tuple{ID: "c1", Slot: Slot{Orbit: "702"}}
	return map[string]Document{
		"idle":   {Entity: "pres:dock-1@site", Basic: Open, Epoch: 7, Generation: 1},
		"peers":  {Entity: "pres:dock-1@site", Basic: Open, Note: "two & more", Epoch: 7, Generation: 42, Tuples: slots(2)},
		"public": {Entity: "pres:dock-1@site", Basic: Open, Epoch: 7, Generation: 42, Tuples: public},
		"going":  {Entity: "pres:dock-1@site", Basic: Closed, Epoch: 7, Generation: 43},
		"leaving": {Entity: "pres:dock-1@site", Basic: Closed, Epoch: 7, Generation: 43, Leaving: true, Tuples: slots(1),
			Settled: []Settled{{CallID: "office.1.1", Moves: 1, How: "rescued"}, {CallID: "dock-1.1.1", Moves: 1, How: "rescued", Host: "office", Epoch: 9, Generation: 2}, {CallID: "office.1.2", Moves: 3, How: "gone"}}},
		"hostile": {Entity: "\"><x", Basic: Open, Tuples: []Tuple{{ID: "t-1", Slot: Slot{
			Orbit: "701", CallerName: "<!DOCTYPE \"&'>\r\n", CallerURI: "]]>", State: "\t"}}}},
	}
}

func TestGolden(t *testing.T) {
	for name, d := range documents() {
		t.Run(name, func(t *testing.T) {
			got := Marshal(d)
			file := filepath.Join("testdata", name+".xml")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("document differs from %s:\n%s", file, got)
			}
			back, err := Parse(got)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back, d) {
				t.Errorf("came back as\n%+v\nwant\n%+v", back, d)
			}
		})
	}
}

func TestTupleIDsAreNames(t *testing.T) {
	for id, want := range map[string]string{
		"c1": "c1", "7": "t-7", "": "t-", "host": "t-host", "a b": "t-a_20b", "x@é": "t-x_40_c3_a9", "_a.b-c": "_a.b-c",
	} {
		if got := ncName(id); got != want {
			t.Errorf("ncName(%q) = %q, want %q", id, got, want)
		}
	}
}

// The examples of RFC 3863 §4.2 carry nothing of ours.
func TestForeignDocument(t *testing.T) {
	d, err := Parse([]byte(`<?xml version="1.0" encoding="UTF-8"?>
<impp:presence xmlns:impp="urn:ietf:params:xml:ns:pidf" entity="pres:someone@example.com">
  <impp:tuple id="ub93s3"><impp:status><impp:basic>closed</impp:basic></impp:status></impp:tuple>
  <impp:tuple id="sg89ae">
    <impp:status><impp:basic>open</impp:basic></impp:status>
    <impp:contact priority="0.8">tel:+09012345678</impp:contact>
    <impp:timestamp>2001-10-27T16:49:29Z</impp:timestamp>
  </impp:tuple>
  <impp:note xml:lang="en">In a meeting</impp:note>
</impp:presence>`))
	if err != nil {
		t.Fatal(err)
	}
	want := Document{Entity: "pres:someone@example.com", Basic: Open, Note: "In a meeting"}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("got %+v, want %+v", d, want)
	}
}

// A hub that keeps only the first tuple must not look like a host without calls.
func TestCutDocumentIsNotEmpty(t *testing.T) {
	whole := string(Marshal(documents()["peers"]))
	i, j := strings.Index(whole, `<tuple id="c0"`), strings.Index(whole, `<note>`)
	if _, err := Parse([]byte(whole[:i] + whole[j:])); !errors.Is(err, ErrIncomplete) {
		t.Errorf("cut after the first tuple: error = %v", err)
	}
	i = strings.Index(whole, `<tuple id="host"`)
	j = strings.Index(whole, `<tuple id="c0"`)
	if _, err := Parse([]byte(whole[:i] + whole[j:])); !errors.Is(err, ErrIncomplete) {
		t.Errorf("without host: error = %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	wrap := func(s string) string {
		return `<presence xmlns="` + Namespace + `" xmlns:p="` + SlotNamespace + `" entity="pres:a@b">` + s + `</presence>`
	}
	slot := func(attr string) string {
		return wrap(`<tuple id="h"><status><p:host slots="1"/></status></tuple><tuple id="a"><status><p:slot ` + attr + `/></status></tuple>`)
	}
	many := strings.Builder{}
	for i := range MaxTuples + 1 {
		fmt.Fprintf(&many, `<tuple id="a%d"><status><p:slot orbit="1"/></status></tuple>`, i)
	}
	for _, tc := range []struct {
		name, doc string
		want      error
	}{
		{"other root", `<presence xmlns="urn:x"/>`, ErrInvalid},
		{"tuple without id", wrap(`<tuple/>`), ErrInvalid},
		{"id twice", wrap(`<tuple id="a"/><tuple id="a"/>`), ErrInvalid},
		{"two hosts", wrap(`<tuple id="a"><status><p:host/></status></tuple><tuple id="b"><status><p:host/></status></tuple>`), ErrInvalid},
		{"basic", wrap(`<tuple id="a"><status><basic>ajar</basic></status></tuple>`), ErrInvalid},
		{"orbit", slot(`state="parked"`), ErrInvalid},
		{"negative epoch", slot(`orbit="701" epoch="-1"`), ErrInvalid},
		{"priority too large", slot(`orbit="701" priority="99999999999"`), ErrInvalid},
		{"since", slot(`orbit="701" since="yesterday"`), ErrInvalid},
		{"year that UTC moves out of range", slot(`orbit="701" since="0000-01-01T00:00:00+01:00"`), ErrInvalid},
		{"generation", wrap(`<tuple id="a"><status><p:host generation="x"/></status></tuple>`), ErrInvalid},
		{"calls", wrap(many.String()), xmldoc.ErrTooLarge},
		{"bytes", wrap(strings.Repeat(" ", MaxBytes)), xmldoc.ErrTooLarge},
		{"bomb", `<!DOCTYPE x [<!ENTITY a "b">]>` + wrap(`&a;`), xmldoc.ErrForbidden},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Parse([]byte(tc.doc)); !errors.Is(err, tc.want) {
				t.Errorf("error = %v, want %v", err, tc.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, d := range documents() {
		f.Add(Marshal(d))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			return
		}
		for i := range d.Tuples {
			d.Tuples[i].ID = fmt.Sprintf("c%d", i) // Marshal may rename what is no NCName
		}
		back, err := Parse(Marshal(d))
		if err != nil {
			t.Fatalf("%+v does not come back: %v", d, err)
		}
		// A foreign document gains our host tuple, so its second form is compared.
		again, err := Parse(Marshal(back))
		if err != nil || !reflect.DeepEqual(back, again) {
			t.Errorf("%+v came back as %+v, %v", back, again, err)
		}
	})
}

func BenchmarkMarshal(b *testing.B) {
	d := Document{Entity: "pres:dock-1@site", Basic: Open, Tuples: slots(10)}
	b.ReportAllocs()
	for b.Loop() {
		Marshal(d)
	}
}

func BenchmarkParse(b *testing.B) {
	data := Marshal(Document{Entity: "pres:dock-1@site", Basic: Open, Tuples: slots(10)})
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

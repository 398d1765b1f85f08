package dialoginfo

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

var at = time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)

func call(id string) Call {
	return Call{
		ID: id, Host: "dock-1", Target: "sip:701@10.0.0.1:5060",
		Caller: Identity{"Ann <Caller>", "sip:+15550100@gw.example"}, Parker: Identity{"dock-1", "sip:dock-1@10.0.0.1"},
		Since: at, Incoming: true,
	}
}

func documents() map[string]Document {
	o := Orbit{Number: "701", Entity: "sip:701@10.0.0.1"}
	docs := map[string]Document{"free": o.Document(0, at)}
	o.Calls = []Call{call("c1")}
	docs["parked"] = o.Document(1, at.Add(42500*time.Millisecond))
	o.Calls[0].Recalling = true
	docs["recalling"] = o.Document(2, at.Add(90*time.Second))
	o.Calls = []Call{call("c1"), call("c2")}
	o.Calls[1].Incoming = false
	docs["queue"] = o.Document(3, at)
	docs["partial"] = Document{Entity: "sip:a@b", Version: 4, State: Partial, Dialogs: []Dialog{
		{ID: "1", Direction: Initiator, State: Terminated, Event: "rejected", Code: 486},
		{ID: "2", State: Early, Remote: Participant{Target: "sip:c@d", Params: []Param{{"x", "\"&<"}}}},
	}}
	docs["hostile"] = Document{Entity: `"><x`, Dialogs: []Dialog{{ID: "'", State: Early, Event: "]]>",
		Remote: Participant{Identity: Identity{"</identity>\r\n", "<!ENTITY"}}}}}
	return docs
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
			for i := range d.Dialogs {
				d.Dialogs[i].Duration = d.Dialogs[i].Duration.Truncate(time.Second)
			}
			if !reflect.DeepEqual(back, d) {
				t.Errorf("came back as\n%+v\nwant\n%+v", back, d)
			}
		})
	}
}

// The document of a parked call says everything that a bare "confirmed" leaves out.
func TestOrbitSaysWhoAndSince(t *testing.T) {
	o := Orbit{Number: "701", Entity: "sip:701@10.0.0.1", Calls: []Call{call("c1")}}
	g := o.Document(0, at.Add(5*time.Second)).Dialogs[0]
	if g.State != Confirmed || g.Remote.Identity.Name != "Ann <Caller>" || g.ReferredBy.URI != "sip:dock-1@10.0.0.1" ||
		g.Direction != Recipient || g.Duration != 5*time.Second || g.Local.Params[0] != (Param{"+sip.rendering", "no"}) {
		t.Errorf("dialog = %+v", g)
	}
	o.Calls[0].Since = at.Add(time.Minute)
	if g := o.Document(0, at).Dialogs[0]; g.Duration != 0 {
		t.Errorf("a call from the future is %v old", g.Duration)
	}
}

// Documents as a phone and as the RFC write them.
func TestForeignDocuments(t *testing.T) {
	d, err := Parse([]byte(`<?xml version="1.0" encoding="utf-8"?>
<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="2" state="partial" entity="sip:alice@example.com">
   <dialog id="as7d900as8" call-id="a84b4c76e66710" local-tag="1928301774" remote-tag="hh76a" direction="initiator">
      <state event="rejected" code="486">terminated</state>
      <duration>10</duration>
      <replaces call-id="x" local-tag="y" remote-tag="z"/>
      <route-set><hop>sip:p@q;lr</hop></route-set>
      <local>
        <identity display="Alice">sip:alice@example.com</identity>
        <target uri="sip:alice@pc33.example.com">
          <param pname="+sip.rendering" value="no"/>
        </target>
      </local>
      <remote><identity> sip:bob@example.org </identity></remote>
   </dialog>
</dialog-info>`))
	if err != nil {
		t.Fatal(err)
	}
	want := Document{Entity: "sip:alice@example.com", Version: 2, State: Partial, Dialogs: []Dialog{{
		ID: "as7d900as8", Direction: Initiator,
		State: Terminated, Event: "rejected", Code: 486, Duration: 10 * time.Second,
		Local: Participant{Identity: Identity{"Alice", "sip:alice@example.com"}, Target: "sip:alice@pc33.example.com",
			Params: []Param{{"+sip.rendering", "no"}}},
		Remote: Participant{Identity: Identity{URI: "sip:bob@example.org"}},
	}}}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("got %+v\nwant %+v", d, want)
	}
}

func TestParseRefuses(t *testing.T) {
	wrap := func(s string) string {
		return `<dialog-info xmlns="` + Namespace + `" xmlns:p="` + ParkedNamespace + `" version="0" state="full" entity="sip:a@b">` + s + `</dialog-info>`
	}
	many := strings.Builder{}
	for i := range maxDialogs + 1 {
		fmt.Fprintf(&many, `<dialog id="%d"><state>early</state></dialog>`, i)
	}
	for _, tc := range []struct {
		name, doc string
		want      error
	}{
		{"other root", `<dialog-info xmlns="urn:x" version="0" state="full"/>`, errInvalid},
		{"no version", `<dialog-info xmlns="` + Namespace + `" state="full"/>`, errInvalid},
		{"version", `<dialog-info xmlns="` + Namespace + `" version="4294967296" state="full"/>`, errInvalid},
		{"scope", `<dialog-info xmlns="` + Namespace + `" version="1" state="half"/>`, errInvalid},
		{"no state", wrap(`<dialog id="1"/>`), errInvalid},
		{"state", wrap(`<dialog id="1"><state>parked</state></dialog>`), errInvalid},
		{"no id", wrap(`<dialog><state>early</state></dialog>`), errInvalid},
		{"id twice", wrap(strings.Repeat(`<dialog id="1"><state>early</state></dialog>`, 2)), errInvalid},
		{"direction", wrap(`<dialog id="1" direction="up"><state>early</state></dialog>`), errInvalid},
		{"code", wrap(`<dialog id="1"><state code="99">early</state></dialog>`), errInvalid},
		{"duration", wrap(`<dialog id="1"><state>early</state><duration>-1</duration></dialog>`), errInvalid},
		{"since", wrap(`<dialog id="1"><state>early</state><p:parked since="noon"/></dialog>`), errInvalid},
		{"dialogs", wrap(many.String()), xmldoc.ErrTooLarge},
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
		back, err := Parse(Marshal(d))
		if err != nil {
			t.Fatalf("%+v does not come back: %v", d, err)
		}
		if !reflect.DeepEqual(d, back) {
			t.Errorf("%+v came back as %+v", d, back)
		}
	})
}

func BenchmarkMarshal(b *testing.B) {
	d := documents()["parked"]
	b.ReportAllocs()
	for b.Loop() {
		Marshal(d)
	}
}

func BenchmarkParse(b *testing.B) {
	data := Marshal(documents()["parked"])
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}

package xmldoc

import (
	"encoding/xml"
	"errors"
	"strings"
	"testing"
)

var standard = Limits{Bytes: 512 << 10, Depth: 12, Elements: 8192, Attributes: 32}

func TestParse(t *testing.T) {
	root, err := Parse([]byte(`<?xml version="1.0"?><!-- hi -->
<a xmlns="urn:a" xmlns:b="urn:b" id="1" b:id="2">
  <c>one</c>
  <b:c> two <!-- x -->&lt;3 </b:c>
</a>`), standard)
	if err != nil {
		t.Fatal(err)
	}
	if !root.Is("urn:a", "a") || root.Attr("id") != "1" || len(root.Children) != 2 {
		t.Fatalf("root = %+v", root)
	}
	if got := root.Child("urn:b", "c").Value(); got != "two <3" {
		t.Errorf("b:c = %q", got)
	}
	if got := root.Child("urn:b", "none").Child("", "x").Attr("y"); got != "" {
		t.Errorf("missing element has attribute %q", got)
	}
}

func TestParseRefuses(t *testing.T) {
	bomb := `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;">]><lolz>&lol2;</lolz>`
	small := Limits{Bytes: 200, Depth: 3, Elements: 5, Attributes: 2}
	for _, tc := range []struct {
		name, doc string
		limits    Limits
		want      error
	}{
		{"entity bomb", bomb, standard, ErrForbidden},
		{"external entity", `<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>`, standard, ErrForbidden},
		{"lower case declaration", `<!doctype a><a/>`, standard, ErrForbidden},
		{"undefined entity", `<a>&nbsp;</a>`, standard, errSyntax},
		{"processing instruction", `<?php exit ?><a/>`, standard, ErrForbidden},
		{"bytes", `<a>` + strings.Repeat("x", 300) + `</a>`, small, ErrTooLarge},
		{"depth", `<a><a><a><a/></a></a></a>`, small, ErrTooLarge},
		{"elements", `<a><b/><b/><b/><b/><b/></a>`, small, ErrTooLarge},
		{"attributes", `<a a="1" b="2" c="3"/>`, small, ErrTooLarge},
		{"empty", ``, standard, errSyntax},
		{"text only", `hello`, standard, errSyntax},
		{"two roots", `<a/><b/>`, standard, errSyntax},
		{"text after", `<a/>x`, standard, errSyntax},
		{"not closed", `<a><b></a>`, standard, errSyntax},
		{"end of input", `<a>`, standard, errSyntax},
		{"other encoding", `<?xml version="1.0" encoding="UTF-16"?><a/>`, standard, errSyntax},
		{"invalid UTF-8", "<a>\xff</a>", standard, errSyntax},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Parse([]byte(tc.doc), tc.limits); !errors.Is(err, tc.want) {
				t.Errorf("error = %v, want %v", err, tc.want)
			}
		})
	}
}

func TestAppendTextSurvivesAnything(t *testing.T) {
	for _, s := range []string{"", "Ann <\"O'Neil\"> & \t\r\n\x00\x1b \xff é 🅿 \uFFFE", "]]>", "\xe2\x82"} {
		doc := AppendText(AppendAttr([]byte("<a"), "v", s+"."), "")
		doc = append(doc, '>')
		doc = append(AppendText(doc, s+"."), "</a>"...)
		root, err := Parse(doc, standard)
		if err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		if root.Attr("v") != root.Text {
			t.Errorf("attribute %q, text %q", root.Attr("v"), root.Text)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("Ann <\"O'Neil\"> & \t\r\n\x00 é 🅿")
	f.Fuzz(func(t *testing.T, s string) {
		doc := append(AppendText(AppendAttr([]byte("<a"), "v", s), ""), '>')
		doc = append(AppendText(doc, s), "</a>"...)
		root, err := Parse(doc, Limits{Bytes: 1 << 30, Depth: 1, Elements: 1, Attributes: 1})
		if err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		if root.Attr("v") != root.Text {
			t.Errorf("attribute %q, text %q", root.Attr("v"), root.Text)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`<a xmlns:b="urn:b"><b:c d="e">f</b:c></a>`))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := Parse(data, standard)
		if err != nil {
			return
		}
		// What we accept, the decoder accepts to the end.
		if err := xml.Unmarshal(data, new(struct{ XMLName xml.Name })); err != nil {
			t.Errorf("accepted %q as %v: %v", data, root, err)
		}
	})
}

// Package xmldoc reads and writes the small XML documents that event packages
// carry, within limits that make a hostile document harmless.
//
// Parse builds a tree of at most Limits elements and refuses document type
// declarations, and with them every entity that could grow (XML 1.0 §4.4), before it
// looks at anything else. Append* writes text so that any string, also one
// that a stranger chose, stays one well-formed text or attribute.
//
// It never fetches anything, starts no goroutine and keeps no state.
package xmldoc

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

var (
	// ErrTooLarge means that the document has more bytes, elements, levels or
	// attributes than its limits allow.
	ErrTooLarge = errors.New("xmldoc: document exceeds a limit")
	// ErrForbidden means that the document holds a document type declaration or a
	// processing instruction.
	ErrForbidden = errors.New("xmldoc: declaration not allowed")
	// errSyntax means that the document is not well-formed XML.
	errSyntax = errors.New("xmldoc: not well-formed")
)

// Limits bounds what Parse accepts. Every field counts items but Bytes.
type Limits struct {
	Bytes      int // length of the whole document
	Depth      int // open elements at one time
	Elements   int // elements in the whole document
	Attributes int // attributes of one element
}

// Element is one element of a parsed document.
type Element struct {
	Space, Name string
	Attrs       []xml.Attr
	Text        string // character data directly inside, joined, not trimmed
	Children    []*Element
}

// Parse reads one document. Comments are skipped.
func Parse(data []byte, l Limits) (*Element, error) {
	if len(data) > l.Bytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(data), l.Bytes)
	}
	// Checked here as well as token by token: the decoder collects a whole
	// declaration before it hands it on.
	if bytes.Contains(data, []byte("<!DOCTYPE")) || bytes.Contains(data, []byte("<!ENTITY")) {
		return nil, fmt.Errorf("%w: document type declaration", ErrForbidden)
	}
	var (
		dec   = xml.NewDecoder(bytes.NewReader(data))
		root  *Element
		stack []*Element
		text  = map[*Element]*strings.Builder{}
		count int
	)
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errSyntax, err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if count++; count > l.Elements {
				return nil, fmt.Errorf("%w: more than %d elements", ErrTooLarge, l.Elements)
			}
			if len(stack) == l.Depth {
				return nil, fmt.Errorf("%w: deeper than %d levels", ErrTooLarge, l.Depth)
			}
			if len(t.Attr) > l.Attributes {
				return nil, fmt.Errorf("%w: more than %d attributes", ErrTooLarge, l.Attributes)
			}
			e := &Element{Space: t.Name.Space, Name: t.Name.Local, Attrs: t.Attr}
			switch {
			case len(stack) > 0:
				parent := stack[len(stack)-1]
				parent.Children = append(parent.Children, e)
			case root != nil:
				return nil, fmt.Errorf("%w: second root element %s", errSyntax, e.Name)
			default:
				root = e
			}
			stack = append(stack, e)
		case xml.EndElement:
			e := stack[len(stack)-1]
			if b := text[e]; b != nil {
				e.Text = b.String()
				delete(text, e)
			}
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(stack) == 0 {
				if len(bytes.TrimSpace(t)) > 0 {
					return nil, fmt.Errorf("%w: text outside the root element", errSyntax)
				}
				continue
			}
			// White space between elements is layout, not content.
			e := stack[len(stack)-1]
			if len(e.Children) > 0 && len(bytes.TrimSpace(t)) == 0 {
				continue
			}
			if text[e] == nil {
				text[e] = new(strings.Builder)
			}
			text[e].Write(t)
		case xml.Directive:
			return nil, fmt.Errorf("%w: declaration", ErrForbidden)
		case xml.ProcInst:
			if t.Target != "xml" {
				return nil, fmt.Errorf("%w: processing instruction %q", ErrForbidden, t.Target)
			}
		}
	}
	if root == nil {
		return nil, fmt.Errorf("%w: no element", errSyntax)
	}
	return root, nil
}

// Is reports whether e has this namespace and name.
func (e *Element) Is(space, name string) bool { return e.Space == space && e.Name == name }

// Child returns the first child with this namespace and name, or nil. A nil
// element has no children.
func (e *Element) Child(space, name string) *Element {
	if e == nil {
		return nil
	}
	for _, c := range e.Children {
		if c.Is(space, name) {
			return c
		}
	}
	return nil
}

// Attr returns the attribute of this name without a namespace, "" if e has none
// or is nil.
func (e *Element) Attr(name string) string {
	if e == nil {
		return ""
	}
	for _, a := range e.Attrs {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// Value returns the text of e without white space around it, "" if e is nil.
func (e *Element) Value() string {
	if e == nil {
		return ""
	}
	return strings.TrimSpace(e.Text)
}

// AppendText appends s escaped for element content and attribute values. What
// XML 1.0 §2.2 does not allow, and invalid UTF-8, becomes U+FFFD; line breaks and
// tabs become references, so that attribute normalization (§3.3.3) keeps them.
func AppendText(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if (r == utf8.RuneError && n == 1) || r == 0xFFFE || r == 0xFFFF {
				r = utf8.RuneError
			}
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		switch {
		case c == '<':
			dst = append(dst, "&lt;"...)
		case c == '>':
			dst = append(dst, "&gt;"...)
		case c == '&':
			dst = append(dst, "&amp;"...)
		case c == '"':
			dst = append(dst, "&quot;"...)
		case c == '\'':
			dst = append(dst, "&apos;"...)
		case c == '\t':
			dst = append(dst, "&#x9;"...)
		case c == '\n':
			dst = append(dst, "&#xA;"...)
		case c == '\r':
			dst = append(dst, "&#xD;"...)
		case c < ' ':
			dst = utf8.AppendRune(dst, utf8.RuneError)
		default:
			dst = append(dst, c)
		}
		i++
	}
	return dst
}

// AppendAttr appends ` name="value"`, or nothing if the value is empty.
func AppendAttr(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, ' ')
	dst = append(dst, name...)
	dst = append(dst, `="`...)
	dst = AppendText(dst, value)
	return append(dst, '"')
}

// AppendElement appends `<name>text</name>`, or nothing if the text is empty.
func AppendElement(dst []byte, name, text string) []byte {
	if text == "" {
		return dst
	}
	dst = append(dst, '<')
	dst = append(dst, name...)
	dst = append(dst, '>')
	dst = AppendText(dst, text)
	dst = append(dst, "</"...)
	dst = append(dst, name...)
	return append(dst, '>')
}

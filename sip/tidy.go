package sip

import (
	"bytes"
	"strings"
)

// structured are the headers in which white space around separators means
// nothing (RFC 3261 §25.1: SEMI, EQUAL, SLASH, COMMA) but confuses sipgo.
var structured = map[string]bool{
	"via": true, "v": true, "from": true, "f": true, "to": true, "t": true,
	"contact": true, "m": true, "cseq": true, "route": true, "record-route": true,
	"refer-to": true, "r": true, "referred-by": true, "b": true,
}

// tidy returns the message without white space that sipgo's parser stumbles on.
// Most messages have none and come back as they are, without a copy.
func tidy(data []byte) []byte {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 || !untidy(data[:end]) {
		return data
	}
	out := make([]byte, 0, len(data))
	lines := bytes.Split(data[:end], []byte("\r\n"))
	out = append(out, lines[0]...)
	for i := 1; i < len(lines); {
		field := lines[i]
		for i++; i < len(lines) && len(lines[i]) > 0 && (lines[i][0] == ' ' || lines[i][0] == '\t'); i++ {
			field = append(append(bytes.TrimRight(field, " \t"), ' '), bytes.TrimLeft(lines[i], " \t")...)
		}
		out = append(out, "\r\n"...)
		name, value, ok := bytes.Cut(field, []byte(":"))
		lower := strings.ToLower(string(bytes.TrimSpace(name)))
		if !ok || !structured[lower] {
			out = append(out, field...)
			continue
		}
		out = append(append(out, bytes.TrimSpace(name)...), ": "...)
		out = append(out, tidyValue(bytes.TrimSpace(value), lower == "via" || lower == "v")...)
	}
	return append(out, data[end:]...)
}

// untidy looks for white space beside a separator, or a folded line.
func untidy(head []byte) bool {
	for i := 1; i < len(head); i++ {
		c, before := head[i], head[i-1]
		if c == ' ' || c == '\t' {
			switch before {
			case ';', '=', '/', '\n', ' ', '\t':
				return true
			}
			continue
		}
		if before == ' ' || before == '\t' {
			switch c {
			case ';', '=', '/', ',', ':', '\r':
				return true
			}
		}
	}
	return false
}

// tidyValue removes white space around separators outside quotes and angle
// brackets, and makes the rest of it single.
func tidyValue(v []byte, via bool) []byte {
	separators := ";=,"
	if via {
		separators = ";=,/:"
	}
	out := make([]byte, 0, len(v))
	quoted, angled := false, false
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch {
		case quoted:
			if c == '\\' && i+1 < len(v) {
				out = append(out, c)
				i++
				c = v[i]
			} else if c == '"' {
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '<':
			angled = true
		case c == '>':
			angled = false
		case !angled && (c == ' ' || c == '\t'):
			next := bytes.TrimLeft(v[i:], " \t")
			i = len(v) - len(next) - 1
			if len(next) == 0 || strings.IndexByte(separators, next[0]) >= 0 ||
				(len(out) > 0 && strings.IndexByte(separators, out[len(out)-1]) >= 0) {
				continue
			}
			c = ' '
		}
		out = append(out, c)
	}
	return out
}

package config

import (
	"fmt"
	"io"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"parklamp/cmd/internal/tomlfile"
)

// describe prints every key of a section with its documentation and its value, as TOML that can be read back.
func describe(w io.Writer, path string, v reflect.Value) {
	var tables []reflect.StructField
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := tomlfile.KeyOf(f)
		if key == "" {
			continue
		}
		if isTable(f.Type) {
			tables = append(tables, f)
			continue
		}
		printDoc(w, "", f.Tag.Get("doc"))
		fmt.Fprintf(w, "%s = %s\n\n", key, literal(v.Field(i)))
	}
	for _, f := range tables {
		printTable(w, tomlfile.Join(path, tomlfile.KeyOf(f)), f, v.FieldByIndex(f.Index))
	}
}

func printTable(w io.Writer, path string, f reflect.StructField, v reflect.Value) {
	printDoc(w, "", f.Tag.Get("doc"))
	if f.Type.Kind() == reflect.Struct {
		fmt.Fprintf(w, "[%s]\n", path)
		describe(w, path, v)
		return
	}
	// A list is empty unless a file fills it: one element is shown, commented out.
	element := reflect.New(f.Type.Elem())
	if d, ok := element.Interface().(tomlfile.Defaulter); ok {
		d.SetDefaults()
	}
	header := "[[" + path + "]]"
	if f.Type.Kind() == reflect.Map {
		header = "[" + path + ".NAME]"
	}
	fmt.Fprintf(w, "# %s\n", header)
	var b strings.Builder
	describe(&b, path, element.Elem())
	for line := range strings.Lines(strings.TrimRight(b.String(), "\n")) {
		fmt.Fprint(w, strings.TrimRight("# "+line, " \n"), "\n")
	}
	fmt.Fprintln(w)
}

// isTable says whether a field is written as a table or a list of tables.
func isTable(t reflect.Type) bool {
	switch reflect.Zero(t).Interface().(type) {
	case netip.Addr, netip.AddrPort:
		return false
	}
	switch t.Kind() {
	case reflect.Struct:
		return true
	case reflect.Slice, reflect.Map:
		return isTable(t.Elem())
	}
	return false
}

func printDoc(w io.Writer, indent, doc string) {
	const width = 110
	line := indent + "#"
	for _, word := range strings.Fields(doc) {
		if len(line)+1+len(word) > width {
			fmt.Fprintln(w, line)
			line = indent + "#"
		}
		line += " " + word
	}
	if line != indent+"#" {
		fmt.Fprintln(w, line)
	}
}

func literal(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return fmt.Sprintf("%q", shortDuration(x))
	case netip.Addr:
		if !x.IsValid() {
			return `""`
		}
		return fmt.Sprintf("%q", x)
	case netip.AddrPort:
		if !x.IsValid() {
			return `""`
		}
		return fmt.Sprintf("%q", x)
	}
	switch v.Kind() {
	case reflect.String:
		return fmt.Sprintf("%q", v.String())
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = literal(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Map:
		return "{}"
	}
	return fmt.Sprint(v.Interface())
}

// shortDuration drops the zero units that time.Duration prints: 1m30s, not 1m30s0ms; 2h, not 2h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

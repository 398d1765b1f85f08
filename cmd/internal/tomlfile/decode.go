// Package tomlfile copies a TOML file into a struct and says of whatever is wrong where it stands: file, line, column,
// key, value and what is allowed, all faults of a file at once, so that a person mends it in one go. Struct fields are
// named by their toml tags; a key that no field has is a fault, with the key that was probably meant.
//
// It knows nothing of the meaning of keys, opens no file and starts no goroutine.
package tomlfile

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"parklamp/board/spelling"
)

// File is a parsed TOML file: its values, where each key stands, and what is wrong with them. A key is a dotted path,
// with an index for each element of a list: "federation.peers[1].address".
type File struct {
	name      string
	values    map[string]any
	lines     []int // where each begins, in bytes
	positions map[string]position
	errs      []error
	faulty    map[string]bool // the paths of faults, true, and what they are in, false
}

// maxTold is how many faults Err tells: a file of nonsense does not fill the log.
const maxTold = 100

// Decode copies the whole of a file into a struct, whose fields keep their values where the file has no key. The error
// lists everything that is wrong, a line each.
func Decode(name string, data []byte, into any) (*File, error) {
	f, err := Parse(name, data)
	if err != nil {
		return nil, err
	}
	f.Assign(into)
	return f, f.Err()
}

// Assign copies the values into the struct that into points to, and keeps the faults for Err.
func (f *File) Assign(into any) { f.assignStruct("", f.values, reflect.ValueOf(into).Elem()) }

// Has says whether the file has a key.
func (f *File) Has(path string) bool {
	_, ok := f.positions[path]
	return ok
}

// Value is what a key of tables has, nil if the file does not have it.
func (f *File) Value(path string) any {
	var v any = f.values
	for key := range strings.SplitSeq(path, ".") {
		table, _ := v.(map[string]any)
		v = table[key]
	}
	return v
}

// Fail notes a fault of a key.
func (f *File) Fail(path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	where, pos := f.name, f.nearest(path)
	if pos.line > 0 {
		where = fmt.Sprintf("%s:%d:%d", f.name, pos.line, pos.column)
	}
	f.errs = append(f.errs, &Fault{File: f.name, Path: path, Text: text, where: where, pos: pos})
	for at := range upTo(path) {
		f.faulty[at] = f.faulty[at] || at == path
	}
}

// Complained says whether a key, a part of it, or the element of a list that it would be in, has a fault that is noted already.
func (f *File) Complained(path string) bool {
	if _, is := f.faulty[path]; is {
		return true
	}
	for at := range upTo(path) {
		if strings.HasSuffix(at, "]") && f.faulty[at] {
			return true
		}
	}
	return false
}

// upTo has the whole file, the tables and lists that a path is in, and the path.
func upTo(path string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range path {
			if (i == 0 || path[i] == '.' || path[i] == '[') && !yield(path[:i]) {
				return
			}
		}
		yield(path)
	}
}

// Err is all faults noted so far in the order of the file, as far as a person reads them, nil if there are none.
func (f *File) Err() error {
	slices.SortStableFunc(f.errs, byPosition)
	if more := len(f.errs) - maxTold; more > 0 {
		return errors.Join(append(f.errs[:maxTold:maxTold], fmt.Errorf("%s: and %d faults more", f.name, more))...)
	}
	return errors.Join(f.errs...)
}

// byPosition sorts errors in the order of the file, those without a position last.
func byPosition(x, y error) int {
	px, py := x.(*Fault).pos, y.(*Fault).pos
	switch {
	case px == py:
		return 0
	case px.line == 0:
		return 1
	case py.line == 0:
		return -1
	case px.line != py.line:
		return px.line - py.line
	}
	return px.column - py.column
}

// Fault is one fault in a file.
type Fault struct {
	File  string // its name
	Path  string // of the key
	Text  string // its value and what is allowed
	where string // file, line and column
	pos   position
}

func (e *Fault) Error() string { return fmt.Sprintf("%s: %s: %s", e.where, e.Path, e.Text) }

func (f *File) assign(path string, value any, to reflect.Value) {
	switch to.Interface().(type) {
	case time.Duration:
		f.assignDuration(path, value, to)
		return
	case netip.Addr, netip.AddrPort:
		f.assignAddress(path, value, to)
		return
	}
	switch to.Kind() {
	case reflect.Interface: // as it is
		to.Set(reflect.ValueOf(value))
	case reflect.Struct:
		f.assignStruct(path, value, to)
	case reflect.Slice:
		list, ok := value.([]any)
		if _, table := value.(map[string]any); table {
			f.Fail(path, "is a list of tables; begin each with [[%s]]", path)
			return
		}
		if !ok {
			shown := show(value)
			if to.Type().Elem().Kind() == reflect.Struct {
				shown = kind(value)
			}
			f.Fail(path, "%s is not a list; write [ ] around it", shown)
			return
		}
		out := reflect.MakeSlice(to.Type(), len(list), len(list))
		for i, v := range list {
			element := out.Index(i)
			if d, ok := reflect.New(element.Type()).Interface().(Defaulter); ok {
				d.SetDefaults()
				element.Set(reflect.ValueOf(d).Elem())
			}
			f.assign(fmt.Sprintf("%s[%d]", path, i), v, element)
		}
		to.Set(out)
	case reflect.Map:
		table, ok := value.(map[string]any)
		if !ok {
			f.noTable(path, value)
			return
		}
		out := reflect.MakeMap(to.Type())
		for k, v := range table {
			element := reflect.New(to.Type().Elem()).Elem()
			f.assign(Join(path, k), v, element)
			out.SetMapIndex(reflect.ValueOf(k).Convert(to.Type().Key()), element)
		}
		to.Set(out)
	default:
		f.assignScalar(path, value, to)
	}
}

func (f *File) noTable(path string, value any) {
	if strings.HasSuffix(path, "]") { // in a list, which has no header
		f.Fail(path, "%s is not a table; write { } around its keys", kind(value))
		return
	}
	f.Fail(path, "%s is not a table; write [%s] above its keys", kind(value), path)
}

// Defaulter is a list element whose unset keys have values other than zero.
type Defaulter interface{ SetDefaults() }

func (f *File) assignStruct(path string, value any, to reflect.Value) {
	table, ok := value.(map[string]any)
	if !ok {
		f.noTable(path, value)
		return
	}
	known := map[string]reflect.Value{}
	for i := range to.NumField() {
		if key := KeyOf(to.Type().Field(i)); key != "" {
			known[key] = to.Field(i)
		}
	}
	for key, v := range table {
		if field, ok := known[key]; ok {
			f.assign(Join(path, key), v, field)
			continue
		}
		f.Fail(Join(path, key), "unknown key; %s", allowedKeys(known, key))
	}
}

// allowedKeys names the key that was probably meant, or all that there are.
func allowedKeys(known map[string]reflect.Value, key string) string {
	names := make([]string, 0, len(known))
	for k := range known {
		names = append(names, k)
	}
	slices.Sort(names)
	if near := spelling.Near(names, key); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "allowed here: " + strings.Join(names, ", ")
}

// KeyOf is the TOML key of a field, "" for a field that no file sets.
func KeyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
	if key == "-" {
		return ""
	}
	return key
}

func (f *File) assignDuration(path string, value any, to reflect.Value) {
	s, ok := value.(string)
	d, err := time.ParseDuration(s)
	if !ok || err != nil {
		f.Fail(path, `%s is not a length of time; write one like "90s", "1m30s" or "250ms"`, show(value))
		return
	}
	to.SetInt(int64(d))
}

func (f *File) assignAddress(path string, value any, to reflect.Value) {
	s, ok := value.(string)
	if ok && s == "" { // not set: the reference prints unset addresses so
		to.SetZero()
		return
	}
	switch to.Interface().(type) {
	case netip.Addr:
		if addr, err := netip.ParseAddr(s); err == nil {
			to.Set(reflect.ValueOf(addr))
			return
		}
		f.Fail(path, `%s is not an IP address; write one like "192.0.2.7" or "2001:db8::7"`, show(value))
	case netip.AddrPort:
		if addr, err := netip.ParseAddrPort(s); err == nil {
			to.Set(reflect.ValueOf(addr))
			return
		}
		port := uint16(5060)
		if usual := to.Interface().(netip.AddrPort); usual.Port() != 0 {
			port = usual.Port()
		}
		f.Fail(path, `%s is not an IP address with a port; write one like "192.0.2.7:%d" or "[2001:db8::7]:%[2]d"`, show(value), port)
	}
}

func (f *File) assignScalar(path string, value any, to reflect.Value) {
	switch to.Kind() {
	case reflect.String:
		if s, ok := value.(string); ok {
			to.SetString(s)
			return
		}
		f.Fail(path, "%s is not a text in quotes", show(value))
	case reflect.Bool:
		if b, ok := value.(bool); ok {
			to.SetBool(b)
			return
		}
		f.Fail(path, "%s is neither true nor false", show(value))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n, ok := value.(int64); ok && !to.OverflowInt(n) {
			to.SetInt(n)
			return
		}
		f.Fail(path, "%s is not a whole number", show(value))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n, ok := value.(int64); ok && n >= 0 && !to.OverflowUint(uint64(n)) {
			to.SetUint(uint64(n))
			return
		}
		f.Fail(path, "%s is not a whole number from 0 to %s", show(value), maxUint(to.Type().Bits()))
	case reflect.Float64, reflect.Float32:
		switch n := value.(type) {
		case float64:
			to.SetFloat(n)
		case int64:
			to.SetFloat(float64(n))
		default:
			f.Fail(path, "%s is not a number", show(value))
		}
	default:
		panic(fmt.Sprintf("config: field kind %s of %s has no decoder", to.Kind(), path))
	}
}

func maxUint(bits int) string {
	return strconv.FormatUint(^uint64(0)>>(64-bits), 10)
}

func show(value any) string {
	switch v := value.(type) {
	case string:
		return strconv.Quote(v)
	case []any, map[string]any:
		return kind(value)
	}
	return fmt.Sprint(value)
}

// kind is what to say of a value in the place of a table: a secret of that table may be in it.
func kind(value any) string {
	switch value.(type) {
	case string:
		return "a text"
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	}
	return "a value"
}

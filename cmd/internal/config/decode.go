package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// position is where a key stands in a file; lines and columns start at 1.
type position struct{ line, column int }

// document is a parsed TOML file: its values, and where each key stands. A key is a dotted path, with an index for each
// element of an array of tables: "federation.peers[1].address".
type document struct {
	values    map[string]any
	positions map[string]position
}

// parseDocument reads TOML 1.0. A syntax error names the line and the column.
func parseDocument(file string, data []byte) (*document, error) {
	d := &document{positions: map[string]position{}}
	if err := toml.Unmarshal(data, &d.values); err != nil {
		var syntax *toml.DecodeError
		if errors.As(err, &syntax) {
			line, column := syntax.Position()
			return nil, fmt.Errorf("%s:%d:%d: %w", file, line, column, err)
		}
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var parser unstable.Parser
	parser.Reset(data)
	table := ""
	arrays := map[string]int{} // elements seen so far of each array of tables
	for parser.NextExpression() {
		e := parser.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = d.tablePath(&parser, e, arrays)
		case unstable.KeyValue:
			d.note(&parser, table, e)
		}
	}
	return d, nil
}

// tablePath turns the header [a.b] or [[a.b]] into a path with the index of each array of tables on the way.
func (d *document) tablePath(p *unstable.Parser, e *unstable.Node, arrays map[string]int) string {
	path := ""
	it := e.Key()
	for it.Next() {
		path = join(path, string(it.Node().Data))
		d.mark(p, path, it.Node())
		if e.Kind == unstable.ArrayTable && it.IsLast() {
			arrays[path]++
		}
		if n := arrays[path]; n > 0 {
			path = fmt.Sprintf("%s[%d]", path, n-1)
			d.mark(p, path, it.Node())
		}
	}
	return path
}

// note remembers where a key stands, and the keys inside an inline table or array.
func (d *document) note(p *unstable.Parser, table string, e *unstable.Node) {
	path := table
	it := e.Key()
	for it.Next() {
		path = join(path, string(it.Node().Data))
		d.mark(p, path, it.Node())
	}
	d.noteValue(p, path, e.Value())
}

func (d *document) noteValue(p *unstable.Parser, path string, v *unstable.Node) {
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				d.note(p, path, it.Node())
			}
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			element := fmt.Sprintf("%s[%d]", path, i)
			d.positions[element] = d.positions[path]
			d.noteValue(p, element, it.Node())
		}
	}
}

// nearest is where a key stands, or the table that it is missing from.
func (d *document) nearest(path string) position {
	for {
		if p, ok := d.positions[path]; ok {
			return p
		}
		dot := strings.LastIndexByte(path, '.')
		if dot < 0 {
			return position{}
		}
		path = path[:dot]
	}
}

func (d *document) mark(p *unstable.Parser, path string, n *unstable.Node) {
	if _, ok := d.positions[path]; !ok {
		start := p.Shape(n.Raw).Start
		d.positions[path] = position{start.Line, start.Column}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// assigner copies the values of a document into a configuration and collects every error, so that a person mends a
// file in one go.
type assigner struct {
	file string
	doc  *document
	errs []error
}

func (a *assigner) fail(path, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	where, pos := a.file, a.doc.nearest(path)
	if pos.line > 0 {
		where = fmt.Sprintf("%s:%d:%d", a.file, pos.line, pos.column)
	}
	a.errs = append(a.errs, &keyError{where: where, path: path, text: text, pos: pos})
}

// keyError is one fault in a file.
type keyError struct {
	where, path, text string
	pos               position
}

func (e *keyError) Error() string { return fmt.Sprintf("%s: %s: %s", e.where, e.path, e.text) }

func (a *assigner) assign(path string, value any, to reflect.Value) {
	switch to.Interface().(type) {
	case time.Duration:
		a.assignDuration(path, value, to)
		return
	case netip.Addr, netip.AddrPort:
		a.assignAddress(path, value, to)
		return
	}
	switch to.Kind() {
	case reflect.Struct:
		a.assignStruct(path, value, to)
	case reflect.Slice:
		list, ok := value.([]any)
		if _, table := value.(map[string]any); table {
			a.fail(path, "is a list of tables; begin each with [[%s]]", path)
			return
		}
		if !ok {
			a.fail(path, "%s is not a list; write [ ] around it", show(value))
			return
		}
		out := reflect.MakeSlice(to.Type(), len(list), len(list))
		for i, v := range list {
			element := out.Index(i)
			if d, ok := reflect.New(element.Type()).Interface().(defaulter); ok {
				d.SetDefaults()
				element.Set(reflect.ValueOf(d).Elem())
			}
			a.assign(fmt.Sprintf("%s[%d]", path, i), v, element)
		}
		to.Set(out)
	case reflect.Map:
		table, ok := value.(map[string]any)
		if !ok {
			a.fail(path, "%s is not a table", show(value))
			return
		}
		out := reflect.MakeMap(to.Type())
		for k, v := range table {
			element := reflect.New(to.Type().Elem()).Elem()
			a.assign(join(path, k), v, element)
			out.SetMapIndex(reflect.ValueOf(k).Convert(to.Type().Key()), element)
		}
		to.Set(out)
	default:
		a.assignScalar(path, value, to)
	}
}

// defaulter is a list element whose unset keys have values other than zero.
type defaulter interface{ SetDefaults() }

func (a *assigner) assignStruct(path string, value any, to reflect.Value) {
	table, ok := value.(map[string]any)
	if !ok {
		a.fail(path, "%s is not a table", show(value))
		return
	}
	known := map[string]reflect.Value{}
	for i := range to.NumField() {
		if key := keyOf(to.Type().Field(i)); key != "" {
			known[key] = to.Field(i)
		}
	}
	for key, v := range table {
		if field, ok := known[key]; ok {
			a.assign(join(path, key), v, field)
			continue
		}
		a.fail(join(path, key), "unknown key; %s", allowedKeys(known, key))
	}
}

// allowedKeys names the key that was probably meant, or all that there are.
func allowedKeys(known map[string]reflect.Value, key string) string {
	names := make([]string, 0, len(known))
	for k := range known {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, n := range names {
		if d := distance(n, key); d <= 2 && d < len(key)-1 { // of three letters two in common at least
			return fmt.Sprintf("did you mean %q?", n)
		}
	}
	return "allowed here: " + strings.Join(names, ", ")
}

// distance is the Levenshtein distance between two keys.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// keyOf is the TOML key of a field, "" for a field that no file sets.
func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
	if key == "-" {
		return ""
	}
	return key
}

func (a *assigner) assignDuration(path string, value any, to reflect.Value) {
	s, ok := value.(string)
	d, err := time.ParseDuration(s)
	if !ok || err != nil {
		a.fail(path, `%s is not a length of time; write one like "90s", "1m30s" or "250ms"`, show(value))
		return
	}
	to.SetInt(int64(d))
}

func (a *assigner) assignAddress(path string, value any, to reflect.Value) {
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
		a.fail(path, `%s is not an IP address; write one like "192.0.2.7" or "2001:db8::7"`, show(value))
	case netip.AddrPort:
		if addr, err := netip.ParseAddrPort(s); err == nil {
			to.Set(reflect.ValueOf(addr))
			return
		}
		a.fail(path, `%s is not an IP address with a port; write one like "192.0.2.7:5060" or "[2001:db8::7]:5060"`, show(value))
	}
}

func (a *assigner) assignScalar(path string, value any, to reflect.Value) {
	switch to.Kind() {
	case reflect.String:
		if s, ok := value.(string); ok {
			to.SetString(s)
			return
		}
		a.fail(path, "%s is not a text in quotes", show(value))
	case reflect.Bool:
		if b, ok := value.(bool); ok {
			to.SetBool(b)
			return
		}
		a.fail(path, "%s is neither true nor false", show(value))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n, ok := value.(int64); ok && !to.OverflowInt(n) {
			to.SetInt(n)
			return
		}
		a.fail(path, "%s is not a whole number", show(value))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n, ok := value.(int64); ok && n >= 0 && !to.OverflowUint(uint64(n)) {
			to.SetUint(uint64(n))
			return
		}
		a.fail(path, "%s is not a whole number from 0 to %s", show(value), maxUint(to.Type().Bits()))
	case reflect.Float64, reflect.Float32:
		switch n := value.(type) {
		case float64:
			to.SetFloat(n)
		case int64:
			to.SetFloat(float64(n))
		default:
			a.fail(path, "%s is not a number", show(value))
		}
	default:
		panic(fmt.Sprintf("config: field kind %s of %s has no decoder", to.Kind(), path))
	}
}

func maxUint(bits int) string {
	return strconv.FormatUint(^uint64(0)>>(64-bits), 10)
}

func show(value any) string {
	if s, ok := value.(string); ok {
		return strconv.Quote(s)
	}
	return fmt.Sprint(value)
}

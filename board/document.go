package board

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"parklamp/board/spelling"
)

// spot is where a value stands: lines and columns start at 1.
type spot struct {
	file         string
	line, column int
}

func (s spot) String() string {
	if s.line == 0 {
		return s.file
	}
	return fmt.Sprintf("%s:%d:%d", s.file, s.line, s.column)
}

// node is a value of a definition. A table keeps the order in which its keys were first written, which is the order of
// keys and lamps on the phone.
type node struct {
	at     spot
	value  any // string, int64, float64, bool, []*node; nil for a table
	keys   []string
	fields map[string]*node
}

func (n *node) table() bool { return n.fields != nil }

// syntaxHint is what people who do not know TOML get wrong.
const syntaxHint = `lines are key = "text", key = 5, key = true, key = { ... }, key = [ ... ] or [table], texts in straight quotes, the file in UTF-8`

// longest bounds a definition that comes from elsewhere: bytes. Ours have 11 KiB at most with all that they are made from. The
// parser's time and what is said of names that do not fit (all that would) grow with the square of it.
const longest = 32 << 10

// document reads a file of TOML 1.0 into a tree.
func document(file string, text []byte) (*node, error) {
	var values map[string]any
	if err := toml.Unmarshal(text, &values); err != nil {
		var syntax *toml.DecodeError
		if errors.As(err, &syntax) {
			line, column := syntax.Position()
			return nil, fmt.Errorf("%v: %w; %s", spot{file, line, column}, err, syntaxHint)
		}
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p := places{file: file, at: map[string]spot{}, order: map[string]int{}, lines: []int{0}}
	for i, c := range text {
		if c == '\n' {
			p.lines = append(p.lines, i+1)
		}
	}
	p.parser.Reset(text)
	var table []string
	for p.parser.NextExpression() {
		e := p.parser.Expression()
		var err error
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table, err = p.key(nil, e)
		case unstable.KeyValue:
			err = p.pair(table, e)
		}
		if err != nil {
			return nil, err
		}
	}
	return p.tree(nil, spot{file: file}, values), nil
}

// places finds where the keys of a document stand.
type places struct {
	file   string
	parser unstable.Parser
	at     map[string]spot // by the joined path
	order  map[string]int
	lines  []int // where each begins, in bytes
}

// spot is where a byte of the file is. The parser can tell, too, by counting from the beginning of the file each time.
func (p *places) spot(offset int) spot {
	line, _ := slices.BinarySearch(p.lines, offset+1)
	return spot{p.file, line, offset - p.lines[line-1] + 1}
}

// joined makes one text of a path; a NUL is in no key of a definition.
func joined(path []string) string { return strings.Join(path, "\x00") }

func (p *places) key(table []string, e *unstable.Node) ([]string, error) {
	path := slices.Clone(table)
	for it := e.Key(); it.Next(); {
		path = append(path, string(it.Node().Data))
		if err := p.mark(path, p.spot(int(it.Node().Raw.Offset))); err != nil {
			return nil, err
		}
	}
	return path, nil
}

// mark notes the first place of a path.
func (p *places) mark(path []string, at spot) error {
	if why := spelling.TooLong(strings.Join(path, ".")); why != "" {
		return fmt.Errorf("%v: %s", at, why)
	}
	name := joined(path)
	if _, known := p.at[name]; !known {
		p.at[name], p.order[name] = at, len(p.order)
	}
	return nil
}

func (p *places) pair(table []string, e *unstable.Node) error {
	path, err := p.key(table, e)
	if err != nil {
		return err
	}
	return p.inside(path, e.Value())
}

// inside notes what stands in an inline table or a list.
func (p *places) inside(path []string, v *unstable.Node) (err error) {
	i := 0
	for it := v.Children(); err == nil && it.Next(); i++ {
		if it.Node().Kind == unstable.KeyValue {
			err = p.pair(path, it.Node())
			continue
		}
		element := append(slices.Clone(path), fmt.Sprint(i))
		if err = p.mark(element, p.at[joined(path)]); err == nil {
			err = p.inside(element, it.Node())
		}
	}
	return err
}

func (p *places) tree(path []string, parent spot, value any) *node {
	n := &node{at: parent}
	if at, known := p.at[joined(path)]; known {
		n.at = at
	}
	switch v := value.(type) {
	case map[string]any:
		n.fields = map[string]*node{}
		for key, inner := range v {
			n.keys = append(n.keys, key)
			n.fields[key] = p.tree(append(slices.Clone(path), key), n.at, inner)
		}
		slices.SortFunc(n.keys, func(a, b string) int {
			return p.order[joined(append(slices.Clone(path), a))] - p.order[joined(append(slices.Clone(path), b))]
		})
	case []any:
		list := make([]*node, len(v))
		for i, inner := range v {
			list[i] = p.tree(append(slices.Clone(path), fmt.Sprint(i)), n.at, inner)
		}
		n.value = list
	default:
		n.value = value
	}
	return n
}

// whole reports whether a table is replaced by another one and not merged with it: a line has one place, and a half of each
// would be none.
func whole(at []string) bool {
	return len(at) == 2 && at[0] == "lines" || len(at) == 4 && at[0] == "headers" && at[2] == "pins"
}

// overlay lays other over n: tables are merged, of everything else the other counts.
func (n *node) overlay(other *node, at ...string) {
	for _, key := range other.keys {
		theirs, here := other.fields[key], append(slices.Clone(at), key)
		ours, known := n.fields[key]
		if !known {
			n.keys = append(n.keys, key)
		}
		if known && ours.table() && theirs.table() && !whole(here) {
			merged := &node{at: theirs.at, keys: slices.Clone(ours.keys), fields: maps.Clone(ours.fields)}
			merged.overlay(theirs, here...)
			theirs = merged
		}
		n.fields[key] = theirs
	}
}

// takenAway complains of a thing that a definition takes away from what it is made from and that is not there: its name is
// misspelt, and what was meant would stay.
func takenAway(base, d *node) []fault {
	r := &reader{}
	for _, table := range []string{"keys", "lamps", "chips", "lines", "sound"} {
		mine, theirs := d.fields[table], base.fields[table]
		if mine == nil || theirs == nil || !mine.table() || !theirs.table() {
			continue
		}
		for _, name := range mine.keys {
			if entry := mine.fields[name]; entry.value == false && theirs.fields[name] == nil {
				r.fail(entry, under(table, name), "there is none to leave out; %s", meant(theirs.keys, name, "there are "))
			}
		}
	}
	return r.errs
}

// noModel says which name of a model was probably meant, or all that there are.
func noModel(name string, names []string) error {
	return fmt.Errorf("%w: %q (%s)", ErrNoModel, name, meant(names, name, "there are: "))
}

// source reads a built-in model or a part of one, with everything that it is made from.
func source(name string, above []string) (*node, error) {
	for _, folder := range []string{"models", "models/parts"} {
		file := path.Join(folder, name+".toml")
		if text, err := models.ReadFile(file); err == nil {
			return compose(name+".toml", text, above)
		}
	}
	return nil, noModel(name, slices.Concat(Names(), parts()))
}

const (
	deepest = 8  // definitions that are made from one another
	widest  = 16 // names in from
)

// compose reads a definition and lays it over those that its key from names.
func compose(file string, text []byte, above []string) (*node, error) {
	base, own, err := layers(file, text, above)
	if err == nil {
		err = (&reader{takenAway(base, own)}).wrong(file)
	}
	if err != nil {
		return nil, err
	}
	return laid(base, own), nil
}

// layers reads a definition and those that its key from names, laid over one another from left to right. above are the names
// that led here.
func layers(file string, text []byte, above []string) (base, own *node, err error) {
	d, err := document(file, text)
	if err != nil {
		return nil, nil, err
	}
	r := &reader{}
	base = &node{fields: map[string]*node{}}
	from := r.names(d, "from", "from")
	if len(from) > widest {
		return nil, nil, fmt.Errorf("%v: from: has %d names: at most %d are allowed", d.fields["from"].at, len(from), widest)
	}
	for _, name := range from {
		at := d.fields["from"].at
		if slices.Contains(above, name) || len(above) >= deepest {
			return nil, nil, fmt.Errorf("%v: from: %q is made from itself", at, name)
		}
		part, err := source(name, append(slices.Clone(above), name))
		if err != nil {
			return nil, nil, fmt.Errorf("%v: from: %w", at, err)
		}
		base.overlay(part)
	}
	return base, d, r.wrong(file)
}

// laid is own laid over base, which stays as it is.
func laid(base, own *node) *node {
	n := &node{at: own.at, keys: slices.Clone(base.keys), fields: maps.Clone(base.fields)}
	n.overlay(own)
	return n
}

// without is a copy of a table that lacks what is at a path.
func (n *node) without(path []string) *node {
	c := &node{at: n.at, keys: slices.Clone(n.keys), fields: maps.Clone(n.fields)}
	if len(path) > 1 {
		c.fields[path[0]] = n.fields[path[0]].without(path[1:])
		return c
	}
	delete(c.fields, path[0])
	c.keys = slices.DeleteFunc(c.keys, func(k string) bool { return k == path[0] })
	return c
}

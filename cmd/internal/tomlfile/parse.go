package tomlfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"parklamp/board/spelling"
)

// position is where a key stands in a file; lines and columns start at 1.
type position struct{ line, column int }

// syntaxHint is what people who do not know TOML get wrong.
const syntaxHint = `lines are key = "text", key = 5, key = true, key = [ ... ] or [table], texts in straight quotes, the file in UTF-8`

// Parse reads TOML 1.0. A syntax error names the line and the column; name is the file's, for errors.
func Parse(name string, data []byte) (*File, error) {
	d := &File{name: name, positions: map[string]position{}, faulty: map[string]bool{}}
	if err := toml.Unmarshal(data, &d.values); err != nil {
		var syntax *toml.DecodeError
		if errors.As(err, &syntax) {
			line, column := syntax.Position()
			return nil, fmt.Errorf("%s:%d:%d: %w; %s", name, line, column, err, syntaxHint)
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	d.lines = []int{0}
	for i, c := range data {
		if c == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	var parser unstable.Parser
	parser.Reset(data)
	table := ""
	arrays := map[string]int{} // elements seen so far of each array of tables
	for parser.NextExpression() {
		e := parser.Expression()
		var err error
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table, err = d.tablePath(e, arrays)
		case unstable.KeyValue:
			err = d.note(table, e)
		}
		if err != nil {
			return nil, err
		}
	}
	return d, nil
}

// tablePath turns the header [a.b] or [[a.b]] into a path with the index of each array of tables on the way.
func (d *File) tablePath(e *unstable.Node, arrays map[string]int) (path string, err error) {
	it := e.Key()
	for it.Next() {
		path = Join(path, string(it.Node().Data))
		if err := d.mark(path, d.at(it.Node())); err != nil {
			return "", err
		}
		if e.Kind == unstable.ArrayTable && it.IsLast() {
			arrays[path]++
		}
		if n := arrays[path]; n > 0 {
			path = fmt.Sprintf("%s[%d]", path, n-1)
			if err := d.mark(path, d.at(it.Node())); err != nil {
				return "", err
			}
		}
	}
	return path, nil
}

// note remembers where a key stands, and the keys inside an inline table or array.
func (d *File) note(table string, e *unstable.Node) error {
	path := table
	it := e.Key()
	for it.Next() {
		path = Join(path, string(it.Node().Data))
		if err := d.mark(path, d.at(it.Node())); err != nil {
			return err
		}
	}
	return d.noteValue(path, e.Value())
}

func (d *File) noteValue(path string, v *unstable.Node) error {
	switch v.Kind {
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			if it.Node().Kind == unstable.KeyValue {
				if err := d.note(path, it.Node()); err != nil {
					return err
				}
			}
		}
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			element := fmt.Sprintf("%s[%d]", path, i)
			if err := d.mark(element, d.positions[path]); err != nil {
				return err
			}
			if err := d.noteValue(element, it.Node()); err != nil {
				return err
			}
		}
	}
	return nil
}

// nearest is where a key stands, or the table that it is missing from.
func (d *File) nearest(path string) position {
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

// at is where a key stands. The parser can tell, too, by counting from the beginning of the file each time.
func (d *File) at(n *unstable.Node) position {
	offset := int(n.Raw.Offset)
	line, _ := slices.BinarySearch(d.lines, offset+1)
	return position{line, offset - d.lines[line-1] + 1}
}

// mark notes the first place of a path.
func (d *File) mark(path string, pos position) error {
	if why := spelling.TooLong(path); why != "" {
		return fmt.Errorf("%s:%d:%d: %s", d.name, pos.line, pos.column, why)
	}
	if _, ok := d.positions[path]; !ok {
		d.positions[path] = pos
	}
	return nil
}

// Within says whether a path is another one or below it; all are below "".
func Within(path, above string) bool {
	rest, ok := strings.CutPrefix(path, above)
	return ok && (above == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Join is the path of a key in a table; the table "" is the whole file.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

package board

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parklamp/board/spelling"
)

// reader takes values out of a definition and collects every error, so that a person mends a file in one go. An error
// names file, line and column, the key, its value and what is allowed.
type reader struct{ errs []fault }

// fault is something that is wrong at a spot.
type fault struct {
	at   spot
	text string
}

func (f fault) Error() string { return fmt.Sprintf("%v: %s", f.at, f.text) }

// fail tells of a key; n is its value or the table that it is missing from.
func (r *reader) fail(n *node, key, format string, a ...any) {
	r.errs = append(r.errs, fault{n.at, key + ": " + fmt.Sprintf(format, a...)})
}

// wrong joins what is wrong in the file, or is nil. What does not fit any more in a part that it is made from is left out: it
// cannot be mended there, and blame says what to mend.
func (r *reader) wrong(file string) error {
	if len(r.errs) == 0 {
		return nil
	}
	var own []error
	for _, f := range r.errs {
		if f.at.file == file {
			own = append(own, f)
		}
	}
	if more := len(own) - maxTold; more > 0 {
		own = append(own[:maxTold], fmt.Errorf("%s: and %d faults more", file, more))
	}
	return errors.Join(own...)
}

// maxTold is how many faults are told: a file of nonsense does not fill the log.
const maxTold = 100

// field returns the value of a key, nil when it is not given; false takes away what a definition is made from.
func field(t *node, key string) *node {
	f := t.fields[key]
	if f == nil || f.value == false {
		return nil
	}
	return f
}

// closed complains of keys that nobody reads.
func (r *reader) closed(t *node, path string, known ...string) {
	for _, k := range t.keys {
		if !slices.Contains(known, k) {
			r.fail(t.fields[k], under(path, k), "unknown key; %s", meant(known, k, "allowed here: "))
		}
	}
}

// meant asks for the name that was probably meant, or says all that are allowed.
func meant(names []string, typed, allowed string) string {
	if near := spelling.Near(names, typed); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return allowed + strings.Join(names, ", ")
}

func under(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// value returns the key of t as a T, and complains if it is something else.
func value[T any](r *reader, t *node, key, path, kind string) (T, *node) {
	var none T
	f := t.fields[key]
	if f == nil {
		return none, nil
	}
	v, ok := f.value.(T)
	if !ok {
		r.fail(f, path, "%s is not %s", f.show(), kind)
		return none, nil
	}
	return v, f
}

func (r *reader) text(t *node, key, path string) string {
	v, _ := value[string](r, t, key, path, "a text in quotes")
	return v
}

func (r *reader) yes(t *node, key, path string) (bool, bool) {
	v, f := value[bool](r, t, key, path, "true or false")
	return v, f != nil
}

// integer returns a whole number from lowest to highest; given says that there is one.
func (r *reader) integer(t *node, key, path string, lowest, highest int) (v int, given bool) {
	n, f := value[int64](r, t, key, path, "a whole number")
	if f == nil {
		return lowest, t.fields[key] != nil
	}
	if n < int64(lowest) || n > int64(highest) {
		r.fail(f, path, "%d: allowed is %d to %d", n, lowest, highest)
		return lowest, true
	}
	return int(n), true
}

func (r *reader) duration(t *node, key, path string, longest time.Duration) time.Duration {
	text, f := value[string](r, t, key, path, `a length of time such as "50us"`)
	if f == nil {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > longest {
		r.fail(f, path, "%q: allowed is a length of time from 0s to %v, such as \"50us\"", text, longest)
		return 0
	}
	return d
}

func (r *reader) word(t *node, key, path string, allowed ...string) string {
	v, f := value[string](r, t, key, path, "a text in quotes")
	if f != nil && !slices.Contains(allowed, v) {
		r.fail(f, path, "%q: allowed is %s", v, strings.Join(allowed, ", "))
		return ""
	}
	return v
}

// names returns a text or a list of texts.
func (r *reader) names(t *node, key, path string) []string {
	f := t.fields[key]
	if f == nil {
		return nil
	}
	if one, ok := f.value.(string); ok {
		return []string{one}
	}
	list, ok := f.value.([]*node)
	if !ok {
		r.fail(f, path, "%s is not a list of texts", f.show())
		return nil
	}
	out := make([]string, 0, len(list))
	for _, n := range list {
		s, ok := n.value.(string)
		if !ok {
			r.fail(f, path, "%s in it is not a text in quotes", n.show())
			return nil
		}
		out = append(out, s)
	}
	return out
}

// tables calls each for every table in the table at key, in the order of the file.
func (r *reader) tables(t *node, key, path string, each func(name, path string, entry *node)) {
	f := field(t, key)
	if f == nil {
		return
	}
	if !f.table() {
		r.fail(f, path, "%s is not a table; write [%s]", f.show(), path)
		return
	}
	for _, name := range f.keys {
		entry := field(f, name)
		switch {
		case entry == nil: // taken away
		case !entry.table():
			r.fail(entry, under(path, name), "%s is not a table; write %s = { ... }, or false to leave it out", entry.show(), name)
		default:
			each(name, under(path, name), entry)
		}
	}
}

// show is a value as it stands in the file.
func (n *node) show() string {
	switch v := n.value.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case []*node:
		return "a list"
	case nil:
		return "a table"
	default:
		return fmt.Sprint(v)
	}
}

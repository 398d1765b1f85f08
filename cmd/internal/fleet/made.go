package fleet

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"parklamp/cmd/internal/tomlfile"
)

// made is a table of an appliance's file as it follows from site.toml, and where each of its values comes from, so that
// whatever is wrong with it is told at the line that a person has written.
type made struct {
	values map[string]any
	from   map[string]source // by key of the file; what has none comes from where its table does
}

// source is where a value comes from.
type source struct {
	key string // of site.toml
	// made is set when the value was made from that key's: then the keys in it are no keys of site.toml.
	made bool
}

// lay lays a table of site.toml over what there is; tables in both are merged, other values replaced.
func (m *made) lay(over map[string]any, from string) { m.values = m.merge("", m.values, over, from) }

func (m *made) merge(path string, under, over map[string]any, from string) map[string]any {
	merged := maps.Clone(under)
	if merged == nil {
		merged = map[string]any{}
	}
	for key, v := range over {
		at := tomlfile.Join(path, key)
		a, tableUnder := under[key].(map[string]any)
		b, tableOver := v.(map[string]any)
		if tableUnder && tableOver {
			merged[key] = m.merge(at, a, b, tomlfile.Join(from, key))
			continue
		}
		maps.DeleteFunc(m.from, func(k string, _ source) bool { return tomlfile.Within(k, at) })
		merged[key], m.from[at] = v, source{key: tomlfile.Join(from, key)}
	}
	return merged
}

// origin is the key of site.toml that a key of the file comes from.
func (m *made) origin(path string) string {
	best := ""
	for at := range m.from {
		if len(at) > len(best) && tomlfile.Within(path, at) {
			best = at
		}
	}
	if m.from[best].made {
		return m.from[best].key
	}
	return m.from[best].key + path[len(best):]
}

// blame notes the faults of an appliance's files at the keys of site.toml that their values come from; what has no key is
// returned with the appliance's name.
func (s *Site) blame(a Appliance, err error, files map[string]made) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var rest []error
		for _, e := range joined.Unwrap() {
			rest = append(rest, s.blame(a, e, files))
		}
		return errors.Join(rest...)
	}
	fault := (*tomlfile.Fault)(nil)
	if !errors.As(err, &fault) {
		return fmt.Errorf("%s: %w", a.ID, err)
	}
	for name, m := range files {
		if !strings.HasSuffix(fault.File, name) {
			continue
		}
		if at := m.origin(fault.Path); !s.file.Complained(at) { // all appliances may have it
			s.file.Fail(at, "%s", fault.Text)
		}
		return nil
	}
	return fmt.Errorf("%s: %w", a.ID, err)
}

// identity is identity.toml of an appliance.
func (s *Site) identity(i int) made {
	a, at := s.Appliances[i], entryKey(i)
	return made{map[string]any{"site": s.Name, "id": a.ID, "name": a.Name, "number": a.Number},
		map[string]source{"site": {key: "site"}, "id": {key: at + ".id"}, "name": {key: at + ".name"}, "number": {key: at + ".number"}}}
}

// network is network.toml of an appliance.
func (s *Site) network(i int) made {
	m := made{from: map[string]source{"": {entryKey(i), true}}}
	m.lay(s.Network, "network")
	m.lay(s.Appliances[i].Network, entryKey(i)+".network")
	s.doubt(&m)
	m.values = s.expand(m.values, s.Appliances[i]).(map[string]any)
	return m
}

// entryKey is the key of an appliance in site.toml.
func entryKey(i int) string { return fmt.Sprintf("appliances[%d]", i) }

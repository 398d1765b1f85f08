package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licence is one text that has to go with the image.
type licence struct {
	name string // its path in the archive
	text []byte
}

// licences packs the licence of everything that is in the image: Debian's copyright files and those of the Go modules that the
// programs say they contain. A package or module without one is an error: nothing goes into an image that nobody may hand on.
func licences(build, out string) error {
	list, err := debianLicences(build)
	if err != nil {
		return err
	}
	modules, err := goModules(filepath.Join(build, "target/usr/bin/phoned"), filepath.Join(build, "target/usr/bin/parkctl"), filepath.Join(build, "target/init"))
	if err != nil {
		return err
	}
	for _, module := range modules {
		found, err := moduleLicence(module)
		if err != nil {
			return err
		}
		list = append(list, found)
	}
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("find Go's own licence: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(goroot)), "LICENSE"))
	if err != nil {
		return err
	}
	list = append(list, licence{"go/std/LICENSE", text})
	return pack(out, list)
}

// debianLicences are the copyright files of all packages that were unpacked, in the order of their names.
func debianLicences(build string) ([]licence, error) {
	files, err := filepath.Glob(filepath.Join(build, "packages/usr/share/doc/*/copyright"))
	if err != nil {
		return nil, err
	}
	var list []licence
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		list = append(list, licence{path.Join("debian", filepath.Base(filepath.Dir(file))+".txt"), text})
	}
	used, err := packages(filepath.Join(build, "packages.list"))
	if err != nil {
		return nil, err
	}
	for _, p := range used {
		if !slices.ContainsFunc(list, func(l licence) bool { return l.name == "debian/"+p.Name+".txt" }) {
			return nil, fmt.Errorf("package %s has no copyright file", p.Name)
		}
	}
	return commonLicences(list)
}

// common is where Debian's copyright files refer to for the texts that many packages share.
var common = regexp.MustCompile(`/usr/share/common-licenses/([A-Za-z0-9.-]*[A-Za-z0-9])`)

// commonLicences adds the texts that the copyright files refer to, from this machine.
func commonLicences(list []licence) ([]licence, error) {
	names := map[string]bool{}
	for _, l := range list {
		for _, match := range common.FindAllSubmatch(l.text, -1) {
			names[string(match[1])] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		text, err := os.ReadFile(filepath.Join("/usr/share/common-licenses", name))
		if err != nil {
			return nil, err
		}
		list = append(list, licence{path.Join("debian/common", name), text})
	}
	return list, nil
}

// module is a Go module as `go mod download -json` tells of it.
type module struct{ Path, Version, Dir string }

// goModules lists the modules in the programs, sorted, with the folder of their source. A program that is no Go program (a
// stand-in of a test) has none.
func goModules(programs ...string) ([]module, error) {
	seen := map[string]module{}
	for _, program := range programs {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			continue
		}
		for _, dep := range info.Deps {
			if dep.Replace != nil {
				dep = dep.Replace
			}
			seen[dep.Path] = module{Path: dep.Path, Version: dep.Version}
		}
	}
	var list []module
	for _, m := range seen {
		out, err := exec.Command("go", "mod", "download", "-json", m.Path+"@"+m.Version).Output()
		if err != nil {
			return nil, fmt.Errorf("find the source of %s %s: %w", m.Path, m.Version, err)
		}
		if err := json.Unmarshal(out, &m); err != nil {
			return nil, fmt.Errorf("find the source of %s %s: %w", m.Path, m.Version, err)
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// moduleLicence is the module's licence file; its README where it has none and states the licence there.
func moduleLicence(m module) (licence, error) {
	for _, name := range []string{"LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "COPYING", "README.md"} {
		text, err := os.ReadFile(filepath.Join(m.Dir, name))
		if err == nil && (name != "README.md" || bytes.Contains(bytes.ToLower(text), []byte("licen"))) {
			return licence{path.Join("go", m.Path+"@"+m.Version, name), text}, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return licence{}, err
		}
	}
	return licence{}, fmt.Errorf("module %s %s has no licence file", m.Path, m.Version)
}

// pack writes a tar.gz that depends on nothing but the texts.
func pack(out string, list []licence) error {
	var buffer bytes.Buffer
	zip, err := gzip.NewWriterLevel(&buffer, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(zip)
	for _, l := range list {
		if err := archive.WriteHeader(&tar.Header{Name: path.Join("licenses", l.name), Mode: 0o644, Size: int64(len(l.text)), Format: tar.FormatPAX}); err != nil {
			return err
		}
		if _, err := io.Copy(archive, bytes.NewReader(l.text)); err != nil {
			return err
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		return err
	}
	return os.WriteFile(out, buffer.Bytes(), 0o644)
}

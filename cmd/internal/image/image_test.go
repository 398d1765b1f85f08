package main

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write makes the files of a test image: name and content in turn.
func write(t *testing.T, dir string, files ...string) {
	t.Helper()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func testImage(t *testing.T) string {
	dir := t.TempDir()
	write(t, dir, "build/target/etc/parklamp/version", "v1.2\n", "build/target/usr/bin/phoned", "program",
		"build/packages.list", "busybox-static 1:1.35.0-4\n", "card.img", "card", "slot.img", "slot", "slot/initrd", "root", "slot/zImage", "kernel",
		"boot/boot.scr", "script")
	return dir
}

func TestDescribe(t *testing.T) {
	dir := testImage(t)
	if err := describe(dir, "qemu-virt", "debian"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "image.json"))
	if err != nil {
		t.Fatal(err)
	}
	var image Image
	if err := json.Unmarshal(text, &image); err != nil {
		t.Fatal(err)
	}
	if image.Version != "v1.2" || image.SlotBytes != 4 || image.SlotFilesBytes != 10 || image.PhonedBytes != 7 {
		t.Errorf("described as %+v", image)
	}
	if !slices.Equal(image.Packages, []Package{{"busybox-static", "1:1.35.0-4"}}) {
		t.Errorf("packages %v", image.Packages)
	}
	i := slices.IndexFunc(image.Files, func(f File) bool { return f.Name == "boot/boot.scr" })
	if i < 0 || image.Files[i].Bytes != 6 || image.Files[i].SHA256 != fmt.Sprintf("%x", sha256.Sum256([]byte("script"))) {
		t.Errorf("files %v", image.Files)
	}
}

func TestDescribeRefusesAnImageThatIsTooLarge(t *testing.T) {
	for name, make := range map[string]func(i *Image){
		"slot":   func(i *Image) { i.SlotBytes = maxSlotBytes + 1 },
		"card":   func(i *Image) { i.CompressedBytes = maxSlotBytes + 1 },
		"phoned": func(i *Image) { i.PhonedBytes = maxPhonedBytes + 1 },
	} {
		image := Image{SlotBytes: 1, SlotFilesBytes: 1, PhonedBytes: 1}
		if err := image.check(); err != nil {
			t.Fatal(err)
		}
		make(&image)
		if err := image.check(); !errors.Is(err, errTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dir := testImage(t)
	if err := os.Remove(filepath.Join(dir, "slot.img")); err != nil {
		t.Fatal(err)
	}
	if err := describe(dir, "qemu-virt", "debian"); err == nil {
		t.Error("an image without a slot was described")
	}
}

// The licences of this test's own modules are found, and a Debian package without a copyright file is refused.
func TestLicences(t *testing.T) {
	dir := t.TempDir()
	test, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(test)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "packages.list", "busybox-static 1:1.35.0-4\n", "packages/usr/share/doc/busybox-static/copyright", "GPL-2",
		"target/usr/bin/phoned", string(program), "target/init", "#!/bin/sh\n")
	out := filepath.Join(dir, "licenses.tar.gz")
	if err := licences(dir, out); err != nil {
		t.Fatal(err)
	}
	names := unpack(t, out)
	for _, name := range []string{"licenses/debian/busybox-static.txt", "licenses/go/std/LICENSE"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not among %v", name, names)
		}
	}
	write(t, dir, "packages.list", "mystery 1\n")
	if err := licences(dir, out); err == nil || !strings.Contains(err.Error(), "mystery") {
		t.Errorf("a package without a copyright file: %v", err)
	}
}

func TestModuleLicence(t *testing.T) {
	dir := t.TempDir()
	if _, err := moduleLicence(module{Path: "example.org/m", Version: "v1", Dir: dir}); err == nil {
		t.Error("a module without a licence passed")
	}
	write(t, dir, "README.md", "# m\nLicense: public domain\n")
	l, err := moduleLicence(module{Path: "example.org/m", Version: "v1", Dir: dir})
	if err != nil || l.name != "go/example.org/m@v1/README.md" {
		t.Errorf("%v %v", l.name, err)
	}
}

func unpack(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for archive := tar.NewReader(zip); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
}

// What a configuration has lost, or has against the wish, is told; what a comment says of a name is no wish.
func TestStuck(t *testing.T) {
	const kernel = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"c\"\n"
	for fragments, lost := range map[string]string{
		"CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"c\"\nCONFIG_D=n\n": "",
		"# of nothing\n":                      "",
		"CONFIG_A=m\n":                        "CONFIG_A=m",
		"CONFIG_B=y\n":                        "CONFIG_B=y",
		"CONFIG_A=n\n":                        "CONFIG_A=y",
		"CONFIG_C=\"d\"\n":                    "CONFIG_C=\"d\"",
		"BR2_PACKAGE_X=y\n":                   "BR2_PACKAGE_X=y",
		"CONFIG_B=y\f# CONFIG_B is not set\n": "", // the last of two files counts
		"# CONFIG_A is not set\n# CONFIG_A is wanted by x\n":                  "CONFIG_A=y",
		"CONFIG_B=y\n# CONFIG_B is what y needs\n":                            "CONFIG_B=y",
		"CONFIG_B=y\n# CONFIG_B is not set by default\n# CONFIG_B is not set": "",
	} {
		args := []string{filepath.Join(t.TempDir(), ".config")}
		for i, text := range strings.Split(kernel+"\f"+fragments, "\f") {
			if i > 0 {
				args = append(args, filepath.Join(t.TempDir(), "fragment"))
			}
			if err := os.WriteFile(args[i], []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command("../../../buildroot/scripts/stuck.sh", args...).CombinedOutput()
		if lost == "" && (err != nil || len(out) > 0) || lost != "" && (err == nil || !strings.HasSuffix(string(out), ":\n"+lost+"\n")) {
			t.Errorf("%q: %v, %q, want %q", fragments, err, out, lost)
		}
	}
}

// A board that has no image of its own is led to the one that has it, and an empty BOARD= to the list.
func TestScriptNamesTheBoards(t *testing.T) {
	for board, want := range map[string]string{
		"":      "no image of BOARD=: there are beaglebone-black ",
		"rpi-3": "rpi-3 is among the boards of: rpi\n",
		"rpi-9": "no image of BOARD=rpi-9: there are beaglebone-black ",
	} {
		cmd := exec.Command("../../../buildroot/image.sh", board, t.TempDir())
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), want) {
			t.Errorf("%q: %v, %s; want %s", board, err, out, want)
		}
	}
}

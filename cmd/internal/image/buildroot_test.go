package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// standIn has the goals of Buildroot that buildroot.sh asks for: each writes down that it was asked for, and what buildroot.sh
// looks at is there afterwards.
const standIn = `export BR2_VERSION := 2026.02.3
asked = @echo $@ >>$(O)/asked
all:
	$(asked)
	@test ! -e $(O)/fails
defconfig:
	@cp $(BR2_DEFCONFIG) $(O)/.config
	@echo 'BR2_DEFCONFIG="$(BR2_DEFCONFIG)"' >>$(O)/.config
printvars:
	@sed -n 's,$$(BR2_EXTERNAL_PARKLAMP_PATH),$(BR2_EXTERNAL),g; /_FILES\?=/p; /_OVERLAY=/p; /_PATCH_DIR=/p' $(O)/.config
clean:
	$(asked)
	@rm -rf $(O)/target
linux-reconfigure phoned-dirclean:
	$(asked)
legal-info:
	$(asked)
	@mkdir -p $(O)/target $(O)/legal-info/licenses && touch $(O)/legal-info/manifest.csv
`

// Buildroot builds again only what it is told to: buildroot.sh does, where the folder was made with something else, and says so.
func TestBuildrootAgain(t *testing.T) {
	dir := t.TempDir()
	run := func(env []string, fails bool, name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if fails != (err != nil) {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	if err := os.CopyFS(filepath.Join(dir, "buildroot"), os.DirFS("../../../buildroot")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "br/Makefile", standIn, "br/package/pkg-golang.mk", "", "LICENSE", "", "my layer", "", "fragment", "CONFIG_A=y\n",
		"go", "#!/bin/sh\n[ \"$1\" = env ] && echo "+dir+" || mkdir vendor\n")
	if err := os.Chmod(filepath.Join(dir, "go"), 0o755); err != nil {
		t.Fatal(err)
	}
	run(nil, false, "git", "init", "-q")
	run(nil, false, "git", "add", "buildroot")
	made := filepath.Join(dir, "out/buildroot")
	// build is what a build says and which goals it asks for besides those of each build.
	build := func() (said, asked string) {
		t.Helper()
		_ = os.Remove(filepath.Join(made, "asked"))
		_, err := os.Stat(filepath.Join(made, "fails"))
		said = run([]string{"LAYER=" + filepath.Join(dir, "my layer"), "GO=" + filepath.Join(dir, "go"), "SOURCE_DATE_EPOCH=1767225600"}, err == nil,
			"buildroot/buildroot.sh", "qemu-virt", "br", "out")
		all, err := os.ReadFile(filepath.Join(made, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		lines := slices.DeleteFunc(strings.Fields(string(all)), func(goal string) bool {
			return slices.Contains([]string{"phoned-dirclean", "legal-info", "all"}, goal)
		})
		return said, strings.Join(lines, " ")
	}
	const ours = "BR2_PRIMARY_SITE=\"http://mirror\"\n"
	for _, c := range []struct{ what, file, text, goal, says string }{
		{"the first build", "my layer", "", "", ""},
		{"nothing else", "my layer", "", "", ""},
		{"another mirror", "my layer", ours, "", ""},
		{"a package more", "my layer", ours + "BR2_PACKAGE_DROPBEAR=y\n", "clean", "\n> BR2_PACKAGE_DROPBEAR=y\nso all of it is built anew, which takes as long as the first time, 1 minutes\n"},
		{"and no other", "my layer", ours + "BR2_PACKAGE_DROPBEAR=y\n", "", ""},
		{"it is taken out", "my layer", ours, "clean", "\n< BR2_PACKAGE_DROPBEAR=y\n"},
		{"the board's layer", "buildroot/layers/qemu-virt", "BR2_arm=y\n", "clean", "\n< BR2_cortex_a7=y\n"},
		{"a fragment of one's own", "my layer", ours + "BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES=\"$(BR2_EXTERNAL_PARKLAMP_PATH)/linux/common.config " + dir + "/fragment\"\n",
			"linux-reconfigure", "\n> kernel: fragment "},
		{"other words in it", "fragment", "CONFIG_A=m\n", "linux-reconfigure", "so Linux is configured and compiled anew, some ten minutes"},
		{"other words in ours", "buildroot/linux/common.config", "CONFIG_B=y\n", "linux-reconfigure", "\n> kernel: common.config "},
		{"the kernel's rules", "buildroot/external.mk", "", "linux-reconfigure", "\n> kernel: external.mk "},
		{"a fragment of nobody", "buildroot/linux/rpi64.config", "", "", ""},
		{"a patch", "buildroot/patches/linux/1.patch", "", "clean", "\n> patch: 1.patch "},
		{"a file more in the root", "buildroot/overlay/etc/issue", "", "", ""},
	} {
		write(t, dir, c.file, c.text)
		if said, asked := build(); asked != c.goal || !strings.Contains(said, c.says) || c.goal == "" && said != "" {
			t.Errorf("%s: asked for %q, want %q; said\n%s\nwant %s", c.what, asked, c.goal, said, c.says)
		}
	}
	if err := os.Remove(filepath.Join(dir, "buildroot/overlay/etc/issue")); err != nil {
		t.Fatal(err)
	}
	run(nil, false, "git", "add", "buildroot")
	if said, asked := build(); asked != "clean" || !strings.Contains(said, "\n< root: ./etc/issue\n") {
		t.Errorf("a file fewer in the root: asked for %q, said %s", asked, said)
	}
	// A build that fails has changed the folder all the same.
	write(t, dir, "my layer", "BR2_PACKAGE_DROPBEAR=y\n", "out/buildroot/fails", "")
	if _, asked := build(); asked != "clean" {
		t.Errorf("a build that fails: asked for %q", asked)
	}
	if err := os.Remove(filepath.Join(made, "fails")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "my layer", ours)
	if said, asked := build(); asked != "clean" || !strings.Contains(said, "\n< BR2_PACKAGE_DROPBEAR=y\n") {
		t.Errorf("after a build that failed: asked for %q, said %s", asked, said)
	}
	// A folder of before, which says nothing of itself.
	if err := os.Remove(filepath.Join(made, "made")); err != nil {
		t.Fatal(err)
	}
	if said, asked := build(); asked != "clean" || !strings.Contains(said, "nobody has written down") {
		t.Errorf("a folder without a list: asked for %q, said %s", asked, said)
	}
}

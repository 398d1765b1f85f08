//go:build image

package guesthost

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Out is the folder, below the repository, of what the boot tests leave: consoles, SIP traces, figures.
const Out = "out/image-test"

// Root is the repository's folder.
func Root() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// Build builds a program of this repository for the guest.
func Build(root, pkg, to string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", to, pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm", "GOARM=7")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

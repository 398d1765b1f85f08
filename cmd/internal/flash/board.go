package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"parklamp/cmd/internal/fleet"
)

// emulated is the board of files that are for nobody.
const emulated = "qemu-virt"

// guess finds the board where none was named: that of the appliance in site.toml; a file for nobody is for the emulator, unless
// images of boards lie beside that one. It says what it has found.
func (f *flasher) guess() error {
	missing := errors.New("BOARD is missing: name the board, such as BOARD=rpi-3")
	if f.dev == "" {
		return missing
	}
	if f.site != "" && f.id != "" {
		s, err := fleet.Open(f.site, f.now())
		if err != nil {
			return err
		}
		for _, a := range s.Appliances {
			if a.ID == f.id && a.Board != "" && a.Board != "auto" {
				f.board = a.Board
				fmt.Fprintf(f.out, "BOARD is not named: %s is a %s in %s.\n", f.id, a.Board, fleet.SiteFile)
				return nil
			}
		}
		return fmt.Errorf("%w; %s does not say what %s is", missing, fleet.SiteFile, f.id)
	}
	if d, err := f.look(f.dev); err != nil || !d.file {
		return missing
	}
	made, err := filepath.Glob(filepath.Join(f.images, "*", "card.img"))
	if err != nil {
		return err
	}
	for _, image := range made {
		if name := filepath.Base(filepath.Dir(image)); name != emulated {
			return fmt.Errorf("%w; there is an image of %s, and BOARD=%s is that for the emulator", missing, name, emulated)
		}
	}
	f.board = emulated
	fmt.Fprintf(f.out, "BOARD is not named: a file is taken to be for the emulator, BOARD=%s.\n", emulated)
	return nil
}

// imageOf is the image that a board starts from: its facts name the boards.
func (f *flasher) imageOf(board string) (string, error) {
	files, err := filepath.Glob(filepath.Join(f.facts, "*.env"))
	if err != nil || len(files) == 0 {
		return "", fmt.Errorf("no facts of boards in %s: run it at the top of the source", f.facts)
	}
	var all []string
	for _, file := range files {
		image := strings.TrimSuffix(filepath.Base(file), ".env")
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		boards := []string{image}
		for line := range strings.Lines(string(text)) {
			if list, ok := strings.CutPrefix(strings.TrimSpace(line), "BOARDS="); ok {
				boards = append(boards, strings.Fields(strings.Trim(list, `"'`))...)
			}
		}
		if slices.Contains(boards, board) {
			return image, nil
		}
		all = append(all, boards...)
	}
	slices.Sort(all)
	return "", fmt.Errorf("BOARD=%s: there are %s", board, strings.Join(slices.Compact(all), ", "))
}

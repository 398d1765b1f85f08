package main

import (
	"errors"
	"fmt"
	"maps"
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
			if a.ID != f.id {
				continue
			}
			if f.board, err = s.Model(a); err != nil {
				return err
			}
			if f.board != "" {
				fmt.Fprintf(f.out, "BOARD is not named: %s is a %s in %s.\n", f.id, called(a, f.board), fleet.SiteFile)
				return nil
			}
			return fmt.Errorf("%w; %s does not say what %s is", missing, saidBy(a), f.id)
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
	for i, image := range made {
		made[i] = filepath.Base(filepath.Dir(image))
	}
	if slices.ContainsFunc(made, func(name string) bool { return name != emulated }) {
		return fmt.Errorf("%w; images are made of %s, and BOARD=%s is that for the emulator", missing, strings.Join(made, ", "), emulated)
	}
	f.board = emulated
	fmt.Fprintf(f.out, "BOARD is not named: a file is taken to be for the emulator, BOARD=%s.\n", emulated)
	return nil
}

// fits says why a card for a board, or for the boards of an image, is not for an appliance.
func (f *flasher) fits(s *fleet.Site, a fleet.Appliance, board string) error {
	if board == "" {
		return nil
	}
	model, err := s.Model(a)
	if err != nil || model == "" || model == board {
		return err
	}
	if images, err := f.boards(); err != nil || slices.Contains(images[board], model) {
		return err
	}
	return fmt.Errorf("%s is a %s in %s; BOARD=%s is another", a.ID, called(a, model), fleet.SiteFile, board)
}

// called is the model of an appliance, with the definition of its own that is made from it.
func called(a fleet.Appliance, model string) string {
	if model == a.Board {
		return model
	}
	return model + " (" + a.Board + ")"
}

// saidBy is the file that should say which model an appliance is.
func saidBy(a fleet.Appliance) string {
	if strings.HasSuffix(a.Board, ".toml") {
		return a.Board
	}
	return fleet.SiteFile
}

// imageOf is the image that a board starts from: that of its name, or one that is for it too.
func (f *flasher) imageOf(board string) (string, error) {
	images, err := f.boards()
	if err != nil {
		return "", err
	}
	var all, fit []string
	for _, image := range slices.Sorted(maps.Keys(images)) {
		all = append(append(all, image), images[image]...)
		if image == board {
			fit = append([]string{image}, fit...)
		} else if slices.Contains(images[image], board) {
			fit = append(fit, image)
		}
	}
	if len(fit) == 0 {
		slices.Sort(all)
		return "", fmt.Errorf("BOARD=%s: there are %s", board, strings.Join(slices.Compact(all), ", "))
	}
	for _, image := range fit {
		if _, err := os.Stat(filepath.Join(f.images, image, "card.img")); err == nil {
			return image, nil
		}
	}
	return fit[len(fit)-1], nil // that of several boards needs no Buildroot
}

// boards are the boards that each image is for, by the facts of the images.
func (f *flasher) boards() (map[string][]string, error) {
	files, err := filepath.Glob(filepath.Join(f.facts, "*.env"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no facts of boards in %s: run it at the top of the source", f.facts)
	}
	images := map[string][]string{}
	for _, file := range files {
		image := strings.TrimSuffix(filepath.Base(file), ".env")
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		images[image] = nil
		for line := range strings.Lines(string(text)) {
			if list, ok := strings.CutPrefix(strings.TrimSpace(line), "BOARDS="); ok {
				images[image] = append(images[image], strings.Fields(strings.Trim(list, `"'`))...)
			}
		}
	}
	return images, nil
}

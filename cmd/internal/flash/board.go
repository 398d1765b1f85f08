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

// cardFile is the image of a card in the folder of its board.
const cardFile = "card.img"

// guess finds the board where none was named: that of the appliance in site.toml; a file for nobody is for the emulator, unless
// images of boards lie beside that one. It says what it has found.
func (f *flasher) guess() error {
	missing := errors.New("BOARD is missing: name the board, such as BOARD=rpi-3")
	if f.dev == "" {
		return errors.Join(missing, errNoDevice)
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
			return fmt.Errorf("%w; %s does not say what %s is%s", missing, saidBy(a), f.id, from(a))
		}
		return fmt.Errorf("%w; %s does not say what %s is", missing, fleet.SiteFile, f.id)
	}
	if d, err := f.look(f.dev); err != nil || !d.file {
		return errors.Join(missing, err)
	}
	made, err := filepath.Glob(filepath.Join(f.images, "*", cardFile))
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

// definition makes of a BOARD that is a definition of one's own the board that it is made from; empty: it does not say.
func (f *flasher) definition() error {
	if f.site == "" || f.id == "" {
		return fmt.Errorf("BOARD=%s: a definition comes onto the card with the files of a site that names it, so that SITE and ID are wanted; without, BOARD is the board that it is made from, such as BOARD=rpi-3", f.board)
	}
	s, err := fleet.Open(f.site, f.now())
	if err != nil {
		return err
	}
	i, err := f.index(s, f.id)
	if err == nil {
		f.board, err = f.named(s, s.Appliances[i], f.board)
	}
	return err
}

// named is the board that BOARD or a row of the file names for an appliance. Its own definition, that of site.toml, is the board that it is
// made from; another would not be on the card.
func (f *flasher) named(s *fleet.Site, a fleet.Appliance, board string) (string, error) {
	switch {
	case !fleet.IsDefinition(board):
		return board, nil
	case filepath.Clean(board) == a.Board || sameFile(board, filepath.Join(f.site, a.Board)):
		return s.Model(a)
	}
	return "", fmt.Errorf("BOARD=%s: the card gets the definition that site.toml names: put the file into %s, and board = %q for %s into %s",
		board, f.site, filepath.Base(board), a.ID, filepath.Join(f.site, fleet.SiteFile))
}

// sameFile says whether two names are those of one file.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, errY := os.Stat(b)
	return err == nil && errY == nil && os.SameFile(x, y)
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
	if fleet.IsDefinition(a.Board) {
		return a.Board
	}
	return fleet.SiteFile
}

// from says how a definition would say it.
func from(a fleet.Appliance) string {
	if fleet.IsDefinition(a.Board) {
		return `: from = "rpi-3" there would, or the board's name for its image, BOARD=rpi`
	}
	return ""
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
		if _, err := os.Stat(filepath.Join(f.images, image, cardFile)); err == nil {
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

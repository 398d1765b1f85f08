package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parklamp/cmd/internal/fleet"
)

// nextCard stands in the column device for whichever card is put in next.
const nextCard = "next card"

// columns are those that the file may have; note is for people.
var columns = []string{"id", "device", "board", "note"}

// job is one row of the file.
type job struct {
	line              int
	id, device, board string
}

// readJobs reads the file and checks all of it against the site, before the first card is touched.
func readJobs(name string, r io.Reader, ids []string) ([]job, error) {
	c := csv.NewReader(r)
	c.Comment, c.TrimLeadingSpace, c.FieldsPerRecord = '#', true, -1
	head, err := c.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("is empty")
		}
		return nil, fmt.Errorf("%s: %w: the first line must be id,device", name, err)
	}
	for i := range head {
		head[i] = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(head[i], "\ufeff")))
	}
	idAt, deviceAt, boardAt := slices.Index(head, "id"), slices.Index(head, "device"), slices.Index(head, "board")
	if idAt < 0 || deviceAt < 0 {
		return nil, fmt.Errorf("%s:1: %q: the first line must name the columns id and device, with a comma between", name, strings.Join(head, ","))
	}
	for i, column := range head {
		if !slices.Contains(columns, column) || slices.Contains(head[:i], column) {
			return nil, fmt.Errorf("%s:1: column %q: allowed are %s, each once", name, column, strings.Join(columns, ", "))
		}
	}
	var jobs []job
	var errs []error
	seen := map[string]int{}
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, inLine(name, err)
		}
		line, _ := c.FieldPos(0)
		if len(row) != len(head) {
			errs = append(errs, fmt.Errorf("%s:%d: %d columns: must be %d, as in the first line", name, line, len(row), len(head)))
			continue
		}
		j := job{line: line, id: strings.TrimSpace(row[idAt]), device: strings.TrimSpace(row[deviceAt])}
		if boardAt >= 0 {
			j.board = strings.TrimSpace(row[boardAt])
		}
		if !slices.Contains(ids, j.id) {
			errs = append(errs, fmt.Errorf("%s:%d: id %q: the site has %s", name, line, j.id, strings.Join(ids, ", ")))
		}
		if j.device == "" {
			errs = append(errs, fmt.Errorf("%s:%d: device is empty: name a disk or a file, or write %q", name, line, nextCard))
		}
		for _, value := range []string{"id " + j.id, "device " + j.device} {
			if first := seen[value]; first > 0 && value != "device "+nextCard {
				errs = append(errs, fmt.Errorf("%s:%d: %s is in line %d already", name, line, value, first))
			}
			seen[value] = line
		}
		jobs = append(jobs, j)
	}
	if len(jobs) == 0 && len(errs) == 0 {
		return nil, fmt.Errorf("%s: has no appliances", name)
	}
	return jobs, errors.Join(errs...)
}

// inLine names the line of an error of encoding/csv as others are named.
func inLine(name string, err error) error {
	if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
		return fmt.Errorf("%s:%d:%d: %w", name, parse.Line, parse.Column, parse.Err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// many writes the cards of a file one after another. A card that fails does not stop the others: they are named at the end.
func (f *flasher) many(ctx context.Context) error {
	if f.site == "" {
		return errors.New("SITE is missing: the folder of the site that the file is about")
	}
	s, err := fleet.Open(f.site, f.now())
	if err != nil {
		return err
	}
	ids := make([]string, len(s.Appliances))
	for i, a := range s.Appliances {
		ids[i] = a.ID
	}
	file, err := os.Open(f.csv)
	if err != nil {
		return err
	}
	jobs, err := readJobs(f.csv, file, ids)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	images, err := f.imagesOf(s, jobs)
	if err = errors.Join(err, f.checkDevices(jobs, images)); err != nil {
		return err
	}
	var failed []string
	for i, j := range jobs {
		fmt.Fprintf(f.out, "\n%d of %d: %s\n", i+1, len(jobs), j.id)
		f.board, f.image = j.board, images[i]
		err := f.job(ctx, j)
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w; not written: %s", j.id, err, idsFrom(jobs[i:]))
		}
		if err != nil {
			fmt.Fprintf(f.out, "%s failed: %v\n", j.id, err)
			failed = append(failed, j.id)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d cards are not written: %s", len(failed), len(jobs), strings.Join(failed, ", "))
	}
	fmt.Fprintf(f.out, "\nAll cards are written: %d.\n", len(jobs))
	return nil
}

// imagesOf names the board and the image of each row: the column board counts, then BOARD, then site.toml.
func (f *flasher) imagesOf(s *fleet.Site, jobs []job) ([]string, error) {
	images, errs := make([]string, len(jobs)), []error{}
	for i := range jobs {
		j := &jobs[i]
		if j.board == "" {
			j.board = f.board
		}
		a := s.Appliances[slices.IndexFunc(s.Appliances, func(a fleet.Appliance) bool { return a.ID == j.id })]
		var err error
		if j.board == "" {
			j.board, err = s.Model(a)
		} else {
			j.board, err = f.named(s, a, j.board)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", f.csv, j.line, err))
			continue
		}
		images[i] = f.image
		if j.board == "" && f.image != "" {
			continue
		}
		if j.board == "" {
			errs = append(errs, fmt.Errorf("%s:%d: the board of %s is missing: name it in the column board, by BOARD= for all, or in %s", f.csv, j.line, j.id, saidBy(a)))
			continue
		}
		name, err := f.imageOf(j.board)
		if err == nil {
			err = f.fits(s, a, j.board)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", f.csv, j.line, err))
			continue
		}
		if images[i] == "" {
			images[i] = filepath.Join(f.images, name, cardFile)
		}
	}
	return images, errors.Join(errs...)
}

// checkDevices looks at every disk and file that a row names, before the first card is touched: two names of one are found
// here too.
func (f *flasher) checkDevices(jobs []job, images []string) error {
	var errs []error
	seen := map[string]int{}
	cards := map[string]*card{}
	for i, j := range jobs {
		if cards[images[i]] == nil && images[i] != "" {
			c, err := openCard(images[i])
			if err != nil {
				return fmt.Errorf("%s:%d: %w", f.csv, j.line, err)
			}
			defer c.Close()
			cards[images[i]] = c
		}
		if j.device == nextCard || images[i] == "" {
			continue
		}
		d, err := f.look(j.device)
		if err == nil {
			err = f.refuse(d, cards[images[i]])
		}
		if first := seen[d.real]; err == nil && first > 0 {
			err = fmt.Errorf("%s is in line %d already, by another name", j.device, first)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", f.csv, j.line, err))
			continue
		}
		seen[d.real] = j.line
	}
	return errors.Join(errs...)
}

func idsFrom(jobs []job) string {
	ids := make([]string, len(jobs))
	for i, j := range jobs {
		ids[i] = j.id
	}
	return strings.Join(ids, ", ")
}

func (f *flasher) job(ctx context.Context, j job) error {
	if j.device != nextCard {
		d, err := f.look(j.device)
		if err != nil {
			return err
		}
		return f.one(ctx, d, j.id)
	}
	before, err := f.cards()
	if err != nil {
		return err
	}
	fmt.Fprintf(f.out, "Put in the card for %s. A card that is in already: take it out and put it in again.\n", j.id)
	for {
		now, err := f.cards()
		if err != nil {
			return err
		}
		for _, d := range now {
			if before[d.name].size != d.size {
				return f.one(ctx, d, j.id)
			}
		}
		// A card that was taken out is a new one when it is put in again.
		for name := range before {
			if _, there := now[name]; !there {
				delete(before, name)
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("interrupted: nothing was written")
		case <-time.After(f.wait):
		}
	}
}

// cards are the disks that could be a card: whole, external, with something in the slot.
func (f *flasher) cards() (map[string]disk, error) {
	names, err := os.ReadDir(f.at("/sys/class/block"))
	if err != nil {
		return nil, err
	}
	cards := map[string]disk{}
	for _, n := range names {
		if d, err := f.block(n.Name()); err == nil && d.external && !d.partition && d.size > 0 {
			cards[d.name] = d
		}
	}
	return cards, nil
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/storage"
)

// phonedFolders are where phoned writes below the data folder. All else there is of this process, which believes it: phoned may
// read it and can neither change it nor put anything beside it.
var phonedFolders = []string{provision.JournalFolder, provision.ReportsFolder}

// Whose the data folder is, and the folders in it where phoned writes.
var (
	rootsOwn   = storage.Claim{GID: parklampID, From: parklampID, Aside: aside}
	phonedsOwn = storage.Claim{UID: parklampID, GID: parklampID, Aside: aside}
)

const (
	aside     = dataMount + "/.planted-" // store.watch empties it
	asideMost = 1000                     // files at one time
)

// claim makes the data folder root's but for phonedFolders, and returns what was no file of ours and is gone, and what could not
// be looked at or made. An older system, which may have run last, leaves the whole folder to phoned: claim comes before anything
// there is read and before any program runs as that user. That system finds everything as it needs it: its phoned only reads what
// is root's. An error leaves something there that would be believed and is not root's.
func claim(folder string, own, his storage.Claim) (removed []string, left []error, err error) {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, nil, err
	}
	own.Folder(folder, 0o750)
	provision.Claim(&own, folder)
	for _, name := range []string{clockName, storage.Unfinished + clockName} {
		own.File(filepath.Join(folder, name), 0o644)
	}
	for _, name := range phonedFolders {
		path := filepath.Join(folder, name)
		if his.Folder(path, 0o750) {
			continue
		}
		// A full disk has no room for it: phoned says so, with what that means.
		if err := os.Mkdir(path, 0o750); err == nil {
			his.Folder(path, 0o750)
		}
	}
	if his.Err != nil { // nothing there is believed
		his.Left = append(his.Left, his.Err)
	}
	return append(own.Removed, his.Removed...), append(own.Left, his.Left...), own.Err
}

// takeOver claims the data folder of a card and says what came of it. With an error the card is not to be used.
func (s *store) takeOver(folder string, own, his storage.Claim) error {
	removed, left, err := claim(folder, own, his)
	if len(removed) > 0 {
		var names []string
		for _, path := range removed {
			names = append(names, fmt.Sprintf("%q", atLast(path)))
		}
		s.raise(health.Condition{Code: "data.removed", Severity: health.Warning,
			Text: counted(len(removed), "file") + " of the data partition removed, as this system had not put them there: " + first(names),
			Hint: "somebody has been at the card or in the phone: see who can reach it; if something is missing, bring the set anew, by card"})
	}
	if len(left) > 0 {
		var faults []string
		for _, err := range left {
			faults = append(faults, atLast(err.Error()))
		}
		s.raise(health.Condition{Code: "data.unread", Severity: health.Warning,
			Text: counted(len(left), "file") + " of the data partition cannot be read, made or taken over: " + first(faults),
			Hint: "replace the card if this stays after a restart; if something is missing, bring the set anew, by card"})
	}
	if err != nil {
		return fmt.Errorf("the files of the appliance cannot be taken over from the older system: %w", err)
	}
	return nil
}

// atLast names what is still mounted aside as people will find it.
func atLast(text string) string { return strings.ReplaceAll(text, stagedData, dataMount) }

// first is what a condition says of many files.
func first(all []string) string { return strings.Join(all[:min(len(all), 5)], ", ") }

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/storage"
)

// phonedFolders are where phoned writes below the data folder. All else there is of this process, which believes it: phoned may
// read it and can neither change it nor put anything beside it.
var phonedFolders = []string{journalFolder, reportsFolder}

const (
	journalFolder = "journal"
	reportsFolder = "reports"
)

// Whose the data folder is, and the folders in it where phoned writes.
var rootsOwn, phonedsOwn = storage.Claim{GID: parklampID}, storage.Claim{UID: parklampID, GID: parklampID}

// claim makes the data folder root's but for phonedFolders, and returns what was no file of ours and is gone. An older system,
// which may have run last, leaves the whole folder to phoned: claim comes before anything there is read and before any program
// runs as that user. That system finds everything as it needs it: its phoned only reads what is root's.
func claim(folder string, own, his storage.Claim) (removed []string, err error) {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, err
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
		if err := os.Mkdir(path, 0o750); err == nil || errors.Is(err, fs.ErrExist) {
			his.Folder(path, 0o750)
		}
	}
	return append(own.Removed, his.Removed...), errors.Join(own.Err, his.Err)
}

// toldFiles is how many files a condition names.
const toldFiles = 5

// tellRemoved says what claim has removed.
func (s *system) tellRemoved(removed []string) {
	if len(removed) == 0 {
		return
	}
	var names []string
	for _, path := range removed[:min(toldFiles, len(removed))] {
		names = append(names, fmt.Sprintf("%q", path))
	}
	s.raise(health.Condition{Code: "data.removed", Severity: health.Warning,
		Text: fmt.Sprintf("%s of the data partition removed, as this system had not put them there: %s", counted(len(removed), "file"), strings.Join(names, ", ")),
		Hint: "somebody has been at the card or in the phone: see who can reach it; if something is missing, bring the set anew, by card"})
}

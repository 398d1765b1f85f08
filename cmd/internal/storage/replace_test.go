package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// The power fails before every change of the disk: the file is the old or the new one, and the next try works whatever is left.
func TestReplaceOutlivesPowerCut(t *testing.T) {
	errPower := errors.New("power cut")
	for _, old := range []string{"the old one, which is longer", ""} {
		changes, news := 0, 0
		for whole := false; !whole; changes++ {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			if old != "" {
				if err := Replace(path, []byte(old), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			left := changes
			err := replace(path, []byte("new"), 0o600, func() error {
				if left--; left < 0 {
					return errPower
				}
				return nil
			})
			if whole = err == nil; !whole && !errors.Is(err, errPower) {
				t.Fatal(err)
			}
			switch got, err := os.ReadFile(path); {
			case err == nil && string(got) == "new":
				news++
			case whole, old == "" && !errors.Is(err, fs.ErrNotExist), string(got) != old:
				t.Errorf("cut before change %d leaves %q, %v", changes, got, err)
			}
			// What was not synced may be anything; a file that nobody may write to is no obstacle either.
			if _, err := os.Stat(unfinished(path)); err == nil {
				if err := errors.Join(os.WriteFile(unfinished(path), []byte("half of something long"), 0), os.Chmod(unfinished(path), 0o400)); err != nil {
					t.Fatal(err)
				}
			}
			if err := Replace(path, []byte("again"), 0o600); err != nil {
				t.Fatalf("after a cut before change %d: %v", changes, err)
			}
			got, err := os.ReadFile(path)
			info, _ := os.Stat(path)
			if names, _ := os.ReadDir(dir); err != nil || string(got) != "again" || info.Mode() != 0o600 || len(names) != 1 {
				t.Errorf("after a cut before change %d: %q %v, %v, %d files", changes, got, info.Mode(), err, len(names))
			}
		}
		// Only the renamed file that is not synced yet, and the finished one, are new: nothing is renamed before it is complete.
		if changes != 7 || news != 2 {
			t.Errorf("%d changes, of which %d leave the new file", changes, news)
		}
	}
}

func TestReplaceFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("x"), 0o644); err == nil {
		t.Error("takes the place of a folder")
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("%d files are left", len(names))
	}
	if err := Replace(filepath.Join(dir, "none", "file"), nil, 0o644); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

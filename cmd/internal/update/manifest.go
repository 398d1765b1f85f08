package update

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Manifest says what a bundle is. Its bytes are what is signed.
type Manifest struct {
	Board   string    `json:"board"`   // BOARD= of the image
	Version string    `json:"version"` // of the system in it
	Time    time.Time `json:"time"`    // of the system's sources; orders versions that are not numbers
	// MinVersion is the oldest system that may install it, a release; empty: any.
	MinVersion string `json:"min_version,omitempty"`
	// DowngradeFrom is the one version that may go back to this one; empty: none. It is in what is signed, because who may
	// upload a bundle need not be who may decide that.
	DowngradeFrom string `json:"downgrade_from,omitempty"`
	// Until is the end of that permission, which whoever has kept a copy could use again else; zero without DowngradeFrom.
	Until  time.Time `json:"until,omitzero"`
	Size   int64     `json:"size"`   // bytes of the slot's image
	SHA256 string    `json:"sha256"` // of the slot's image, hexadecimal
	Packed int64     `json:"packed"` // bytes of the image in the bundle, gzip (RFC 1952)
}

// DowngradeFor is how long a bundle that goes back can be used.
const DowngradeFor = 14 * 24 * time.Hour

// mostImage is far more than a slot has: bytes.
const mostImage = 1 << 30

// word is what a board's name or a version may look like.
var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$`)

// parseManifest reads and checks the signed text. Unknown keys are refused: a newer format says so in its first line.
func parseManifest(text []byte) (Manifest, error) {
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return m, fmt.Errorf("manifest: something follows it")
	}
	return m, m.check()
}

// ReadImage reads what an image says of itself, board, version and time, in a folder that make image has filled.
func ReadImage(dir string) (m Manifest, err error) {
	path := filepath.Join(dir, "slot", "slot.env")
	text, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "board":
			m.Board = value
		case "version":
			m.Version = value
		case "time":
			if m.Time, err = time.Parse(time.RFC3339, value); err != nil {
				return m, fmt.Errorf("%s: time: %w", path, err)
			}
		}
	}
	return m, nil
}

// commit is a version that is no release, as git describe has it: a commit, alone or behind a tag of any form; or unversioned, that
// of sources without git.
var commit = regexp.MustCompile(`^(?:[0-9a-f]{7,40}(?:-dirty)?|.+-[0-9]+-g[0-9a-f]{7,40}(?:-dirty)?|unversioned)$`)

// IsVersion says whether text can be the version of a system.
func IsVersion(text string) bool { return word.MatchString(text) }

// IsTag says whether a version is neither that of a release nor of a commit: a tag of another form, or mistyped.
func IsTag(version string) bool { return parseVersion(version) == nil && !commit.MatchString(version) }

func (m Manifest) check() error {
	for _, f := range []struct {
		key, value string
		must       bool
	}{{"board", m.Board, true}, {"version", m.Version, true}, {"min_version", m.MinVersion, false}, {"downgrade_from", m.DowngradeFrom, false}} {
		if (f.value != "" || f.must) && !word.MatchString(f.value) {
			return fmt.Errorf("manifest: %s %q: must be 1 to 64 letters, digits and ._+~-", f.key, f.value)
		}
	}
	if sum, err := hex.DecodeString(m.SHA256); err != nil || len(sum) != 32 {
		return fmt.Errorf("manifest: sha256 %q: must be 64 hexadecimal digits", m.SHA256)
	}
	if m.Size < headSize || m.Size > mostImage || m.Size%headSize != 0 {
		return fmt.Errorf("manifest: size %d: must be a multiple of %d up to %d", m.Size, headSize, mostImage)
	}
	if m.Packed < 1 || m.Packed > mostImage {
		return fmt.Errorf("manifest: packed %d: must be 1 to %d", m.Packed, mostImage)
	}
	if m.Time.IsZero() || m.Time.Year() > 9999 {
		return fmt.Errorf("manifest: time: must be there, as RFC 3339 has it")
	}
	if (m.DowngradeFrom == "") != m.Until.IsZero() || m.Until.Year() > 9999 {
		return fmt.Errorf("manifest: until: must be there, as RFC 3339 has it, where downgrade_from is, and nowhere else")
	}
	return nil
}

// System is what an appliance runs.
type System struct {
	Board, Version string
	Time           time.Time // zero: not known
	// Holds says whether the slot that runs has this content; nil: it has. One version may be built twice, of other packages.
	Holds func(size int64, sha256 string) bool
}

// Fits says why the appliance must not install the bundle: ErrBoard, ErrDowngrade, ErrSame, ErrTooOld. clock is the time of day.
func (m Manifest) Fits(now System, clock time.Time) error {
	if m.Board != now.Board {
		return fmt.Errorf("%w: it is for %s and this is a %s; take the bundle that was made with BOARD=%s", ErrBoard, m.Board, now.Board, now.Board)
	}
	if m.Version == now.Version && m.Time.Equal(now.Time) && (now.Holds == nil || now.Holds(m.Size, m.SHA256)) {
		return fmt.Errorf("%w: %s", ErrSame, m.Version)
	}
	if err := m.reaches(now.Version); err != nil {
		return err
	}
	back := m.DowngradeFrom != "" && m.DowngradeFrom == now.Version
	if back && clock.Before(m.Until) {
		return nil
	}
	older := compare(m.Version, now.Version)
	if older == 0 && m.Time.Before(now.Time) {
		older = -1
	}
	if older < 0 && back {
		return fmt.Errorf("%w: it was allowed to go back from %s until %s, and today is %s; make another bundle", ErrDowngrade, now.Version, day(m.Until), day(clock))
	}
	if older < 0 {
		return fmt.Errorf("%w: this runs %s of %s and the bundle has %s of %s; if that is meant, make a bundle with --downgrade-from %s", ErrDowngrade,
			now.Version, day(now.Time), m.Version, day(m.Time), now.Version)
	}
	return nil
}

// reaches says why a system of this version is not known to be MinVersion or later. Where one of the two is no release nobody
// knows, and no time stands in for it: the manifest does not say when MinVersion was.
func (m Manifest) reaches(runs string) error {
	switch {
	case m.MinVersion == "" || m.MinVersion == runs:
		return nil
	case !IsRelease(m.MinVersion):
		return fmt.Errorf("%w: it needs %s or later, which is no release, such as v1.2.3, that a version could be compared with; make another bundle", ErrTooOld, m.MinVersion)
	case !IsRelease(runs):
		return fmt.Errorf("%w: it needs %s or later, this runs %s, which is no release, so that nobody can tell; install the release %s first, or make a bundle without --min-version",
			ErrTooOld, m.MinVersion, runs, m.MinVersion)
	case compare(runs, m.MinVersion) < 0:
		return fmt.Errorf("%w: it needs %s or later, this runs %s; install a version between them first", ErrTooOld, m.MinVersion, runs)
	}
	return nil
}

func day(t time.Time) string {
	if t.IsZero() {
		return "an unknown day"
	}
	return t.UTC().Format(time.DateOnly)
}

// compare orders versions like v1.2 or 1.2.3-rc.1-4-gabc (git describe: 4 commits after 1.2.3-rc.1): by their numbers, a
// prerelease before its release, then by the commits since. 0: the same, or one of them is no release (a bare commit), so that
// their times have to tell.
func compare(a, b string) int {
	x, y := parseVersion(a), parseVersion(b)
	if x == nil || y == nil {
		return 0
	}
	if c := slices.Compare(x.numbers[:], y.numbers[:]); c != 0 {
		return c
	}
	if c := comparePrereleases(x.pre, y.pre); c != 0 {
		return c
	}
	return cmp.Compare(x.commits, y.commits)
}

// version is a release, or a prerelease of it.
type version struct {
	numbers [4]int
	pre     string // "" is the release
	commits int    // since
}

// release is v1.2.3, perhaps with a prerelease (SemVer 2.0.0 §9), the distance that git describe adds, and build metadata (§10).
var release = regexp.MustCompile(`^v?(\d{1,6}(?:\.\d{1,6}){1,3})(?:[-~]([0-9A-Za-z.~-]+?))??(?:-(\d{1,6})-g[0-9a-f]+)?(?:-dirty)?(?:\+.*)?$`)

// IsRelease says whether a version has numbers by which it can be compared with others.
func IsRelease(version string) bool { return parseVersion(version) != nil }

// parseVersion returns nil if text is not a release.
func parseVersion(text string) *version {
	found := release.FindStringSubmatch(text)
	if found == nil {
		return nil
	}
	v := &version{pre: found[2]}
	for i, n := range strings.Split(found[1], ".") {
		v.numbers[i], _ = strconv.Atoi(n) // at most six digits
	}
	v.commits, _ = strconv.Atoi(found[3]) // none: 0
	return v
}

// part is a run of digits or of letters in a prerelease.
var part = regexp.MustCompile(`[0-9]+|[A-Za-z]+`)

// comparePrereleases orders them as SemVer 2.0.0 §11 does.
// Departs from SemVer 2.0.0 §11.4.2: rc10 comes after rc9, as rc.10 after rc.9 does, since that is what who writes it means.
func comparePrereleases(a, b string) int {
	if a == "" || b == "" { // §11.3: the release is the later one
		return cmp.Compare(len(b), len(a))
	}
	return slices.CompareFunc(part.FindAllString(a, -1), part.FindAllString(b, -1), func(x, y string) int {
		xDigits, yDigits := x[0] <= '9', y[0] <= '9'
		switch {
		case xDigits && yDigits: // §11.4.1; a number of any length
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
		case xDigits != yDigits: // §11.4.3: numbers come before letters
			if xDigits {
				return -1
			}
			return 1
		}
		return cmp.Compare(x, y)
	})
}
